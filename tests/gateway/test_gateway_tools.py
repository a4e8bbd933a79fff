"""tools/list and tools/call: what a caller sees, what it gets, and what the journal holds of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool
from cenoby.gateway.names import canonical, spelled
from tests.gateway.conftest import META, Answer, McpHttp, Stand, StartStand


@pytest.mark.parametrize("name", ["mads.turing.get_secret", "mads.a.b", "mads.rogers.join"])
def test_a_name_survives_its_alias(name: str) -> None:
    """Both spellings mean the same tool, and the alias is one that every client accepts."""
    assert canonical(spelled(name, "alias")) == name
    assert canonical(spelled(name, "dotted")) == name
    assert spelled(name, "alias").replace("_", "a").isalnum()


async def names(mcp: McpHttp, **params: Any) -> list[str]:
    answer = await mcp.stateless("tools/list", params)
    return [listed["name"] for listed in answer.json["result"]["tools"]]


async def test_a_listing_holds_what_the_roles_of_its_caller_allow(stand: Stand) -> None:
    """Each caller sees its own tools, in a stable order, and the listing says that it is nobody else's."""
    developer, operator, observer = (McpHttp(stand, agent) for agent in ("ada", "root", "olga"))
    assert "mads__probe__say" in await names(developer)
    assert "mads__probe__hidden" not in await names(developer)
    assert "mads__probe__hidden" in await names(operator)
    assert await names(observer) == []
    assert await names(developer) == sorted(await names(developer))
    result = (await developer.stateless("tools/list")).json["result"]
    assert result["cacheScope"] == "private"
    assert result["ttlMs"] > 0


async def test_a_tool_is_described_in_full(mcp: McpHttp) -> None:
    """Schemas both ways, hints for clients, and the canonical name beside the alias."""
    listed = {one["name"]: one for one in (await mcp.stateless("tools/list")).json["result"]["tools"]}
    say, write = listed["mads__probe__say"], listed["mads__probe__write"]
    assert say["inputSchema"]["required"] == ["text"]
    assert say["inputSchema"]["additionalProperties"] is False
    assert say["outputSchema"]["properties"]["text"]["type"] == "string"
    assert say["annotations"]["readOnlyHint"] is True
    assert write["annotations"] == {
        "readOnlyHint": False,
        "destructiveHint": False,
        "idempotentHint": False,
        "openWorldHint": False,
    }
    assert say["_meta"]["cenoby/tool"] == "mads.probe.say"


class Careless(Mad):
    """A third party's MAD whose tool promises a result that MCP has no schema for."""

    name = "careless"

    @tool("test:run", effect="reads")
    async def count(self, call: Call) -> int:
        """Answer with a bare number."""
        return 1


async def test_a_mad_with_a_tool_that_cannot_be_described_is_not_hosted(stand: Stand, mcp: McpHttp) -> None:
    """The host refuses it with the tool's name, and the listing stays as it was."""
    before = await names(mcp)
    with pytest.raises(TypeError, match=r"mads\.\w+\.\w+ must return an object"):
        await stand.host.add(Careless())
    assert await names(mcp) == before


async def test_a_listing_comes_in_pages(start_stand: StartStand) -> None:
    """Cursors lead through all tools exactly once, and a made-up cursor is an error."""
    async with start_stand(gateway={"page_size": 5}) as stand:
        mcp = McpHttp(stand)
        seen: list[str] = []
        params: dict[str, Any] = {}
        while True:
            result = (await mcp.stateless("tools/list", params)).json["result"]
            assert len(result["tools"]) <= 5
            seen += [listed["name"] for listed in result["tools"]]
            if "nextCursor" not in result:
                break
            params = {"cursor": result["nextCursor"]}
        assert len(seen) == len(set(seen)) > 20
        wrong = await mcp.stateless("tools/list", {"cursor": "not ours"})
        assert (wrong.status, wrong.json["error"]["code"]) == (400, -32602)


async def test_dotted_names_are_advertised_where_the_settings_say_so(start_stand: StartStand) -> None:
    """The settings choose the spelling of listings; calls take both."""
    async with start_stand(gateway={"tool_names": "dotted"}) as stand:
        mcp = McpHttp(stand)
        assert "mads.probe.say" in await names(mcp)
        for name in ("mads.probe.say", "mads__probe__say"):
            assert (await mcp.call(name, text="a"))["structuredContent"] == {"text": "a"}


