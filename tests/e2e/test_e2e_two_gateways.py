"""Two gateways behind one address serve one colony: the same tokens, quotas, rates and journal for both."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bench.load_client import Connection, Job, request
from tests.conftest import RunningColony, needs_service, run_colony
from tests.stores import Postgres

QUOTA, RATE, BURST, CLIENTS = 300, 40.0, 20, 8
TOOL, RATED_TOOL = "mads__fiedler__list_models", "mads__turing__list_secrets"
AGAIN = {"quota_pending", "share_expired"}


class Pair:
    """Two processes of one colony, as README says to set them up."""

    def __init__(self, folder: Path, settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._stack = contextlib.ExitStack()
        self.gateways: dict[str, RunningColony] = {}

    def start(self, name: str) -> RunningColony:
        data = self._folder / name
        if self.gateways and not data.exists():
            data.mkdir(mode=0o700)
            shutil.copy(next(iter(self.gateways.values())).data / "admin.token", data)
        running = run_colony(data, settings=f"{self._settings}node: {name}\n")
        self.gateways[name] = self._stack.enter_context(running)
        return self.gateways[name]

    @property
    def ports(self) -> list[int]:
        return [int(gateway.url.split(":")[2].split("/")[0]) for gateway in self.gateways.values()]

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture
def pair(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("CENOBY_MASTER_KEY", base64.b64encode(os.urandom(32)).decode())
    settings = (
        f"store: {postgres.new_url()}\nbus: nats://{needs_service('nats')}\ncolony: pair-{secrets.token_hex(4)}\n"
        f"vault: {{key: env}}\nlimits: {{calls_per_day: {QUOTA}, lease_seconds: 4, "
        f"namespaces: {{turing: {{calls_per_second: {RATE}, burst: {BURST}}}}}}}\n"
    )
    pair = Pair(tmp_path, settings)
    yield pair
    pair.stop()


@contextlib.asynccontextmanager
async def one_address(ports: list[int]) -> AsyncIterator[tuple[int, Counter[int]]]:
    """A TCP balancer: each connection goes to the next gateway that answers. Its port, and who got how many."""
    order, served = list(ports), Counter[int]()

    under_way = set[asyncio.Task[Any]]()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        order.append(order.pop(0))
        for port in list(order):
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                served[port] += 1
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
                return
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], served
        await asyncio.gather(*under_way)


async def hammer(port: int, token: str, tool: str, *, until: str, kill: Any = None) -> tuple[int, int]:
    """Eight clients call until each is refused with this code; calls admitted, and calls that got no answer."""
    job = Job("127.0.0.1", port, "/mcp", [], CLIENTS, 0, token=token)
    admitted = lost = 0

    async def client() -> None:
        nonlocal admitted, lost
        code, connection = "", None
        while code != until:
            if connection is None:
                _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
            try:
                status, body = await connection.send(request(job, "tools/call", {"name": tool, "arguments": {}}))
            except OSError:
                connection.close()
                connection, lost = None, lost + 1
                continue
            assert status == 200, body
            result = json.loads(body)["result"]
            code = result["content"][0]["text"].partition(":")[0] if result["isError"] else ""
            assert code in {"", until, *AGAIN}, body
            admitted += not code
            if kill is not None and admitted >= QUOTA // 3:
                kill()
        if connection is not None:
            connection.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    await asyncio.sleep(0.05)
    return admitted, lost


def verified(gateway: RunningColony) -> set[str]:
    """The nodes whose chains hold."""
    found = json.loads(gateway.cenoby("journal", "verify", "--json").stdout)
    assert found["ok"], found
    return {head["node"] for head in found["heads"]}


def test_two_gateways_share_one_quota_to_the_last_call(pair: Pair) -> None:
    """Hammered through one address, both admit the quota in sum and not one call more or less; one that starts again
    knows what was used; both chains verify."""
    first = pair.start("first")
    token = first.token("ada", "developer")
    second = pair.start("second")

    async def calls() -> tuple[tuple[int, int], Counter[int]]:
        async with one_address(pair.ports) as (port, served):
            return await hammer(port, token, TOOL, until="quota_exceeded"), served

    (admitted, lost), served = asyncio.run(calls())
    assert (admitted, lost) == (QUOTA, 0)
    assert set(served) == set(pair.ports)
    assert verified(first) == {"first", "second"}
    assert second.stop() == 0
    second = pair.start("second")
    assert asyncio.run(hammer(pair.ports[1], token, TOOL, until="quota_exceeded")) == (0, 0)
    assert second.operator_token == first.operator_token
    assert json.loads(second.cenoby("status", "--json").stdout)


def test_one_gateway_is_killed_and_the_other_goes_on_with_the_rest(pair: Pair) -> None:
    """No call is admitted twice over: the quota is not exceeded, and what is missing is what the dead one held."""
    first = pair.start("first")
    token = first.token("ada", "developer")
    second = pair.start("second")
    killed: list[str] = []

    def kill() -> None:
        if not killed:
            killed.append("first")
            first.kill()

    async def calls() -> tuple[int, int]:
        async with one_address(pair.ports) as (port, _):
            return await hammer(port, token, TOOL, until="quota_exceeded", kill=kill)

    admitted, lost = asyncio.run(calls())
    assert killed
    assert 0 < lost <= CLIENTS
    assert QUOTA - 2 * (QUOTA // 8) - lost <= admitted <= QUOTA
    assert verified(second) == {"first", "second"}


def test_two_gateways_share_one_rate(pair: Pair) -> None:
    """What both admit in sum is no more than rate and burst grant in that time; each alone was given half of them."""
    token = pair.start("first").token("bob", "operator")
    pair.start("second")

    async def calls() -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for _ in range(3):
            found += await asyncio.gather(
                *(hammer(port, token, RATED_TOOL, until="rate_limited") for port in pair.ports)
            )
            await asyncio.sleep(0.5)
        return found

    began = time.monotonic()
    counts = asyncio.run(calls())
    seconds = time.monotonic() - began
    # What was saved up before the first call is the burst.
    assert 0 < sum(admitted for admitted, _ in counts) <= RATE * seconds + BURST


def test_a_session_that_meets_the_other_gateway_is_told_to_begin_anew(pair: Pair) -> None:
    """Sessions of handshake revisions are their process's own: the other one answers 404, on which clients initialize
    again; stateless calls need no session."""
    first = pair.start("first")
    token = first.token("ada", "developer")
    second = pair.start("second")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    with httpx2.Client(headers=headers, trust_env=False) as client:
        session = client.post(first.url, json=hello).headers["mcp-session-id"]
        ask = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        answer = client.post(second.url, json=ask, headers={"mcp-session-id": session})
    assert answer.status_code == 404
    assert "initialize a new one" in answer.json()["error"]["message"]


def test_a_kill_switch_holds_on_the_other_gateway_too(pair: Pair) -> None:
    """Thrown at one, it stops the agent at both until it is lifted; and MADs, for everybody, in the same way."""
    first = pair.start("first")
    token = first.token("ada", "developer")
    second = pair.start("second")
    for what in (("agent", "ada"), ("mad", "fiedler"), ("all",)):
        assert first.cenoby("kill", *what, "--reason", "it drifts").returncode == 0
        for gateway in (first, second):
            until(lambda gateway=gateway: "killed" in said(gateway, token))
        listed = json.loads(second.cenoby("kills", "--json").stdout)
        assert [(one["scope"], one["reason"]) for one in listed] == [(what[0], "it drifts")]
        assert second.cenoby("unkill", *what).returncode == 0
        for gateway in (first, second):
            until(lambda gateway=gateway: "killed" not in said(gateway, token))


def said(gateway: RunningColony, token: str) -> str:
    port = int(gateway.url.split(":")[2].split("/")[0])
    job = Job("127.0.0.1", port, "/mcp", [], 1, 0, token=token)

    async def call() -> str:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        _, body = await connection.send(request(job, "tools/call", {"name": TOOL, "arguments": {}}))
        connection.close()
        return body.decode()

    return asyncio.run(call())


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
