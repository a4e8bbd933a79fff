"""What stands open on a real colony: how much of it one agent may have, and that it ends with its token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack
from typing import Any

import httpx2
import pytest

from tests.conftest import RunningColony

StartColony = Callable[..., AbstractContextManager[RunningColony]]

SECONDS = 60
"""Far more than anything here takes; only a hang meets it."""

STATELESS, HANDSHAKE = "2026-07-28", "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
WATCH = "mads.rogers.watch_conversation"


class Stream:
    """An answer under way: its status, its events as they come, and all of them at its end."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.events: list[Any] = []
        self._lines = response.aiter_lines()

    async def next(self) -> Any:
        """The next message; None when the answer has come to its proper end."""
        async with asyncio.timeout(SECONDS):
            async for line in self._lines:
                text = line.removeprefix("data:").strip() if line.startswith("data:") else line
                if text.startswith("{"):
                    self.events.append(json.loads(text))
                    return self.events[-1]
        return None

    async def to_the_end(self) -> list[Any]:
        while await self.next() is not None:
            pass
        return self.events


class Agent:
    """Raw requests with one token."""

    def __init__(self, colony: RunningColony, http: httpx2.AsyncClient, stack: AsyncExitStack, token: str) -> None:
        self._url = colony.url
        self._http = http
        self._stack = stack
        self.token = token
        self.session = ""

    async def send(self, method: str, params: dict[str, Any], **meta: Any) -> Stream:
        """A request of this agent's era: stateless, or in its session once it has one."""
        if self.session or method == "initialize":
            headers = {"mcp-session-id": self.session, "mcp-protocol-version": HANDSHAKE} if self.session else {}
            whole = {**params, "_meta": meta} if meta else params
        else:
            named = {"mcp-name": params["name"]} if method == "tools/call" else {}
            headers = {"mcp-protocol-version": STATELESS, "mcp-method": method, **named}
            whole = {**params, "_meta": {**META, **meta}}
        document = {"jsonrpc": "2.0", "id": 7, "method": method, "params": whole}
        return await self._open("POST", headers, json.dumps(document))

    async def call(self, tool: str, **arguments: Any) -> Any:
        """The answer to a call, as a JSON-RPC message."""
        stream = await self.send("tools/call", {"name": tool, "arguments": arguments})
        return (await stream.to_the_end())[-1]

    async def value(self, tool: str, **arguments: Any) -> Any:
        message = await self.call(tool, **arguments)
        assert not message["result"]["isError"], message
        return message["result"]["structuredContent"]

    async def watch(self, conversation: str, **meta: Any) -> Stream:
        arguments = {"conversation": conversation, "seconds": 3600, "after": 0}
        return await self.send("tools/call", {"name": WATCH, "arguments": arguments}, **meta)

    async def listen(self, *uris: str) -> Stream:
        return await self.send("subscriptions/listen", {"notifications": {"resourceSubscriptions": list(uris)}})

    async def shake_hands(self) -> None:
        client = {"name": "test", "version": "1"}
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": client}
        opened = await self.send("initialize", params)
        await opened.to_the_end()
        self.session = opened.headers["mcp-session-id"]
        notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await self._open("POST", self._of_session, json.dumps(notice))

    async def stand(self) -> Stream:
        """The standing stream of the session."""
        return await self._open("GET", self._of_session, "")

    @property
    def _of_session(self) -> dict[str, str]:
        return {"mcp-session-id": self.session, "mcp-protocol-version": HANDSHAKE}

    async def _open(self, method: str, headers: dict[str, str], body: str) -> Stream:
        headers = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            **headers,
        }
        request = self._http.build_request(method, self._url, headers=headers, content=body)
        response = await self._http.send(request, stream=True)
        self._stack.push_async_callback(response.aclose)
        return Stream(response)


