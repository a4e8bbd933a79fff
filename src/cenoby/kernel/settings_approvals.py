"""The settings of approvals: which calls wait for a person, for how long, and what happens when nobody answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cenoby.kernel.settings_section import Count, Section

Tier = Literal["low", "medium", "high", "critical"]


class TierTimeout(Section):
    """What happens to an undecided request of one risk tier."""

    then: Literal["wait", "deny", "approve", "escalate"]
    """Wait for ever, say no, say yes (never for high and critical), or go through `approvals.escalation`."""
    minutes: Count = 240
    """Minutes until then; of no meaning for `wait` and `escalate`."""


class EscalationStep(Section):
    """One step of the chain that an undecided request goes through."""

    minutes: Count
    """Minutes since the call was parked."""
    to: Annotated[list[str], Field(min_length=1)]
    """Who is told: `role:<name>` or `agent:<name>`; the journal, the list of approvals and the webhook name them."""


class ApprovalWebhookSettings(Section):
    """Where is told that a call was parked, decided, escalated or ended; signed, and sent again until it is taken."""

    url: str
    """Where it is posted to; inside addresses need `egress.allow`."""
    secret: str
    """Name of the secret (kept by Turing, best with colony_only) that is the key of the HMAC-SHA256 signature."""


class ApprovalSettings(Section):
    """Which calls wait for a person."""

    require: list[str] = ["deploy:production", "db:admin", "org:fire"]
    """Action types, categories (`deploy`), or risk tiers and all above (`risk:high`), that a person must approve."""
    expire_minutes: Count = 240
    """Minutes within which a call must begin once it was approved, and for which a no holds."""
    timeout: Literal["tiered", "wait", "deny", "escalate"] = "tiered"
    """What happens to what nobody decides: as `tiers` says, nothing, a no after `deny_minutes`, or the chain."""
    deny_minutes: Count = 240
    """Minutes until `timeout: deny` says no."""
    tiers: dict[Tier, TierTimeout] = {}
    """For `timeout: tiered`; by default low is approved after 60 minutes, medium denied after 240, the others wait."""
    escalation: list[EscalationStep] = [
        EscalationStep(minutes=120, to=["role:operator"]),
        EscalationStep(minutes=240, to=["role:operator"]),
    ]
    """The chain for `escalate`: who is told of what is still undecided, and when."""
    exhausted_minutes: Count = 480
    """Minutes after which a chain that helped nothing ends in a no."""
    four_eyes_from: Literal["high", "critical", "never"] = "critical"
    """From which risk tier on two different people must agree, neither of them who asks."""
    longest_grant_minutes: Count = 480
    """The longest time for which a person may approve a call again and again."""
    keep_minutes: Count = 1440
    """Minutes for which the result of a call that was parked is kept for its caller."""
    webhook: ApprovalWebhookSettings | None = None
    """Told of what is parked and decided; nobody where null."""

    @model_validator(mode="after")
    def _time_never_approves_what_is_dangerous(self) -> ApprovalSettings:
        for tier in ("high", "critical"):
            if tier in self.tiers and self.tiers[tier].then == "approve":
                raise ValueError(
                    f"tiers.{tier}: nothing of risk {tier} is approved by time; use wait, deny or escalate"
                )
        minutes = [*(step.minutes for step in self.escalation), self.exhausted_minutes]
        if minutes != sorted(set(minutes)):
            raise ValueError("escalation: each step, and exhausted_minutes, needs more minutes than the one before")
        return self
