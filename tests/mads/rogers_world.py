"""Rogers with the real database and the real bus, and whoever calls its tools."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import jsonschema
import msgspec
import pytest

from cenoby.access.principals import Principal
from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import MessageBus
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.tool import Tool, tools_of
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.settings import RedactionSettings
from cenoby.mads.rogers.ledger import ConversationLedger
from cenoby.mads.rogers.mad import Rogers
from cenoby.protection.redact import Redactor
from cenoby.store.database import Database
from cenoby.store.engine import Engine


class Client:
    """A client that keeps the progress it is told, and can be waited on."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, Any]]] = []
        self.news = asyncio.Condition()

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        assert total is None and message is not None
        async with self.news:
            self.told.append((done, json.loads(message)))
            self.news.notify_all()

    async def log(self, level: str, text: str) -> None: ...

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("Rogers asks nobody")

    async def sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("Rogers has no use for a model")

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(lambda: len(self.told) >= count)


class World:
    """Rogers, hosted without the pipeline, and whoever calls it."""

    def __init__(self, database: Database, bus: MessageBus) -> None:
        clock = SystemClock()
        self.database = database
        self.bus = bus
        self.rogers = Rogers(ledger=ConversationLedger(database, clock), bus=bus, colony="main", clock=clock)
        self.tools: dict[str, Tool] = {tool.name.rsplit(".", 1)[1]: tool for tool in tools_of(self.rogers, "rogers")}

    async def call(
        self, who: str, name: str, client: Client | None = None, /, *, roles: tuple[str, ...] = (), **arguments: Any
    ) -> Any:
        """Call a tool as `who` (`name@tenant`, `name!` for a person); the result in JSON form, checked by schema."""
        agent, _, tenant = who.partition("@")
        kind = "person" if agent.endswith("!") else "agent"
        principal = Principal(agent.rstrip("!"), tenant or "default", roles, kind)
        invocation = Invocation(f"mads.rogers.{name}", arguments, principal, client=client)
        invocation.correlation = f"c-{agent}"
        invocation.principal = principal
        tool = self.tools[name]
        parsed = tool.parse(msgspec.json.encode(arguments))
        result = await tool.run(Call(invocation, _no_record, Redactor(RedactionSettings()), 0), **parsed)
        plain = msgspec.to_builtins(result)
        assert tool.output_schema is not None
        jsonschema.validate(plain, tool.output_schema)
        return plain

    async def open(self, who: str, name: str = "plan", **arguments: Any) -> str:
        """Id of a new conversation."""
        return (await self.call(who, "create_conversation", name=name, **arguments))["id"]

    async def say(self, who: str, conversation: str, *contents: str, **arguments: Any) -> list[dict[str, Any]]:
        """Post one message after the other."""
        return [
            await self.call(who, "post_message", conversation=conversation, content=content, **arguments)
            for content in contents
        ]

    async def listen(self, pattern: str) -> asyncio.Queue[Envelope]:
        """Everything the bus carries to `pattern`."""
        heard = asyncio.Queue[Envelope]()

        async def hear(envelope: Envelope) -> None:
            heard.put_nowait(envelope)

        await self.bus.subscribe(pattern, hear)
        return heard


async def _no_record(entry: object) -> Any:
    raise AssertionError("Rogers journals nothing of its own")


STORES_AND_BUSES = [("sqlite", "memory://"), ("postgresql", "memory://?codec=msgpack")]
"""Each engine and each way through the bus once."""


def new_engine(request: pytest.FixtureRequest, kind: str) -> Engine:
    """A migrated database of its own."""
    return request.getfixturevalue("sqlite_stores")() if kind == "sqlite" else request.getfixturevalue("postgres").new()


@contextlib.asynccontextmanager
async def open_world(store: Engine, bus_url: str) -> AsyncIterator[World]:
    """Rogers at work on a database and a bus."""
    database = await Database.open(store, clock=SystemClock())
    bus = await connect_bus(bus_url)
    world = World(database, bus)
    await world.rogers.start()
    yield world
    await world.rogers.stop()
    await bus.close()
    await database.close()


async def next_one(heard: asyncio.Queue[Envelope]) -> dict[str, Any]:
    async with asyncio.timeout(30):
        return msgspec.to_builtins((await heard.get()).payload)


def contents(page: dict[str, Any]) -> list[str]:
    return [message["content"] for message in page["messages"]]
