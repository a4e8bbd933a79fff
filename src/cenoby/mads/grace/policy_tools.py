"""Grace's tools for policy: what is in force, and why it says what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from cenoby.access.policy.explain import Considered, explain
from cenoby.access.policy.request import Request
from cenoby.access.principals import Kind, Principal
from cenoby.access.roles import RoleTable
from cenoby.access.tokens import Identities
from cenoby.colony.errors import CallInvalid
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import canonical_json


@dataclass(frozen=True, slots=True)
class ConditionView:
    text: str
    outcome: str
    """true, false, failed, or not reached."""
    problem: str


@dataclass(frozen=True, slots=True)
class ConsideredView:
    id: str
    effect: str
    place: str
    ask: str
    holds: bool
    decided: bool
    conditions: list[ConditionView]


@dataclass(frozen=True, slots=True)
class ExplanationView:
    decision: str
    """allow, ask or deny."""
    by: list[str]
    because: str
    agent: str
    tool: str
    action: str
    risk: str
    set: str
    policies: list[ConsideredView]


@dataclass(frozen=True, slots=True)
class PolicyView:
    id: str
    effect: str
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class SubjectView:
    agent: str
    tenant: str
    kind: Kind
    roles: list[str]


@dataclass(frozen=True, slots=True)
class ObjectView:
    name: str
    mad: str
    action: str
    effect: str
    risk: str
    arguments: list[str]


@dataclass(frozen=True, slots=True)
class PolicySetView:
    digest: str
    state: str
    roles: list[str]
    tiers: dict[str, str]
    """Risk tiers of the tiers file, by action type."""
    policies: list[PolicyView]
    agents: list[SubjectView]
    tools: list[ObjectView]


class PolicyTools:
    """The part of Grace that answers for policy."""

    _roles: RoleTable
    _identities: Identities
    _host: Host
    _clock: Clock
    _policy_words: Callable[[], str]

    @tool("journal:read", effect="reads", title="Explain a decision of policy")
    async def explain_policy(
        self,
        call: Call,
        agent: Annotated[str, Field(description="Name of an agent of the caller's tenant.", min_length=1)],
        name: Annotated[str, Field(description="Canonical name of a tool.", min_length=1)],
        arguments: Annotated[dict[str, Any], Field(description="The arguments of the call.")] = {},  # noqa: B006
    ) -> ExplanationView:
        """Say what policy decides on a call now, by which policy, and how each condition of it comes out."""
        who = next((one for one in self._principals(call.principal.tenant) if one.agent == agent), None)
        if who is None:
            raise CallInvalid("arguments_invalid", f"There is no agent {agent!r}; list_agents shows them.")
        found = self._host.tool(name)
        parsed = found.parse(canonical_json(arguments))
        policies, says = self._roles.policies, found.says
        risk = policies.risk_of(says.action, says.risk)
        now_ns = self._clock.now_ns()
        answer = explain(policies, Request(who, says.action, name, says.effect, risk, arguments, parsed, now_ns))
        return ExplanationView(
            decision=answer.decision,
            by=list(answer.by),
            because=answer.because,
            agent=answer.agent,
            tool=answer.tool,
            action=answer.action,
            risk=answer.risk,
            set=answer.set,
            policies=[_considered(one) for one in answer.policies],
        )

    @tool("journal:read", effect="reads", title="Show the policies in force")
    async def describe_policy(self, call: Call) -> PolicySetView:
        """Show the policies in force with their digest, and whom and what they decide on: agents and tools."""
        policies = self._roles.policies
        return PolicySetView(
            digest=policies.digest,
            state=self._policy_words(),
            roles=sorted(policies.roles),
            tiers={action: str(tier) for action, tier in sorted(policies.tiers.items())},
            policies=[PolicyView(one.id, one.effect, one.place, one.text) for one in policies.policies],
            agents=[
                SubjectView(one.agent, one.tenant, one.kind, list(one.roles))
                for one in self._principals(call.principal.tenant)
            ],
            tools=[
                ObjectView(
                    name=one.name,
                    mad=one.mad,
                    action=one.says.action,
                    effect=one.says.effect,
                    risk=str(policies.risk_of(one.says.action, one.says.risk)),
                    arguments=sorted(one.input_schema.get("properties", {})),
                )
                for one in self._host.tools
            ],
        )

    def _principals(self, tenant: str) -> list[Principal]:
        known = self._identities.list_agents()
        return [Principal(one.name, one.tenant, one.roles, one.kind) for one in known if one.tenant == tenant]


def _considered(one: Considered) -> ConsideredView:
    conditions = [ConditionView(part.text, part.outcome, part.problem) for part in one.conditions]
    return ConsideredView(one.id, one.effect, one.place, one.ask, one.holds, one.decided, conditions)
