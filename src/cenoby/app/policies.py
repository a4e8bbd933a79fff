"""The policies of a colony: read before anything is built, checked when everything is hosted, followed from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from cenoby.access.actions import known_actions
from cenoby.access.policy.files import read_ingredients
from cenoby.access.policy.keeper import PolicyKeeper
from cenoby.access.policy.policy_set import build
from cenoby.access.policy.vocabulary import ToolFact, Vocabulary
from cenoby.access.roles import RoleTable
from cenoby.colony.host import Host
from cenoby.colony.tool import Tool
from cenoby.kernel.events import Event
from cenoby.kernel.settings import Settings
from cenoby.telemetry.metrics import Metrics


async def first_policies(settings: Settings) -> RoleTable:
    """The policies to begin with. Only their form is checked: action types and tools are not known yet.

    Raises:
        PolicyInvalid: a file cannot be used.
        SettingsError: a capability in `roles` is none.
    """
    return RoleTable(policies=await asyncio.to_thread(lambda: build(read_ingredients(settings))))


def make_keeper(
    settings: Settings, roles: RoleTable, host: Host, metrics: Metrics, note: Callable[[Event], None]
) -> PolicyKeeper:
    """What follows the files, and checks them against the tools that are hosted."""
    keeper = PolicyKeeper(settings, roles.use, lambda: vocabulary(host.tools), note)
    metrics.watch(
        "policy_rejected", "1 while the newest policy files cannot be used.", lambda: float(bool(keeper.problem))
    )
    return keeper


def vocabulary(tools: Iterable[Tool]) -> Vocabulary:
    """What policies may speak of just now."""
    return Vocabulary(tuple(known_actions()), tuple(tool_fact(one) for one in tools))


def tool_fact(tool: Tool) -> ToolFact:
    """What policy knows of a tool."""
    says, names = tool.says, tool.input_schema.get("properties", {})
    return ToolFact(tool.name, tool.mad, says.action, says.effect, says.risk, tuple(sorted(names)))
