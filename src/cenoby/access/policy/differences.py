"""Who gains and who loses what between two sets of policies, over agents and tools that are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from cenoby.access.policy.policy_set import PolicySet
from cenoby.access.policy.table import Plan
from cenoby.access.policy.vocabulary import ToolFact
from cenoby.access.principals import Principal

Standing = Literal["deny", "depends", "ask", "allow"]
"""What holds of an agent and a tool, whatever the arguments; `depends` where conditions decide."""

_RANK: dict[Standing, int] = {"deny": 0, "depends": 1, "ask": 2, "allow": 3}


class Difference(msgspec.Struct, frozen=True):
    """One agent and one tool that the two sets treat differently.

    Attributes:
        change: gains, loses, or `differs` where conditions decide before and after, and other ones.
        agent, tool, action: who and what.
        before, after: how it stands.
        policies: ids of the policies whose scope fits on one side only, or which say something else.
    """

    change: Literal["gains", "loses", "differs"]
    agent: str
    tool: str
    action: str
    before: Standing
    after: Standing
    policies: tuple[str, ...]


def differences(
    before: PolicySet, after: PolicySet, agents: Iterable[Principal], tools: Iterable[ToolFact]
) -> Iterator[Difference]:
    """Every agent and tool that the sets treat differently, by agent and then by tool."""
    known = sorted(tools, key=lambda one: one.name)
    for agent in sorted(agents, key=lambda one: one.agent):
        for tool in known:
            old = before.table.plan(agent, tool.action, tool.name)
            new = after.table.plan(agent, tool.action, tool.name)
            found = _difference(agent, tool, old, new)
            if found is not None:
                yield found


def standing(plan: Plan) -> Standing:
    """How an agent stands towards a tool."""
    if plan.fixed is not None:
        return plan.fixed.says
    return "depends"


def _difference(agent: Principal, tool: ToolFact, old: Plan, new: Plan) -> Difference | None:
    before, after = standing(old), standing(new)
    olds = {one.id: one.text for one in old.policies}
    news = {one.id: one.text for one in new.policies}
    changed = tuple(sorted(name for name in olds.keys() | news.keys() if olds.get(name) != news.get(name)))
    if before == after and (before != "depends" or not changed):
        return None
    rank = _RANK[after] - _RANK[before]
    change = "differs" if rank == 0 else "gains" if rank > 0 else "loses"
    return Difference(change, agent.agent, tool.name, tool.action, before, after, changed)