class World:
    """A colony and those who speak to it."""

    def __init__(self, colony: RunningColony, http: httpx2.AsyncClient, stack: AsyncExitStack) -> None:
        self.colony, self._http, self._stack = colony, http, stack
        self.operator = self.agent(colony.operator_token)

    def agent(self, token: str) -> Agent:
        return Agent(self.colony, self._http, self._stack, token)

    async def hire(self, agent: str, role: str, **more: Any) -> tuple[Agent, str]:
        """A new agent, and its token's id."""
        made = await self.operator.value("mads.grace.create_token", agent=agent, role=role, **more)
        return self.agent(made["token"]), made["token_id"]

    async def metric(self, name: str) -> int:
        text = (await self._http.get(self.colony.url.removesuffix("/mcp") + "/metrics")).text
        found = re.search(rf"^cenoby_{name} (\S+)$", text, re.MULTILINE)
        assert found, name
        return int(float(found[1]))

    async def until(self, name: str, value: int) -> None:
        """Wait until a metric has a value."""
        end = time.monotonic() + SECONDS
        while (now := await self.metric(name)) != value:
            assert time.monotonic() < end, f"{name} is {now}, not {value}"
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def world_of(colony: RunningColony) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        limits = httpx2.Limits(max_connections=None)
        http = await stack.enter_async_context(httpx2.AsyncClient(limits=limits, timeout=SECONDS))
        yield World(colony, http, await stack.enter_async_context(AsyncExitStack()))


@pytest.fixture
async def world(colony: RunningColony) -> AsyncIterator[World]:
    async with world_of(colony) as standing:
        yield standing


def code_of(message: Any) -> str:
    """The code of Cenoby's error in a refusal of either kind."""
    data = message["error"]["data"] if "error" in message else message["result"]["_meta"]
    return data["cenoby/error"]["code"]


def records(colony: RunningColony) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{colony.data / 'colony.db'}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM journal").fetchone()[0]


async def test_an_observer_who_watches_as_much_as_it_can_locks_nobody_out(start_colony: StartColony) -> None:
    """Watches hold places of streams, at most a share per agent; calls go on, and so does the command that revokes."""
    with start_colony(settings="gateway: {max_inflight: 8, max_streams: 16}\n") as colony:
        async with world_of(colony) as world:
            zed, token_id = await world.hire("zed", "observer")
            made = await world.operator.value("mads.rogers.create_conversation", name="watched")
            watching: list[asyncio.Task[Stream]] = []
            for number in range(4):
                # One after another: until a request is known for a watch, it holds one of the agent's two places.
                watching.append(asyncio.create_task(zed.watch(made["id"])))
                await world.until("open_streams", number + 1)
            refused = await zed.watch(made["id"])
            assert (refused.status, code_of(await refused.next())) == (503, "share_full")
            assert await world.metric("inflight_requests") == 0
            assert not (await zed.call("mads.grace.status"))["result"]["isError"]
            await asyncio.to_thread(colony.cenoby, "token", "revoke", token_id)
            await world.until("open_streams", 0)
            ends = [await (await task).to_the_end() for task in watching]
            assert [code_of(events[-1]) for events in ends] == ["token_revoked"] * 4


async def test_some_streams_are_kept_for_those_who_decide(start_colony: StartColony) -> None:
    """Where agents hold all other streams, one more of theirs is refused, and the operator still gets one."""
    with start_colony(settings="gateway: {max_streams: 16, max_streams_per_agent: 15}\n") as colony:
        async with world_of(colony) as world:
            zed, _ = await world.hire("zed", "observer")
            other, _ = await world.hire("other", "observer")
            held = [await zed.listen() for _ in range(15)]
            for stream in held:
                await stream.next()
            refused = await other.listen()
            assert (refused.status, code_of(await refused.next())) == (503, "places_full")
            assert (await (await world.operator.listen()).next())["method"].endswith("/acknowledged")


