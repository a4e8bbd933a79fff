"""What policies may speak of in this colony: its action types, and its tools with their arguments."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from cenoby.access.actions import RiskTier
from cenoby.access.policy.argument_types import argument_types
from cenoby.access.policy.errors import Problem, Unusable
from cenoby.access.policy.policies import Policy


class ToolFact(msgspec.Struct, frozen=True):
    """What policy knows of a tool.

    Attributes:
        name, mad, action, effect, risk: as it is declared.
        arguments: names of its arguments.
    """

    name: str
    mad: str
    action: str
    effect: str
    risk: RiskTier
    arguments: tuple[str, ...]


class Vocabulary(msgspec.Struct, frozen=True):
    """What is there.

    Attributes:
        actions: registered action types.
        tools: the hosted tools; empty where none are known, and then nothing is said of them.
    """

    actions: tuple[str, ...]
    tools: tuple[ToolFact, ...] = ()


def check_arguments(policies: Iterable[Policy], tools: Sequence[ToolFact]) -> list[Problem]:
    """Arguments that no tool in the policy's scope has: a misspelt one would make a forbid that never holds.

    A policy for tools that are not hosted now is not looked at; `unhosted` names those.
    """
    problems: list[Problem] = []
    for policy in policies:
        try:
            named = {path[0] for path in argument_types(policy.clauses)}
        except Unusable:
            continue
        scope = [one for one in tools if policy.fits_action(one.action) and policy.fits_resource(one.name, one.mad)]
        known = {name for one in scope for name in one.arguments}
        for name in sorted(named - known) if scope else ():
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"they have {', '.join(sorted(known)) or 'none'}."
            text = f"no tool in its scope has the argument {name!r}; {hint}"
            problems.append(Problem(policy.file, policy.line, policy.id, text))
    return problems


def unhosted(policies: Iterable[Policy], tools: Sequence[ToolFact]) -> list[Problem]:
    """Tools and MADs that a policy names and that are not hosted now; a warning, because they may come."""
    known = {("Tool", one.name) for one in tools} | {("Mad", one.mad) for one in tools}
    return [
        Problem(one.file, one.line, one.id, f'{one.resource[0]}::"{one.resource[1]}" is not hosted here now')
        for one in policies
        if tools and one.resource[0] and one.resource not in known
    ]
