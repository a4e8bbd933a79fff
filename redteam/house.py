"""The colony that is attacked: whole, with its gateway on a socket, and callers of two tenants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cenoby.access.principals import Kind
from cenoby.app.composition import Colony, open_colony
from cenoby.app.faces import serve_gateway
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from redteam import wire
from redteam.report import Report, Room
from redteam.target import REACHED

_PEOPLE: dict[str, tuple[str, str, Kind]] = {
    "ada": ("developer", "default", "agent"),
    "bob": ("developer", "default", "agent"),
    "pia": ("operator", "default", "person"),
    "ola": ("operator", "default", "person"),
    "otto": ("operator", "default", "agent"),
    "eve": ("developer", "evil", "agent"),
    "earl": ("operator", "evil", "person"),
}
_SECONDS = 60.0


@dataclass
class House:
    """A running colony.

    Attributes:
        colony: its parts, for what only its owner may do.
        port: where its gateway listens on 127.0.0.1.
        tokens: by caller: ada and bob are developers, pia, ola (people) and otto operators; eve and earl are developer
            and operator of another tenant.
    """

    colony: Colony
    port: int
    tokens: dict[str, str]

    async def call(self, who: str, tool: str, /, **arguments: Any) -> wire.Heard:
        """A tool call of `who`, over the wire; a token may stand for a name."""
        return await wire.call(self.port, self.tokens.get(who, who), tool, arguments)

    async def new_token(self, agent: str, **more: Any) -> tuple[str, str]:
        """Another token of an agent: its id and its text."""
        made = await self.colony.parts.ports.identities.create_token(agent, **more)
        return made.id, made.text


@asynccontextmanager
async def opened(folder: Path, **more: Any) -> AsyncIterator[House]:
    """A colony with all shipped MADs that need no key, and the target; `more` is further settings."""
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "listen": "127.0.0.1:0",
        "mads": ["grace", "rogers", "turing", "marco", "redteam.target:Target"],
        "approvals": {"require": ["test:run"]},
        # The target breaks on purpose, and what nobody calls any more is not attacked.
        "breaker": {"failures": 1_000_000},
        # Else whoever has read a page is asked for all it does next, and no other layer is attacked.
        "flows": {"taint": "off", "rules": []},
        "supervision": {"restarts": 1_000_000},
        "telemetry": {"log_level": "info"},
        **more,
    }
    REACHED.clear()
    # What the colony logs is evidence, and not for the reader of a report.
    with (folder / "log").open("w") as log, redirect_stderr(log):
        async with _standing(overrides) as house:
            yield house


@asynccontextmanager
async def _standing(overrides: dict[str, Any]) -> AsyncIterator[House]:
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        identities = colony.parts.ports.identities
        tokens = {
            name: (await identities.create_token(name, [role], tenant=tenant, kind=kind)).text
            for name, (role, tenant, kind) in _PEOPLE.items()
        }
        async with serve_gateway(colony.parts) as url:
            yield House(colony, urlsplit(url).port or 0, tokens)


def suite(attack: Callable[[House, Room], Awaitable[Report]]) -> Callable[[Room], Awaitable[Report]]:
    """A suite that opens a colony of its own for its attacks."""

    async def play(room: Room) -> Report:
        async with opened(room.folder) as house:
            return await attack(house, room)

    return play


async def until(holds: Callable[[], Awaitable[bool]]) -> bool:
    """Wait until something holds, at most a minute; whether it does."""
    try:
        async with asyncio.timeout(_SECONDS):
            while not await holds():  # noqa: ASYNC110 - it is asked over the wire
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True
