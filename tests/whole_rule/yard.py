"""Where the whole rule is tried: two MADs that see what runs, who calls them, and the files that say who may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Grants, Mad
from cenoby.colony.tool import ToolContent, tool
from tests.whole_rule.rule_in_force import Agent, Fact

Seen = Callable[[str, str, str, Mapping[str, Any]], None]
"""Told of everything that runs, at the moment at which it begins: invocation, agent, tool, arguments."""
DEFAULT = (Path(__file__).parents[2] / "src/cenoby/access/policy/default.cedar").read_text()
QUOTA = 9
"""Calls of `mads.yard.note` that an agent has on a UTC day."""
RIVAL_QUOTA = 60
"""Calls that all agents of the tenant `rival` have on a UTC day."""
AGENT_USD, TENANT_USD = 400, 600
"""Micro-US-dollars on a UTC day: of each agent, and of the tenant `rival`."""


class Yard(Mad):
    """Does things of several kinds, and says so."""

    name = "yard"
    watched: ClassVar[tuple[Seen, asyncio.Event, Callable[[str], None]]]
    """Who is told of what runs, what holds it until it is set, and who is told when that lets go of it.

    The colony makes MADs by their names alone.
    """

    def __init__(self) -> None:
        self._seen, self._gate, self._let_go = Yard.watched

    @classmethod
    def create(cls, grants: Grants) -> Self:
        del grants
        return cls()

    def price(self, arguments: Mapping[str, Any]) -> int:
        return int(arguments["amount"])

    @tool("code:read", effect="reads")
    async def look(self, call: Call, key: str, end: str) -> ToolContent:
        """Change nothing."""
        return await self._do(call, "look", {"key": key, "end": end})

    @tool("docs:write", effect="writes")
    async def note(self, call: Call, key: str, end: str) -> ToolContent:
        """Write something here."""
        return await self._do(call, "note", {"key": key, "end": end})

    @tool("comms:external", effect="outside")
    async def send(self, call: Call, key: str, end: str) -> ToolContent:
        """Say something outside."""
        return await self._do(call, "send", {"key": key, "end": end})

    @tool("db:admin", effect="outside")
    async def wipe(self, call: Call, key: str, end: str) -> ToolContent:
        """What two people must agree to."""
        return await self._do(call, "wipe", {"key": key, "end": end})

    @tool("test:run", effect="outside", cost="price")
    async def buy(self, call: Call, key: str, end: str, amount: int, spend: int | None) -> ToolContent:
        """Spend money."""
        if spend is not None:
            call.spend(spend)
        return await self._do(call, "buy", {"key": key, "end": end, "amount": amount, "spend": spend})

    async def _do(self, call: Call, verb: str, arguments: Mapping[str, Any]) -> ToolContent:
        self._seen(call.invocation, call.principal.agent, f"mads.{self.name}.{verb}", arguments)
        await self._gate.wait()
        self._let_go(call.invocation)
        if arguments["end"] == "crash":
            raise RuntimeError("a bug")
        return ToolContent([{"type": "text", "text": "done"}])


class Shed(Yard):
    """A second MAD of the same kind, so that one can be stopped and the other not."""

    name = "shed"


ENDS = {"answer": "", "crash": "tool_failed"}
WORK = {
    "look": Fact("code:read", "reads"),
    "note": Fact("docs:write", "writes"),
    "send": Fact("comms:external", "outside"),
    "wipe": Fact("db:admin", "outside"),
    "buy": Fact("test:run", "outside"),
}
FACTS: dict[str, Fact] = {f"mads.{mad}.{verb}": fact for mad in ("yard", "shed") for verb, fact in WORK.items()} | {
    "mads.yard.note": Fact("docs:write", "writes", quota=QUOTA),
    "mads.grace.throw_kill_switch": Fact("kill:switch", "writes"),
    "mads.grace.lift_kill_switch": Fact("kill:switch", "writes"),
    "mads.grace.set_autonomy": Fact("autonomy:raise", "writes"),
    "mads.grace.create_token": Fact("colony:admin", "writes"),
    "mads.grace.revoke_token": Fact("colony:admin", "writes"),
    "mads.grace.rotate_token": Fact("token:rotate", "writes"),
    "mads.grace.approve": Fact("approval:decide", "writes"),
    "mads.grace.deny": Fact("approval:decide", "writes"),
    "mads.grace.revoke_approval": Fact("approval:decide", "writes"),
    "mads.grace.cancel_parked": Fact("colony:read", "writes"),
}
"""What each tool declares; Grace's as docs/architecture.md has them."""

