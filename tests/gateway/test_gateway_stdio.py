"""`cenoby stdio`: the official client over standard input and output, in both eras, against the real gateway."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from cenoby.gateway.stdio_bridge import bridge
from tests.gateway.conftest import HANDSHAKE, META, Stand

BRIDGE = (
    "import asyncio, sys; from cenoby.gateway.stdio_bridge import bridge; "
    "sys.exit(asyncio.run(bridge(sys.argv[1], sys.argv[2], sys.stdin.buffer, sys.stdout.buffer)))"
)


class Pipe:
    """The client's ends of a bridge that runs in this process."""

    def __init__(self, to_bridge: Any, from_bridge: asyncio.StreamReader) -> None:
        self._to = to_bridge
        self._from = from_bridge

    def say(self, document: Any) -> None:
        line = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._to.write(line + b"\n")
        self._to.flush()

    async def hear(self) -> Any:
        return json.loads(await asyncio.wait_for(self._from.readline(), 30))

    def end(self) -> None:
        self._to.close()


@asynccontextmanager
async def bridged(url: str, token: str) -> AsyncIterator[tuple[Pipe, asyncio.Task[int]]]:
    """A bridge on operating-system pipes."""
    stdin_read, stdin_write = os.pipe()
    stdout_read, stdout_write = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(stdout_read, "rb")
    )
    with os.fdopen(stdin_read, "rb") as stdin, os.fdopen(stdout_write, "wb") as stdout:
        pipe = Pipe(os.fdopen(stdin_write, "wb"), reader)
        task = asyncio.create_task(bridge(url, token, stdin, stdout))
        try:
            yield pipe, task
        finally:
            pipe.end()
            await asyncio.wait_for(task, 10)
            transport.close()


def request(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_the_official_client_works_through_the_bridge(stand: Stand, era: Any) -> None:
    """Tools are listed and called, resources read and prompts got, by the SDK's own stdio client, in both eras."""
    server = StdioServerParameters(command=sys.executable, args=["-c", BRIDGE, stand.url, stand.tokens["ada"]])
    async with Client(server, mode=era) as client:
        assert "mads__probe__say" in [tool.name for tool in (await client.list_tools()).tools]
        said = await client.call_tool("mads.probe.say", {"text": "é\u2028"})
        assert said.structured_content == {"text": "é\u2028"}
        text = (await client.read_resource("test://static-text")).contents[0].text
        assert text == "This is the content of the static text resource."
        assert (await client.get_prompt("test_simple_prompt")).messages
        seen: list[float] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            seen.append(done)

        await client.call_tool("mads.conformance.tool_with_progress", {}, progress_callback=progress)
        assert seen == [0, 50, 100]


async def test_what_is_no_json_gets_a_parse_error_and_the_next_line_works(stand: Stand) -> None:
    """A broken line is answered and does not end the bridge; a batch is the colony's to refuse."""
    async with bridged(stand.url, stand.tokens["ada"]) as (pipe, _):
        pipe.say(b"{broken")
        assert (await pipe.hear())["error"]["code"] == -32700
        pipe.say(b"")
        pipe.say(request(1, "tools/call", name="mads.probe.say", arguments={"text": "a"}, _meta=META))
        assert (await pipe.hear())["result"]["structuredContent"] == {"text": "a"}


async def test_a_wrong_token_is_told_with_the_id_of_the_request(stand: Stand) -> None:
    """An HTTP refusal becomes the JSON-RPC error of the request that it answers."""
    async with bridged(stand.url, "cby_nobody") as (pipe, _):
        pipe.say(request(5, "tools/list", _meta=META))
        answer = await pipe.hear()
        assert answer["id"] == 5
        assert answer["error"]["data"]["cenoby/error"]["code"] == "token_unknown"


async def test_a_colony_that_does_not_answer_is_told_as_such(unused_tcp_port: int) -> None:
    """With no colony there, every request is answered with what to do."""
    async with bridged(f"http://127.0.0.1:{unused_tcp_port}/mcp", "t") as (pipe, _):
        pipe.say(request(1, "tools/list", _meta=META))
        answer = await pipe.hear()
        assert answer["id"] == 1
        assert "cenoby up" in answer["error"]["message"]


async def test_a_stateless_client_cancels_by_notification(stand: Stand) -> None:
    """On stdio cancellation is a notification; over HTTP the bridge closes the request, and the call is cancelled."""
    async with bridged(stand.url, stand.tokens["ada"]) as (pipe, _):
        pipe.say(request(1, "tools/call", name="mads.probe.wait", arguments={}, _meta=META))
        await asyncio.wait_for(stand.probe.waiting.wait(), 30)
        pipe.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        for _ in range(500):
            if stand.records("mads.probe.wait"):
                break
            await asyncio.sleep(0.01)
        assert stand.records("mads.probe.wait")[0].status == "cancelled"


async def test_a_handshake_client_hears_of_changes(stand: Stand) -> None:
    """The session's event stream comes out on standard output, and the end of input ends the session."""
    async with bridged(stand.url, stand.tokens["ada"]) as (pipe, task):
        client = {"name": "t", "version": "1"}
        pipe.say(request(1, "initialize", protocolVersion=HANDSHAKE, capabilities={}, clientInfo=client))
        assert (await pipe.hear())["result"]["protocolVersion"] == HANDSHAKE
        pipe.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        pipe.say(request(2, "ping"))
        assert (await pipe.hear())["id"] == 2
        for _ in range(50):
            await stand.changed("tools")
            await asyncio.sleep(0.02)
        assert (await pipe.hear())["method"] == "notifications/tools/list_changed"
        assert b"cenoby_open_sessions 1.0" in stand.metrics.render()
        pipe.end()
        assert await asyncio.wait_for(task, 10) == 0
        assert b"cenoby_open_sessions 0.0" in stand.metrics.render()


async def test_answers_under_way_come_before_the_end(stand: Stand) -> None:
    """A client that writes its requests and closes its end still gets the answers."""
    lines = b"".join(
        json.dumps(request(number, "tools/call", name="mads.probe.say", arguments={"text": "a"}, _meta=META)).encode()
        + b"\n"
        for number in range(20)
    )
    written = io.BytesIO()
    assert await bridge(stand.url, stand.tokens["ada"], io.BytesIO(lines), written) == 0
    answers = [json.loads(line) for line in written.getvalue().splitlines()]
    assert sorted(answer["id"] for answer in answers) == list(range(20))
