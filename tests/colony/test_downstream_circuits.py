"""Circuits in front of servers that others run: hosts that are fetched, and model endpoints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.breaker import Breakers, CircuitState
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.kernel.settings import BreakerSettings
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
COMPLETION = {
    "choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}


class Server:
    """A real HTTP server that answers with `status`, or not at all while that is 0."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        self.location = ""
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def circuit(self) -> str:
        return f"host:127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/page"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if not self.status:
                await reader.read()
                return
            body = json.dumps(COMPLETION).encode() if head.startswith(b"POST") else b"<p>hello</p>"
            kind = "application/json" if head.startswith(b"POST") else "text/html"
            location = f"location: {self.location}\r\n" if self.location else ""
            writer.write(
                f"HTTP/1.1 {self.status} X\r\ncontent-type: {kind}\r\n{location}"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def world(folder: Path, *, servers: int = 1, open_seconds: float = 0.4) -> AsyncIterator[tuple[Any, ...]]:
    """A colony with Marco and Fiedler, and servers that they may reach; the first is a model's endpoint, too."""
    there = [Server() for _ in range(servers)]
    for server in there:
        await server.start()
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["grace", "marco", "fiedler"],
        "breaker": {"failures": 2, "open_seconds": open_seconds},
        "egress": {"allow": [f"127.0.0.1:{server.port}" for server in there], "timeout": 0.5},
        "models": [
            {
                "name": "m",
                "url": f"http://127.0.0.1:{there[0].port}/v1",
                "input_usd_per_million": 1,
                "output_usd_per_million": 1,
                "timeout": 5,
            }
        ],
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        yield colony, *there
    for server in there:
        await server.stop()


async def call(colony: Colony, name: str, who: Principal = ADA, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(name, arguments, who))


async def fetch(colony: Colony, server: Server) -> str:
    """The page's text, or the code of the error."""
    outcome = await call(colony, "mads.marco.fetch", url=server.url)
    return outcome.error.code if outcome.error else outcome.value["text"] or str(outcome.value["status"])


async def circuits(colony: Colony) -> dict[str, str]:
    listed = (await call(colony, "mads.grace.list_circuits", OLA)).value["circuits"]
    return {one["name"]: one["state"] for one in listed}


async def journalled(colony: Colony, code: str) -> list[dict[str, Any]]:
    journal, found = colony.parts.ports.journal, list[dict[str, Any]]()
    async with asyncio.timeout(10):
        while not (page := await journal.page(JournalQuery(code=code, kind="event"))).records:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for record in page.records:
        shown = await call(colony, "mads.grace.get_record", OLA, record_id=record.id)
        found.append(shown.value["payload"])
    return found


async def test_a_host_that_fails_is_left_alone_and_tried_again(tmp_path: Path) -> None:
    """Two 5xx open its circuit; it is not asked meanwhile, others are; a probe closes it when it has recovered."""
    async with world(tmp_path, servers=2) as (colony, bad, good):
        bad.status = 503
        assert [await fetch(colony, bad) for _ in range(2)] == ["hello", "hello"]
        refused = await call(colony, "mads.marco.fetch", url=bad.url)
        assert (refused.error.code, bad.asked) == ("circuit_open", 2)
        assert refused.error.retry_after > 0
        assert "HTTP 503" in refused.error.message
        assert await fetch(colony, good) == "hello"
        assert await circuits(colony) | {"mad:marco": "closed"} == await circuits(colony)
        assert (await circuits(colony))[bad.circuit] == "open"
        status = (await call(colony, "mads.grace.status", OLA)).value
        assert [one["name"] for one in status["circuits"]] == [bad.circuit]
        assert (await journalled(colony, "circuit_open"))[0]["circuit"] == bad.circuit
        bad.status = 200
        await asyncio.sleep(0.5)
        assert await fetch(colony, bad) == "hello"
        assert (await circuits(colony))[bad.circuit] == "closed"
        assert (await journalled(colony, "circuit_closed"))[0]["circuit"] == bad.circuit


async def test_a_probe_that_fails_opens_it_again(tmp_path: Path) -> None:
    """One call goes through after the pause; where that fails, the next is refused at once."""
    async with world(tmp_path) as (colony, bad):
        bad.status = 500
        for _ in range(2):
            await fetch(colony, bad)
        await asyncio.sleep(0.5)
        await fetch(colony, bad)
        assert (await fetch(colony, bad), bad.asked) == ("circuit_open", 3)


async def test_a_host_that_nothing_answers_at_and_one_that_is_too_slow(tmp_path: Path) -> None:
    """A refused connection and a missing answer count, and the refusal says which it was."""
    async with world(tmp_path, servers=2, open_seconds=60) as (colony, gone, slow):
        await gone.stop()
        slow.status = 0
        assert [await fetch(colony, gone) for _ in range(3)] == ["egress_unreachable"] * 2 + ["circuit_open"]
        assert [await fetch(colony, slow) for _ in range(3)] == ["egress_timeout"] * 2 + ["circuit_open"]
        assert "no complete answer in time" in (await call(colony, "mads.marco.fetch", url=slow.url)).error.message


async def test_what_is_no_fault_of_the_host(tmp_path: Path) -> None:
    """4xx, 429 among them, and what our own rules refuse open nothing; a refused host gets no circuit at all."""
    async with world(tmp_path) as (colony, server):
        for server.status in (404, 429, 403, 429, 429):
            await fetch(colony, server)
        for url in ("http://10.0.0.1/", "http://127.0.0.1:1/", "file:///etc/passwd"):
            for _ in range(3):
                assert (await call(colony, "mads.marco.fetch", url=url)).error.code == "rule_violated"
        assert {name for name in await circuits(colony) if name.startswith("host:")} == {server.circuit}
        assert (await circuits(colony))[server.circuit] == "closed"


async def test_a_slow_host_does_not_hurt_the_one_that_it_redirects_to(tmp_path: Path) -> None:
    """The time of a fetch is used up before the second hop can answer: nobody's fault but the first one's."""
    async with world(tmp_path, servers=2) as (colony, first, second):
        first.status, first.location, second.status = 302, second.url, 0
        assert [await fetch(colony, first) for _ in range(4)] == ["egress_timeout"] * 4
        assert (await circuits(colony))[second.circuit] == "closed"


async def test_a_person_closes_a_host_off(tmp_path: Path) -> None:
    """`open_circuit` holds a host as it holds a MAD, until `close_circuit`."""
    async with world(tmp_path) as (colony, server):
        assert await fetch(colony, server) == "hello"
        await call(colony, "mads.grace.open_circuit", OLA, circuit=server.circuit, reason="it leaks")
        refused = await call(colony, "mads.marco.fetch", url=server.url)
        assert refused.error.code == "circuit_held_open"
        assert "it leaks" in refused.error.message
        await call(colony, "mads.grace.close_circuit", OLA, circuit=server.circuit)
        assert await fetch(colony, server) == "hello"


async def test_a_model_endpoint_that_fails(tmp_path: Path) -> None:
    """Its circuit opens, a refused call costs nothing, fetches from the same host go on, and it recovers."""
    async with world(tmp_path, open_seconds=2) as (colony, server):
        circuit = f"model:http://127.0.0.1:{server.port}/v1"
        server.status = 503
        first = await call(colony, "mads.fiedler.complete", prompt="?")
        assert (first.error.code, server.asked) == ("circuit_open", 2)
        assert first.error.retry_after > 0
        again = await call(colony, "mads.fiedler.complete", prompt="?")
        assert (again.error.code, server.asked) == ("circuit_open", 2)
        assert (await circuits(colony))[circuit] == "open"
        usage = (await call(colony, "mads.fiedler.usage")).value
        assert (usage["total_usd"], usage["budget_left_usd"]) == (0, usage["budget_usd"])
        server.status = 200
        assert await fetch(colony, server) == "hello"
        await asyncio.sleep(2.1)
        assert (await call(colony, "mads.fiedler.complete", prompt="?")).value["text"] == "yes"
        assert (await circuits(colony))[circuit] == "closed"


async def test_a_model_that_is_over_its_rate_limit(tmp_path: Path) -> None:
    """429 is an answer: the endpoint's circuit stays closed."""
    async with world(tmp_path) as (colony, server):
        server.status = 429
        outcome = await call(colony, "mads.fiedler.complete", prompt="?")
        assert (outcome.error.code, server.asked) == ("model_rate_limited", 4)


def breakers(most: int) -> Breakers:
    return Breakers(BreakerSettings(failures=1), ManualClock(), lambda view: None, most=most)


def test_there_are_so_many_circuits_at_most() -> None:
    """Those at rest are forgotten first; open ones, held ones and those in use stay as long as they may."""
    all_of_them = breakers(10)
    held, used, opened = (all_of_them.of(name) for name in ("held", "used", "opened"))
    held.hold_open("r")
    used.enter()
    opened.enter()
    opened.failed("r")
    for number in range(500):
        all_of_them.of(f"host:{number}").enter()
        all_of_them.of(f"host:{number}").succeeded()
        assert len(all_of_them.views()) <= 10
    states = {one.name: one.state for one in all_of_them.views()}
    assert (states["held"], states["opened"], "used" in states) == (CircuitState.OPEN, CircuitState.OPEN, True)
    for number in range(500):
        broken = all_of_them.of(f"broken:{number}")
        broken.enter()
        broken.failed("r")
        assert len(all_of_them.views()) <= 10
    names = {one.name for one in all_of_them.views()}
    assert {"held", "used", "broken:499"} <= names
    assert "opened" not in names
