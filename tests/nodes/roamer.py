"""A MAD that tells where it runs, keeps what it did in a file, and asks and tells its caller's client."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cenoby.access.actions import RiskTier, declare_action
from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Grants, Mad, Prompt, ResourceKind
from cenoby.colony.tool import tool

ROAM = declare_action("roam:about", RiskTier.LOW)


@dataclass(frozen=True, slots=True)
class Place:
    pid: int
    number: int


@dataclass(frozen=True, slots=True)
class Said:
    text: str


class Roamer(Mad):
    """Runs anywhere."""

    name = "roamer"
    summary = "Runs anywhere."
    events = {"roamed": "It was asked to roam."}

    def __init__(self, files: Path) -> None:
        self._done = files / "done.txt"
        self._watching = asyncio.Event()

    async def is_watched(self) -> None:
        """Wait until somebody watches."""
        await self._watching.wait()

    @classmethod
    def create(cls, grants: Grants) -> Self:
        return cls(grants.files())

    @tool("test:run", effect="reads")
    async def where(self, call: Call, number: int = 0) -> Place:
        """Says where it runs."""
        del call
        return Place(os.getpid(), number)

    @tool("test:run", effect="writes")
    async def do_once(self, call: Call, number: int, seconds: float = 0.0) -> Place:
        """Does something that must not be done twice: one line in a file for each time it is done."""
        with self._done.open("a") as out:
            out.write(f"{number} {call.invocation}\n")
        if seconds:
            await asyncio.sleep(seconds)
        return Place(os.getpid(), number)

    @tool("test:run", effect="reads", cost="_price")
    async def priced(self, call: Call, cents: int) -> Said:
        """Costs what it is told, of which it spends half."""
        call.spend(cents * 5_000)
        return Said("paid")

    def _price(self, arguments: dict[str, int]) -> int:
        return arguments["cents"] * 10_000

    @tool("test:run", effect="reads")
    async def converse(self, call: Call) -> Said:
        """Tells how far it is, notes an event and asks the person at the client."""
        await call.progress(1, 2, "half")
        await call.note("roamed", {"pid": os.getpid()})
        answer = await call.elicit("Name?", {"type": "object", "properties": {"name": {"type": "string"}}})
        return Said(f"{answer['action']} {answer['content']['name']}")

    @tool("test:run", effect="reads", timeout=60, waits=True)
    async def watch(self, call: Call) -> Said:
        """Waits until there is a file named `news`."""
        self._watching.set()
        while not self._done.with_name("news").exists():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.02)
        return Said("news")

    @tool("test:run", effect="reads")
    async def large(self, call: Call, kilobytes: int) -> Said:
        """Says very much."""
        del call
        return Said("x" * kilobytes * 1024)

    @tool("test:run", effect="reads")
    async def break_down(self, call: Call, how: str) -> Said:
        """Fails in the way that is asked for."""
        del call
        if how == "refuse":
            raise CallInvalid("arguments_invalid", "not like this", details={"why": "because"})
        raise RuntimeError("a secret cause")

    @tool(ROAM, effect="reads")
    async def about(self, call: Call) -> Said:
        """Has an action type that only its own module declares."""
        del call
        return Said("roaming")

    def resources(self) -> list[ResourceKind]:
        return [ResourceKind(template="test://where", name="where", description="Where.", tool="mads.roamer.where")]

    def prompts(self) -> list[Prompt]:
        async def render(arguments: dict[str, str], client: object = None) -> list[dict[str, object]]:
            del client
            return [
                {"role": "user", "content": {"type": "text", "text": f"Go to {arguments['to']} from {os.getpid()}"}}
            ]

        return [
            Prompt(name="go", description="Go.", action="test:run", arguments=[("to", "Where to", True)], render=render)
        ]
