"""The colony that `./dev bench rule` decides in: 10,000 agents of 100 teams, 1,000 policies, a tool with a price."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.echo_mad import Said
from cenoby.app.composition import open_colony
from cenoby.app.shipped_mads import Parts
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import Settings

AGENTS = 10_000
TEAMS = 100
POLICIES = 1_000
PRICE = 100
"""Micro-US-dollars that one call may cost."""
TOOL = "mads.priced.say"
ENTRY = f"{Path(__file__).resolve()}:Priced"


class Priced(Mad):
    """Says what it is told, for money."""

    name = "priced"
    summary = "Says what it is told, for money."

    @tool(action="tool:call", effect="reads", cost="price")
    async def say(self, call: Call, text: str, topic: str, count: int) -> Said:
        """Say the text."""
        del call, topic, count
        return Said(text)

    def price(self, arguments: Mapping[str, Any]) -> int:
        """What a call costs at most."""
        del arguments
        return PRICE


@dataclass(frozen=True)
class World:
    """A running colony, the tokens of its agents, and how many policies it was given."""

    parts: Parts
    tokens: list[str]
    policies: int


@asynccontextmanager
async def world(folder: Path) -> AsyncGenerator[World]:
    """The colony, on a data directory in `folder`."""
    policies = write_policies(folder / "policies") if "policy" in Settings.model_fields else 0
    async with open_colony(settings(folder, policies), SystemClock()) as colony:
        tokens: list[str] = []
        for first in range(0, AGENTS, 500):
            made = (one_token(colony.parts, number) for number in range(first, first + 500))
            tokens += await asyncio.gather(*made)
        yield World(colony.parts, tokens, policies)


async def one_token(parts: Parts, number: int) -> str:
    """A token of a new agent."""
    made = await parts.ports.identities.create_token(f"agent-{number}", [f"team-{number % TEAMS}"])
    return made.text


def settings(folder: Path, policies: int) -> Settings:
    """Everything as shipped, but for the roles, the budgets, which never run out, and the policies."""
    text: dict[str, Any] = {
        "data": str(folder / "data"),
        "mads": ["rogers", "turing", "grace", ENTRY],
        # Where there are policies, these decide; a role has to exist for them.
        "roles": {f"team-{team}": ["docs:write" if policies else "tool:call"] for team in range(TEAMS)},
        "budgets": {"usd_per_day": 1_000},
    }
    if policies:
        text["policy"] = {"files": [str(folder / "policies")]}
    return Settings.model_validate(text)


def write_policies(folder: Path) -> int:
    """A thousand policies: per team five that permit and five that forbid, each with a condition on the call."""
    folder.mkdir()
    texts: list[str] = []
    for team in range(TEAMS):
        texts += [_permit(team, number) for number in range(5)] + [_forbid(team, number) for number in range(5)]
    (folder / "teams.cedar").write_text("\n".join(texts))
    return len(texts)


def _permit(team: int, number: int) -> str:
    return f"""@id("team-{team}-may-{number}")
permit (principal in Role::"team-{team}", action == Action::"tool:call", resource == Tool::"{TOOL}")
when {{ context.risk_level <= 3 && context.arguments has count && context.arguments.count < {number + 1}000 }};
"""


def _forbid(team: int, number: int) -> str:
    return f"""@id("team-{team}-never-{number}")
forbid (principal in Role::"team-{team}", action in Action::"tool", resource in Mad::"priced")
when {{ context.arguments has topic && context.arguments.topic like "secret-{number}-*" }};
"""
