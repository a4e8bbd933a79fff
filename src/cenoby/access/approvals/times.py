"""When time decides a request, and what: each risk tier has its policy; what is dangerous is never approved by it."""

from __future__ import annotations

from typing import Literal

import msgspec

from cenoby.access.actions import RiskTier
from cenoby.access.approvals.sql import NEVER_NS
from cenoby.kernel.settings_approvals import ApprovalSettings, Tier, TierTimeout

_MINUTE_NS = 60_000_000_000
_TIERED = {
    RiskTier.LOW: TierTimeout(then="approve", minutes=60),
    RiskTier.MEDIUM: TierTimeout(then="deny", minutes=240),
    RiskTier.HIGH: TierTimeout(then="wait"),
    RiskTier.CRITICAL: TierTimeout(then="wait"),
}


class Due(msgspec.Struct, frozen=True):
    """Something that time does to a request.

    Attributes:
        at_ns: when, Unix nanoseconds.
        then: tell the next in the chain, say no, or say yes.
        level: how many steps of the chain are taken with it.
        to: who is told.
    """

    at_ns: int
    then: Literal["escalate", "deny", "approve"]
    level: int = 0
    to: tuple[str, ...] = ()


class ApprovalTimes:
    """What the settings say of requests that nobody decides.

    Args:
        settings: of approvals.
    """

    def __init__(self, settings: ApprovalSettings) -> None:
        self._settings = settings

    def plan(self, risk: int, parked_ns: int) -> list[Due]:
        """All that time does to a request of a risk tier that was parked then, in order; nothing where it waits."""
        policy = self._policy(RiskTier(risk))
        if policy.then == "wait":
            return []
        if policy.then != "escalate":
            return [Due(parked_ns + policy.minutes * _MINUTE_NS, policy.then)]
        steps = [
            Due(parked_ns + step.minutes * _MINUTE_NS, "escalate", level, tuple(step.to))
            for level, step in enumerate(self._settings.escalation, 1)
        ]
        return [*steps, Due(parked_ns + self._settings.exhausted_minutes * _MINUTE_NS, "deny", len(steps))]

    def expiry_ns(self, risk: int, parked_ns: int) -> int:
        """Until when a request can be decided; a time-out that says yes leaves that to whoever takes the call on."""
        last = self.plan(risk, parked_ns)[-1:]
        return last[0].at_ns if last and last[0].then == "deny" else NEVER_NS

    def _policy(self, risk: RiskTier) -> TierTimeout:
        settings = self._settings
        if settings.timeout == "tiered":
            tier: Tier = _NAMES[risk]
            policy = settings.tiers.get(tier, _TIERED[risk])
        else:
            policy = TierTimeout(then=settings.timeout, minutes=settings.deny_minutes)
        if policy.then == "approve" and risk >= RiskTier.HIGH:
            raise ValueError(f"nothing of risk {risk} is approved by time")
        return policy


_NAMES: dict[RiskTier, Tier] = {
    RiskTier.LOW: "low",
    RiskTier.MEDIUM: "medium",
    RiskTier.HIGH: "high",
    RiskTier.CRITICAL: "critical",
}