async def test_what_stands_open_ends_when_its_token_is_revoked(world: World) -> None:
    """Watches of both eras, a listener and a session's stream end properly, and hear nothing that was said after."""
    bob, _ = await world.hire("bob", "developer")
    eve, token_id = await world.hire("eve", "observer")
    talk = (await bob.value("mads.rogers.create_conversation", name="talk"))["id"]
    uri = f"cenoby://conversations/{talk}"
    in_session = world.agent(eve.token)
    await in_session.shake_hands()
    await (await in_session.send("resources/subscribe", {"uri": uri})).to_the_end()
    streams = [await eve.listen(uri), await in_session.stand()]
    assert (await streams[0].next())["params"]["notifications"]["resourceSubscriptions"] == [uri]
    await bob.value("mads.rogers.post_message", conversation=talk, content="said before")
    watches = [await eve.watch(talk, progressToken="p"), await in_session.watch(talk, progressToken="p")]
    for stream in (*streams, *watches):
        assert (await stream.next())["method"].startswith("notifications/")
    await world.operator.value("mads.grace.revoke_token", token_id=token_id)
    await bob.value("mads.rogers.post_message", conversation=talk, content="said after")
    ends = [await stream.to_the_end() for stream in (*streams, *watches)]
    assert [len(events) for events in ends] == [3, 1, 2, 2]
    assert "result" in ends[0][-1]
    assert [code_of(events[-1]) for events in ends[2:]] == ["token_revoked"] * 2
    assert "said after" not in json.dumps(ends)
    again, _ = await world.hire("eve", "observer")
    again.session = in_session.session
    assert (await again.send("ping", {})).status == 404


async def test_a_watch_ends_when_its_agent_gets_other_roles(world: World) -> None:
    """An operator made an observer no longer sees the private conversation that it was watching."""
    carl, _ = await world.hire("carl", "developer")
    olga, _ = await world.hire("olga", "operator")
    talk = (await carl.value("mads.rogers.create_conversation", name="private", private=True))["id"]
    await carl.value("mads.rogers.post_message", conversation=talk, content="said before")
    watch = await olga.watch(talk, progressToken="p")
    assert "said before" in json.dumps(await watch.next())
    await world.hire("olga", "observer", replace_roles=True)
    await carl.value("mads.rogers.post_message", conversation=talk, content="said after")
    assert code_of((await watch.to_the_end())[-1]) == "roles_changed"
    assert "said after" not in json.dumps(watch.events)
    assert code_of(await olga.call(WATCH, conversation=talk, seconds=1)) == "conversation_unknown"


async def test_what_stands_open_ends_when_its_token_expires(world: World) -> None:
    """A token that lives two seconds ends an hour's watch and an endless listener."""
    shorty, _ = await world.hire("shorty", "observer", ttl_hours=2 / 3600)
    talk = (await world.operator.value("mads.rogers.create_conversation", name="long"))["id"]
    listening, watching = await shorty.listen(), await shorty.watch(talk)
    last = (await listening.to_the_end())[-1]
    assert "result" in last or code_of(last) == "token_expired"
    assert code_of((await watching.to_the_end())[-1]) == "token_expired"


async def test_a_request_that_opens_something_that_stays_is_small(world: World) -> None:
    """initialize, a listener and a watch of more than 64 KiB are refused and open nothing; other calls may be large."""
    operator, padding = world.operator, "x" * 70_000
    client = {"name": padding, "version": "1"}
    params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": client}
    await world.until("open_streams", 0)
    sessions = await world.metric("open_sessions")
    opened = [
        await operator.send("initialize", params),
        await operator.send("subscriptions/listen", {"notifications": {}}, padding=padding),
        await operator.send("tools/call", {"name": WATCH, "arguments": {"conversation": "x"}}, padding=padding),
    ]
    assert [stream.status for stream in opened] == [413] * 3
    assert [code_of(await stream.next()) for stream in opened] == ["opening_too_large"] * 3
    assert (await world.metric("open_streams"), await world.metric("open_sessions")) == (0, sessions)
    await operator.value("mads.rogers.create_conversation", name="n", metadata={"k": "v" * 1000})
    call = {"name": "mads.grace.status", "arguments": {}}
    assert (await operator.send("tools/call", call, padding=padding)).status == 200


async def test_a_listener_that_asks_for_too_much_is_refused_before_anything_is_read(world: World) -> None:
    """257 resources in one request: invalid params with a code, no stream, and not one record in the journal."""
    uris = [f"cenoby://conversations/nothing-{number}" for number in range(257)]
    before = records(world.colony)
    refused = await world.operator.listen(*uris)
    assert (refused.status, code_of(await refused.next())) == (400, "uris_too_many")
    assert records(world.colony) == before
    acknowledged = await world.operator.listen(*uris[:256])
    assert (await acknowledged.next())["params"]["notifications"] == {}
