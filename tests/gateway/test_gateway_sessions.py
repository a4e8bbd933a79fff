"""Handshake sessions, resources, prompts, and the changes that clients hear of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad, ResourceKind
from cenoby.colony.tool import ToolContent, tool
from tests.gateway.conftest import META, McpHttp, Stand, StartStand

WATCHED = "test://watched-resource"


@asynccontextmanager
async def stream(stand: Stand, head: str, body: bytes = b"") -> AsyncIterator[AsyncIterator[Any]]:
    """An event stream: the JSON of each event as it comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(head.encode() + b"\r\n" + body)

    async def events() -> AsyncIterator[Any]:
        while line := await asyncio.wait_for(reader.readline(), 30):
            if line.startswith(b"data:") and line[5:].strip():
                yield json.loads(line[5:])

    try:
        yield events()
    finally:
        writer.close()


def head_of(method: str, headers: dict[str, str]) -> str:
    return f"{method} /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in headers.items()
    )


def listening(mcp: McpHttp, **wanted: Any) -> tuple[str, bytes]:
    """A subscriptions/listen request."""
    params = {"notifications": wanted, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen", "params": params}).encode()
    headers = mcp.headers("subscriptions/listen", {}) | {"content-length": str(len(body))}
    return head_of("POST", headers), body


async def test_a_session_belongs_to_the_principal_that_opened_it(stand: Stand, mcp: McpHttp) -> None:
    """Another agent with a valid token cannot tell somebody's session from one that does not exist."""
    await mcp.open()
    other = McpHttp(stand, "bob", session=mcp.session)
    for method in ("POST", "GET", "DELETE"):
        answer = await other.raw.request(method, "/mcp", other.session_headers(), b"{}" if method == "POST" else b"")
        assert answer.status == 404
    assert (await mcp.handshake("ping", {})).message["result"] == {}


async def test_a_deleted_session_is_gone(mcp: McpHttp) -> None:
    """DELETE ends a session; its id answers 404 from then on."""
    await mcp.open()
    assert (await mcp.raw.request("DELETE", "/mcp", mcp.session_headers())).status == 200
    assert (await mcp.handshake("ping", {})).status == 404


async def test_without_a_session_only_initialize_is_served(stand: Stand, mcp: McpHttp) -> None:
    """A handshake-era request without session is told what to do, and opens nothing."""
    assert (await mcp.handshake("tools/list", {})).status == 400
    assert (await mcp.raw.request("GET", "/mcp", mcp.session_headers())).status == 400
    refused = await mcp.handshake("initialize", {"nonsense": True})
    assert "error" in refused.message
    rendered = stand.metrics.render().decode()
    assert "cenoby_open_sessions 0.0" in rendered or "cenoby_open_sessions 1.0" in rendered


async def test_a_handshake_client_is_told_of_what_it_subscribed_to(stand: Stand, mcp: McpHttp) -> None:
    """Resource updates after resources/subscribe, and changes of the listings, arrive on the session's stream."""
    await mcp.open()
    async with stream(stand, head_of("GET", mcp.session_headers())) as events:
        assert (await mcp.handshake("resources/subscribe", {"uri": WATCHED})).message["result"] == {}
        await stand.updated("test://static-text")
        await stand.updated(WATCHED, tenant="other")
        await stand.updated(WATCHED)
        assert await anext(events) == {
            "jsonrpc": "2.0",
            "method": "notifications/resources/updated",
            "params": {"uri": WATCHED},
        }
        await stand.changed("tools")
        assert (await anext(events))["method"] == "notifications/tools/list_changed"
        await mcp.handshake("resources/unsubscribe", {"uri": WATCHED})
        await stand.updated(WATCHED)
        await stand.changed("prompts")
        assert (await anext(events))["method"] == "notifications/prompts/list_changed"


async def test_a_listener_hears_what_it_asked_for_and_nothing_else(stand: Stand, mcp: McpHttp) -> None:
    """subscriptions/listen acknowledges first, stamps every frame, and filters."""
    head, body = listening(mcp, toolsListChanged=True, resourceSubscriptions=[WATCHED, "test://nothing"])
    async with stream(stand, head, body) as events:
        acknowledged = await anext(events)
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        assert acknowledged["params"]["notifications"] == {
            "toolsListChanged": True,
            "resourceSubscriptions": [WATCHED],
        }
        await stand.changed("prompts", "resources")
        await stand.changed("tools")
        changed = await anext(events)
        assert changed["method"] == "notifications/tools/list_changed"
        assert changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 9
        await stand.updated(WATCHED)
        assert (await anext(events))["params"]["uri"] == WATCHED


async def test_nobody_hears_of_what_they_may_not_read(stand: Stand) -> None:
    """Watching a resource starts with reading it, as the caller; who may not read is not told of changes."""
    observer = McpHttp(stand, "olga")
    head, body = listening(observer, resourceSubscriptions=[WATCHED])
    async with stream(stand, head, body) as events:
        assert (await anext(events))["params"]["notifications"] == {}
    assert stand.records("mads.conformance.watched_resource")[0].code == "action_not_allowed"


async def test_a_stream_that_is_drained_ends_with_its_result(stand: Stand, mcp: McpHttp) -> None:
    """A graceful stop closes listening streams with their final frame, so that clients know it was meant."""
    head, body = listening(mcp, toolsListChanged=True)
    async with stream(stand, head, body) as events:
        await anext(events)
        stand.gateway.drain()
        assert "result" in await anext(events)


async def test_a_standing_stream_does_not_hold_up_a_stop(stand: Stand, mcp: McpHttp) -> None:
    """A graceful stop ends the standing stream of a session; calls of the session under way are still answered."""
    await mcp.open()
    async with stream(stand, head_of("GET", mcp.session_headers())) as events:
        await stand.changed("tools")
        await anext(events)
        call = asyncio.create_task(mcp.handshake("tools/call", {"name": "mads.probe.wait", "arguments": {}}))
        await asyncio.wait_for(stand.probe.waiting.wait(), 30)
        stand.gateway.drain()
        assert [event async for event in events] == []
        stand.probe.release.set()
        assert (await call).message["result"]["structuredContent"] == {"text": "released"}


async def test_only_so_many_streams_are_open_at_once(start_stand: StartStand) -> None:
    """Beyond max_streams a listener gets 503 with Retry-After; others are served."""
    async with start_stand(gateway={"max_streams": 1}) as stand:
        mcp = McpHttp(stand)
        head, body = listening(mcp, toolsListChanged=True)
        async with stream(stand, head, body) as events:
            await anext(events)
            refused = await mcp.stateless("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert (await mcp.stateless("tools/list")).status == 200


class Slow(Mad):
    """A resource that takes as long to read as the test wants."""

    name = "slow"

    def __init__(self, release: asyncio.Event) -> None:
        self._release = release

    def resources(self) -> Sequence[ResourceKind]:
        return (ResourceKind(template="slow://thing", name="thing", description="", tool="mads.slow.read"),)

    @tool("test:run", effect="reads")
    async def read(self, call: Call) -> ToolContent:
        """Wait for the test."""
        await self._release.wait()
        return ToolContent([])


async def test_a_listener_is_work_under_way_until_it_is_acknowledged(stand: Stand, mcp: McpHttp) -> None:
    """While it reads what it is to watch it holds a place among the requests, and gives it back once it only waits."""

    async def shown(metric: str) -> None:
        for _ in range(6000):
            if metric in stand.metrics.render().decode():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{metric} was never shown")

    release = asyncio.Event()
    await stand.host.add(Slow(release))
    head, body = listening(mcp, resourceSubscriptions=["slow://thing"])
    async with stream(stand, head, body) as events:
        await shown("cenoby_open_streams 1.0")
        await shown("cenoby_inflight_requests 1.0")
        release.set()
        assert (await anext(events))["params"]["notifications"] == {"resourceSubscriptions": ["slow://thing"]}
        await shown("cenoby_inflight_requests 0.0")
        await shown("cenoby_open_streams 1.0")


async def test_resources_are_listed_read_and_not_found(mcp: McpHttp) -> None:
    """Fixed resources are listed, templates apart; reading goes through the pipeline; an unknown URI is an error."""
    listed = (await mcp.stateless("resources/list")).json["result"]["resources"]
    assert [resource["uri"] for resource in listed] == ["test://static-binary", "test://static-text", WATCHED]
    templates = (await mcp.stateless("resources/templates/list")).json["result"]["resourceTemplates"]
    assert [template["uriTemplate"] for template in templates] == ["test://template/{id}/data"]
    read = (await mcp.stateless("resources/read", {"uri": "test://template/a%20b/data"})).json["result"]
    assert json.loads(read["contents"][0]["text"])["id"] == "a b"
    assert read["_meta"]["cenoby/record"]
    for uri in ("test://nothing", "test://template//data", "test://template/a/b/data", "x" * 5000):
        missing = await mcp.stateless("resources/read", {"uri": uri})
        assert (missing.status, missing.json["error"]["code"]) == (400, -32602), uri


async def test_a_resource_beyond_the_callers_roles_is_refused(stand: Stand) -> None:
    """A role that may not use the tool sees no resource of it and cannot read it."""
    observer = McpHttp(stand, "olga")
    assert (await observer.stateless("resources/list")).json["result"]["resources"] == []
    answer = await observer.stateless("resources/read", {"uri": "test://static-text"})
    assert answer.json["error"]["data"]["cenoby/error"]["code"] == "action_not_allowed"


async def test_prompts_check_their_arguments(mcp: McpHttp) -> None:
    """A prompt without its arguments, and a prompt that is not there, are invalid params."""
    for params in ({"name": "test_prompt_with_arguments", "arguments": {"arg1": "a"}}, {"name": "no such"}):
        answer = await mcp.stateless("prompts/get", params)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
    reference = {"type": "ref/prompt", "name": "test_prompt_with_arguments"}
    params = {"ref": reference, "argument": {"name": "arg1", "value": "par"}}
    completed = (await mcp.stateless("completion/complete", params)).json["result"]["completion"]
    assert completed["values"] == ["paris", "park", "party"]


async def test_log_lines_below_the_wanted_level_are_not_sent(mcp: McpHttp) -> None:
    """logging/setLevel holds for the session; revision 2026-07-28 asks per request."""
    await mcp.open()
    await mcp.handshake("logging/setLevel", {"level": "error"})
    answer = await mcp.handshake("tools/call", {"name": "mads.conformance.logging_tool", "arguments": {}})
    assert [event["params"]["level"] for event in answer.events if "method" in event] == ["error"]
    params = {"name": "mads.conformance.logging_tool", "arguments": {}}
    wanted = {"io.modelcontextprotocol/logLevel": "warning"}
    stateless = await mcp.stateless("tools/call", params, meta=wanted)
    assert [event["params"]["level"] for event in stateless.events if "method" in event] == ["warning", "error"]


async def test_a_sealed_state_holds_for_one_request_of_one_caller(stand: Stand, mcp: McpHttp) -> None:
    """The state of a question cannot be changed, taken to another tool, or used by somebody else."""
    asks = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    name = "mads.conformance.input_request_state"
    first = (await mcp.stateless("tools/call", {"name": name, "arguments": {}}, meta=asks)).json["result"]
    assert first["resultType"] == "input_required"
    answers = {"confirm": {"action": "accept", "content": {"ok": True}}}
    again = {"name": name, "arguments": {}, "inputResponses": answers, "requestState": first["requestState"]}
    assert "state-ok" in str((await mcp.stateless("tools/call", again, meta=asks)).json["result"])
    thief = McpHttp(stand, "bob")
    other_tool = again | {"name": "mads.conformance.input_tampered_state"}
    changed = again | {"requestState": first["requestState"][:-2] + "xx"}
    for client, params in ((thief, again), (mcp, other_tool), (mcp, changed)):
        refused = await client.stateless("tools/call", params, meta=asks)
        assert (refused.status, refused.json["error"]["code"]) == (400, -32602)