CAST = {
    "ada": Agent("default", ("developer",), department="lab"),
    "kid": Agent("default", ("hand",), department="lab", seniority="junior"),
    "bob": Agent("default", ("hand",)),
    "eve": Agent("rival", ("developer",), department="lab"),
    "ola": Agent("default", ("operator",), "person"),
    "pia": Agent("default", ("operator",), "person"),
    "boss": Agent("rival", ("operator",), "person"),
    "chief": Agent("rival", ("operator",), "person"),
}
WORKERS = ("ada", "kid", "bob", "eve", "ola")
"""Who works in the yard."""
PEOPLE = ("ola", "pia", "boss", "chief")

_HAND = """
@id("hands")
permit (principal in Role::"hand", action in [Action::"code:read", Action::"docs:write", Action::"comms:external",
  Action::"test:run", Action::"token:rotate", Action::"colony:read"], resource);
"""
_WORK = """
@id("yard-work")
permit (principal in Role::"developer", action in [Action::"code:read", Action::"comms:external", Action::"db:admin"],
  resource in Mad::"yard");
"""
POLICIES = (
    _HAND + _WORK,
    _HAND,
    _HAND + _WORK + '@id("no-b") forbid (principal, action == Action::"comms:external", resource)\n'
    'when { context.arguments has key && context.arguments.key == "b" };',
    _HAND + _WORK + '@id("no-rival") forbid (principal in Tenant::"rival", action, resource in Mad::"yard");',
    _HAND + _WORK + '@id("seen") @ask("somebody must see it")\n'
    'permit (principal in Role::"hand", action == Action::"docs:write", resource)\n'
    'when { context.arguments has key && context.arguments.key == "a" };',
    _HAND + _WORK + '@id("mornings") forbid (principal, action == Action::"docs:write", resource)\n'
    "when { context.hour >= 12 };",
    _HAND + _WORK + '@id("never-critical") forbid (principal, action, resource in Mad::"yard")\n'
    'when { context.risk == "critical" };',
    _HAND + _WORK + '@id("errs") forbid (principal, action == Action::"test:run", resource)\n'
    "when { context.arguments has amount && context.arguments.amount * 4611686018427387904 > 3 };",
)  # fmt: skip
"""Files that can be used. The last one overflows, which denies, wherever the amount is 2 or more."""
BROKEN_POLICIES = (
    "permit (principal",
    _HAND + _HAND,
    _HAND + '@id("x") forbid (principal in Role::"nobody", action, resource);',
    _HAND + '@id("x") permit (principal, action == Action::"no:such", resource);',
)
TIER_FILES = ({}, {"docs:write": "high"}, {"comms:external": "low"}, {"comms:external": "critical"},
              {"docs:write": "medium", "test:run": "high"})  # fmt: skip
BROKEN_TIERS = ("docs:write: 7", "no:such: high", "- [")


def settings_on(folder: Path) -> dict[str, Any]:
    """The settings of the colony under test, whose policy files lie beside its data."""
    return {
        "data": folder / "data",
        "mads": ["grace", f"{__name__}:Yard", f"{__name__}:Shed"],
        "mailbox": {"concurrency": 1},
        "policy": {"files": [folder / "rules.cedar"], "tiers": folder / "tiers.yaml", "look_every": 3600},
        "approvals": {"require": ["deploy:production", "db:admin", "org:fire", "comms:external"]},
        "limits": {
            "tools": {"mads.yard.note": {"calls_per_day": QUOTA}},
            "tenants": {"rival": {"calls_per_day": RIVAL_QUOTA}},
        },
        "budgets": {"usd_per_day": AGENT_USD / 1e6, "tenants": {"rival": {"usd": TENANT_USD / 1e6}}},
        "breaker": {"failures": 1_000_000},
        "telemetry": {"log_level": "error"},
    }