async def test_a_result_is_structured_text_and_names_its_record(stand: Stand, mcp: McpHttp) -> None:
    """The structured result, the same as text for older clients, and the journal record of the call."""
    result = await mcp.call("mads.probe.say", text='é\n"x"')
    assert result["structuredContent"] == {"text": 'é\n"x"'}
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    assert result["isError"] is False
    assert result["resultType"] == "complete"
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "cenoby"
    [record] = stand.records("mads.probe.say")
    assert (record.agent, record.decision, record.status) == ("ada", "allowed", "ok")
    assert result["_meta"]["cenoby/record"]


async def test_a_refusal_is_readable_and_recorded(stand: Stand, mcp: McpHttp) -> None:
    """A call beyond the caller's roles names the capability that is missing, in the result and in the journal."""
    result = await mcp.call("mads__probe__hidden")
    assert result["isError"] is True
    assert result["content"][0]["text"].startswith("action_not_allowed: ")
    assert result["_meta"]["cenoby/error"]["details"]["action"] == "colony:admin"
    [record] = stand.records("mads.probe.hidden")
    assert (record.decision, record.code) == ("refused", "action_not_allowed")


async def test_a_client_that_goes_away_cancels_its_stateless_call(stand: Stand, mcp: McpHttp) -> None:
    """Closing the connection is the cancellation of revision 2026-07-28; the journal holds it as cancelled."""
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "mads.probe.wait", "_meta": META}}
    ).encode()
    for calls, progress in enumerate((False, True), start=1):
        stand.probe.waiting.clear()
        headers = mcp.headers("tools/call", {"name": "mads.probe.wait"}) | {"host": "localhost"}
        sent = body.replace(b'"_meta": {', b'"_meta": {"progressToken": 1, ') if progress else body
        headers["content-length"] = str(len(sent))
        head = "POST /mcp HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", stand.port)
        writer.write(head.encode() + sent)
        await asyncio.wait_for(stand.probe.waiting.wait(), 30)
        writer.close()
        await _until(lambda calls=calls: len(stand.records("mads.probe.wait")) == calls)
    assert {record.status for record in stand.records("mads.probe.wait")} == {"cancelled"}


async def test_a_handshake_client_cancels_by_notification(stand: Stand, mcp: McpHttp) -> None:
    """`notifications/cancelled` ends the call it names, and the journal holds it as cancelled."""
    await mcp.open()
    number = mcp.number + 1
    call = asyncio.create_task(mcp.handshake("tools/call", {"name": "mads.probe.wait", "arguments": {}}))
    await asyncio.wait_for(stand.probe.waiting.wait(), 30)
    await mcp.handshake("notifications/cancelled", {"requestId": number}, notification=True)
    assert "error" in (await asyncio.wait_for(call, 30)).message
    await _until(lambda: bool(stand.records("mads.probe.wait")))
    assert stand.records("mads.probe.wait")[0].status == "cancelled"


async def test_a_full_mailbox_is_503_with_retry_after(start_stand: StartStand) -> None:
    """A colony that can take no more of a MAD's calls says when to come back, by status and header."""
    async with start_stand(mailbox={"concurrency": 1, "depth": 1}) as stand:
        mcp = McpHttp(stand)
        waiting = [asyncio.create_task(McpHttp(stand).call("mads.probe.wait")) for _ in range(2)]
        await asyncio.wait_for(stand.probe.waiting.wait(), 30)
        await _until(lambda: stand.host.mailbox_states()["probe"].waiting == 1)
        for meta in ({}, {"progressToken": 1}):
            params = {"name": "mads.probe.wait", "arguments": {}}
            answer = await mcp.stateless("tools/call", params, meta=meta)
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json["error"]["data"]["cenoby/error"]["code"] == "mailbox_full"
        stand.probe.release.set()
        await asyncio.gather(*waiting)


async def test_more_requests_than_may_be_at_once_are_turned_away(start_stand: StartStand) -> None:
    """Beyond max_inflight the gateway answers 503 with Retry-After at once, and recovers when there is room."""
    async with start_stand(gateway={"max_inflight": 2, "max_inflight_per_agent": 2}) as stand:
        mcp = McpHttp(stand)
        waiting = [asyncio.create_task(McpHttp(stand).call("mads.probe.wait")) for _ in range(2)]
        await _until(lambda: stand.host.mailbox_states()["probe"].running == 2)
        answer = await mcp.stateless("tools/list")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        stand.probe.release.set()
        await asyncio.gather(*waiting)
        assert (await mcp.stateless("tools/list")).status == 200


