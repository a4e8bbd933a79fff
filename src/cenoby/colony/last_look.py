"""The last look before a tool begins: may this call still run, by the rule as it is now.

A call may have waited since it was let in: for an approval to be used up, for its intent to be on disk, for its turn in
the mailbox. What was denied meanwhile does not begin; what has begun is another matter (`under_way.py`, `withhold`).
"""

from __future__ import annotations

from cenoby.access.approvals.still import still
from cenoby.access.principals import Principal
from cenoby.colony.errors import ColonyUnavailable
from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class LastLook:
    """Asks again what may have changed since a call was let in; where nothing has, that is four comparisons."""

    def __init__(self, ports: Ports) -> None:
        self._identities = ports.identities
        self._kills = ports.kills
        self._roles = ports.roles
        self._autonomy = ports.autonomy
        self._approvals = ports.approvals

    def __call__(self, invocation: Invocation) -> None:
        """Pass if the call may begin.

        Raises:
            AccessUnauthenticated: its token was revoked.
            AccessRefused: killed, or policy denies it by now.
            ColonyUnavailable: `rule_changed`: a person must decide it by now, and nobody has.
        """
        tool, principal = invocation.target, invocation.caller
        self._kills.check(principal, tool.mad, tool.name, tool.says.action)
        anew = invocation.ends_seen != self._identities.ends
        if anew:
            principal = still(self._identities, principal)
        asked, risk = False, invocation.risk
        if anew or invocation.policy_set != self._roles.policies.name:
            risk = self._roles.risk_of(tool.says.action, tool.says.risk)
            asked = self._by_policy(invocation, principal)
        asked = asked or self._autonomy.ask(principal, invocation.action, risk) is not None
        asked = asked or self._approvals.asks(invocation.action, risk) is not None
        if asked and (not invocation.approval or risk > invocation.risk):
            raise ColonyUnavailable(
                "rule_changed",
                f"{tool.name} was let in and did not begin: the rule has changed since, and a person must decide this "
                "call by now. Call again to have it parked.",
            )

    def _by_policy(self, invocation: Invocation, principal: Principal) -> bool:
        """Whether policy asks for a person now; what it denies is refused."""
        tool = invocation.target
        decision = self._roles.authorise(
            principal,
            invocation.action,
            tool.name,
            tool.says.effect,
            self._roles.risk_of(tool.says.action, tool.says.risk),
            invocation.arguments,
            invocation.parsed,
            invocation.started_ns,
        )
        return decision.says == "ask"
