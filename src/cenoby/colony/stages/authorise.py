"""authorise: do policies allow the call, the caller's autonomy, the rules, the content policy; what does it complete.

Deny by default; what cannot be evaluated is denied, too.
"""

from __future__ import annotations

from cenoby.colony.content_check import ContentCheck
from cenoby.colony.flow_check import FlowCheck
from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Authorise:
    """Asks policy about caller, tool and arguments; then autonomy; the rules; the flows of data; the content policy."""

    name = "authorise"

    def __init__(self, ports: Ports) -> None:
        self._roles = ports.roles
        self._rules = ports.rules
        self._flows = FlowCheck(ports.flows)
        self._content = ContentCheck(ports.content, ports.flows, ports.journal, ports.redactor)
        self._autonomy = ports.autonomy

    async def __call__(self, invocation: Invocation) -> None:
        policies, tool, principal = self._roles.policies, invocation.target, invocation.caller
        decision = policies.table.decide(
            principal,
            invocation.action,
            tool.name,
            tool.says.effect,
            invocation.risk,
            invocation.arguments,
            invocation.parsed,
            invocation.started_ns,
        )
        invocation.policy, invocation.policy_set = decision.policies, policies.name
        if decision.says == "deny":
            raise self._roles.refusal(decision, principal, invocation.action, tool.name)
        for ask in decision.asks:
            invocation.ask(ask)
        if (ask := self._autonomy.ask(principal, invocation.action, invocation.risk)) is not None:
            invocation.ask(ask)
        await self._rules.check(invocation)
        self._flows(invocation)
        await self._content(invocation)
        invocation.allowed = True