async def test_one_agent_has_a_share_of_the_places_and_some_are_kept(start_stand: StartStand) -> None:
    """An agent beyond its share waits alone; when others fill the rest, those who may decide still get in."""
    async with start_stand(gateway={"max_inflight": 16, "max_inflight_per_agent": 10}) as stand:
        waiting = [asyncio.create_task(McpHttp(stand, "ada").call("mads.probe.wait")) for _ in range(10)]
        await _until(lambda: _busy(stand) == 10)
        assert _refusal(await McpHttp(stand, "ada").stateless("tools/list")) == (503, "share_full")
        waiting += [asyncio.create_task(McpHttp(stand, "bob").call("mads.probe.wait")) for _ in range(5)]
        await _until(lambda: _busy(stand) == 15)
        assert _refusal(await McpHttp(stand, "bob").stateless("tools/list")) == (503, "places_full")
        assert (await McpHttp(stand, "root").stateless("tools/list")).status == 200
        stand.probe.release.set()
        await asyncio.gather(*waiting)
        assert (await McpHttp(stand, "bob").stateless("tools/list")).status == 200


async def test_a_hundred_calls_of_one_agent_are_within_its_share(stand: Stand) -> None:
    """The shipped limits serve a hundred calls of one agent at once."""
    waiting = [asyncio.create_task(McpHttp(stand).call("mads.probe.wait")) for _ in range(100)]
    await _until(lambda: _busy(stand) == 100)
    stand.probe.release.set()
    results = await asyncio.gather(*waiting)
    assert all(result["structuredContent"] == {"text": "released"} for result in results)


def _busy(stand: Stand) -> int:
    state = stand.host.mailbox_states()["probe"]
    return state.running + state.waiting


def _refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]["data"]["cenoby/error"]["code"]


async def test_more_connections_than_may_be_are_turned_away(start_stand: StartStand) -> None:
    """Beyond max_connections a new connection gets 503 with Retry-After and is closed."""
    async with start_stand(gateway={"max_connections": 2}) as stand:
        held = [await asyncio.open_connection("127.0.0.1", stand.port) for _ in range(2)]
        raw = await McpHttp(stand).raw.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert raw.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in raw
        for _, writer in held:
            writer.close()


async def test_stopping_lets_calls_finish_and_turns_new_ones_away(start_stand: StartStand) -> None:
    """A graceful stop answers what is under way; readiness is gone at once."""
    async with start_stand(gateway={"drain_timeout": 5}) as stand:
        mcp = McpHttp(stand)
        call = asyncio.create_task(mcp.call("mads.probe.wait"))
        await asyncio.wait_for(stand.probe.waiting.wait(), 30)
        stand.gateway.drain()
        assert (await mcp.raw.request("GET", "/readyz")).status == 503
        assert (await mcp.stateless("tools/list")).status == 503
        asyncio.get_running_loop().call_later(0.2, stand.probe.release.set)
    assert (await call)["structuredContent"] == {"text": "released"}


async def test_stopping_ends_in_bounded_time_whatever_a_tool_does(start_stand: StartStand) -> None:
    """A call that does not end is cancelled at the drain timeout, answered 503, and recorded as cancelled."""
    async with start_stand(gateway={"drain_timeout": 0.3}) as stand:
        params = {"name": "mads.probe.wait", "arguments": {}}
        call = asyncio.create_task(McpHttp(stand).stateless("tools/call", params))
        await asyncio.wait_for(stand.probe.waiting.wait(), 30)
    assert (await call).status == 503
    assert stand.records("mads.probe.wait")[0].status == "cancelled"


async def test_the_trace_context_of_a_client_is_kept_with_the_call(stand: Stand, mcp: McpHttp) -> None:
    """A W3C traceparent becomes the cause of the record; anything else in its place does not."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for value in (parent, "forged\nline", 5):
        params = {"name": "mads.probe.say", "arguments": {"text": "x"}}
        await mcp.stateless("tools/call", params, meta={"traceparent": value})
    assert [record.causation for record in stand.records("mads.probe.say")] == [parent, "", ""]


def test_hidden_tools_are_not_told_apart_from_missing_ones_before_the_pipeline() -> None:
    """The unknown-tool error is the pipeline's own, so that the gateway adds no way to probe for names."""
    assert "tool_unknown" in CallInvalid.codes


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that within 5 s")
