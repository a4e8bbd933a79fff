"""Where `cenoby policy` has its policies, agents and tools from: files, or the running colony."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cenoby.access.actions import RiskTier, known_actions
from cenoby.access.policy.expected import Case, request_of
from cenoby.access.policy.explain import explain
from cenoby.access.policy.files import read_ingredients
from cenoby.access.policy.policy_set import PolicySet, build
from cenoby.access.policy.vocabulary import ToolFact, Vocabulary
from cenoby.access.principals import Principal
from cenoby.app.data_dir import DataDirUnavailable, find
from cenoby.app.declared_tools import declared_tools
from cenoby.cli.colony_client import connect
from cenoby.kernel.settings import Settings


class Known(msgspec.Struct, frozen=True):
    """A set of policies that was read from files, and the tools that it was checked against."""

    policies: PolicySet
    tools: tuple[ToolFact, ...]


def vocabulary_of(settings: Settings) -> Vocabulary:
    """Action types and tools as the settings' MADs declare them.

    Raises:
        MadUnknown: one cannot be imported.
    """
    tools = tuple(declared_tools(settings.mads))
    return Vocabulary(tuple(known_actions()), tools)


def offline(settings: Settings, path: Path | None) -> Known:
    """The settings' policies, or with `path` those of that file or directory in their place.

    Raises:
        PolicyInvalid: something is wrong with them.
    """
    if path is not None:
        settings = settings.model_copy(update={"policy": settings.policy.model_copy(update={"files": [path]})})
    words = vocabulary_of(settings)
    return Known(build(read_ingredients(settings), words), words.tools)


def explain_offline(
    settings: Settings, path: Path | None, agent: str, roles: list[str], tool: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """What the files say of a call, as `mads.grace.explain_policy` answers.

    Raises:
        PolicyInvalid: the files are wrong, or the tool is not known.
    """
    known = offline(settings, path)
    case = Case(expect="allow", tool=tool, agent=agent, roles=tuple(roles), arguments=arguments)
    request = request_of(case, known.policies, {one.name: one for one in known.tools}, lambda name: None)
    return msgspec.to_builtins(explain(known.policies, request))


def subjects(
    settings: Settings, old: Known, new: Known, token: str | None, *, operator: bool
) -> tuple[list[Principal], list[ToolFact]]:
    """Agents and tools of the running colony; else one agent for each role, and the declared tools."""
    try:
        find(settings.data)
    except DataDirUnavailable:
        roles = sorted(old.policies.roles | new.policies.roles)
        return [Principal(f"role:{role}", "default", (role,), "agent") for role in roles], list(new.tools)
    described = connect(settings.data, token, operator=operator).call("mads.grace.describe_policy")
    return agents_of(described), tools_of(described)


def agents_of(described: Mapping[str, Any]) -> list[Principal]:
    """The agents in an answer of `mads.grace.describe_policy`."""
    return [Principal(one["agent"], one["tenant"], tuple(one["roles"]), one["kind"]) for one in described["agents"]]


def tools_of(described: Mapping[str, Any]) -> list[ToolFact]:
    """The tools in an answer of `mads.grace.describe_policy`."""
    return [
        ToolFact(
            one["name"],
            one["mad"],
            one["action"],
            one["effect"],
            RiskTier[one["risk"].upper()],
            tuple(one["arguments"]),
        )
        for one in described["tools"]
    ]
