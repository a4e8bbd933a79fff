"""The fast path answers as the SDK's way does; what it does not recognise it leaves alone."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import httpx2
import mcp_types as types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from cenoby.gateway.fast_path import FastPath
from tests.gateway.conftest import META, McpHttp, Stand

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "structured": ("mads.probe.say", {"text": 'é "quoted" \n \u2028'}),
    "alias": ("mads__probe__say", {"text": "x"}),
    "side effects": ("mads.probe.write", {"text": "x"}),
    "blocks": ("mads.conformance.multiple_content_types", {}),
    "tool error": ("mads.conformance.error_handling", {}),
    "misfit": ("mads.probe.say", {"text": 5}),
    "refused": ("mads.probe.hidden", {}),
    "broken": ("mads.probe.crash", {}),
    "asks": ("mads.conformance.input_elicitation", {}),
    "lacks a capability": ("mads.conformance.missing_capability", {}),
    "unknown": ("mads.probe.nothing", {}),
}


def comparable(answer: Any) -> Any:
    """An answer without what differs from call to call: ids of records and correlations, sealed states, dates."""
    message = copy.deepcopy(answer.message)
    body = message.get("result") or message["error"].get("data") or {}
    for key in ("cenoby/record",):
        body.get("_meta", {}).pop(key, None)
    body.pop("requestState", None)
    error = (body.get("_meta") or body).get("cenoby/error", {})
    for text in (error, *body.get("content", [])):
        for key in ("message", "text"):
            if "correlation" in str(text.get(key)):
                text[key] = text[key].split("correlation")[0]
    error.pop("record", None)
    return answer.status, message


@pytest.mark.parametrize("name", CALLS)
async def test_both_ways_answer_the_same(mcp: McpHttp, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Results, refusals, faults, questions and protocol errors are the same on the fast path and by the SDK."""
    tool_name, arguments = CALLS[name]
    capabilities = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    params = {"name": tool_name, "arguments": arguments}
    short = await mcp.stateless("tools/call", params, meta=capabilities)
    monkeypatch.setattr(FastPath, "read", lambda *_: None)
    mcp.number -= 1
    long = await mcp.stateless("tools/call", params, meta=capabilities)
    assert comparable(short) == comparable(long)
    assert short.headers["content-type"] == long.headers["content-type"]


@pytest.mark.parametrize("name", [name for name in CALLS if name != "asks"])
async def test_both_ways_answer_the_same_in_a_session(mcp: McpHttp, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The same for the handshake revisions, where the SDK streams what the fast path answers as one object."""
    tool_name, arguments = CALLS[name]
    await mcp.open()
    params = {"name": tool_name, "arguments": arguments}
    short = await mcp.handshake("tools/call", params)
    monkeypatch.setattr(FastPath, "read", lambda *_: None)
    mcp.number -= 1
    long = await mcp.handshake("tools/call", params)
    assert comparable(short) == comparable(long)
    assert (short.headers["content-type"] == "application/json") is (name != "unknown")
    assert short.headers["mcp-session-id"] == mcp.session


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_is_not_declared_json_is_refused_on_both_ways(
    mcp: McpHttp, monkeypatch: pytest.MonkeyPatch, content_type: str
) -> None:
    """A tool runs only for a body sent as `application/json`, in both eras and whichever way reads it."""
    await mcp.open()
    params = {"name": "mads.probe.write", "arguments": {"text": "x"}}
    for _ in range(2):
        stateless = await mcp.stateless("tools/call", params, content_type=content_type)
        assert stateless.status == 400, stateless.body
        headers = mcp.session_headers() | {"content-type": content_type}
        document = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
        in_session = await mcp.raw.request("POST", "/mcp", headers, json.dumps(document).encode())
        assert in_session.status == 400, in_session.body
        monkeypatch.setattr(FastPath, "read", lambda *_: None)
    assert mcp.stand.records("mads.probe.write") == []
    assert (await mcp.stateless("tools/call", params)).status == 200


async def test_what_happens_meanwhile_comes_before_the_answer(mcp: McpHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress and log lines turn an answer into a stream; both ways send the same messages in the same order."""
    await mcp.open()
    heard: list[list[Any]] = []
    for way in ("short", "long"):
        if way == "long":
            monkeypatch.setattr(FastPath, "read", lambda *_: None)
        mcp.number = 100
        seen: list[Any] = []
        for tool_name in ("mads.conformance.tool_with_progress", "mads.conformance.tool_with_logging"):
            params = {"name": tool_name, "arguments": {}}
            meta = {"progressToken": "t1", "io.modelcontextprotocol/logLevel": "debug"}
            for answer in (
                await mcp.stateless("tools/call", params, meta=meta),
                await mcp.handshake("tools/call", params | {"_meta": {"progressToken": "t1"}}),
            ):
                assert answer.headers["content-type"] == "text/event-stream"
                comparable_message = comparable(answer)[1]
                seen += [event for event in answer.events if "method" in event] + [comparable_message]
        heard.append(seen)
    assert heard[0] == heard[1]
    assert len(heard[0]) == 2 * (3 + 1) + 2 * (3 + 1)


@pytest.mark.parametrize("way", ["short", "long"])
async def test_a_tool_asks_the_official_client(stand: Stand, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Elicitation and sampling in a session: the question comes on the call's stream, the reply on its own request."""
    if way == "long":
        monkeypatch.setattr(FastPath, "read", lambda *_: None)

    async def answer_form(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"username": params.message, "email": "a@b.example"})

    async def refuse_to_think(context: Any, params: Any) -> types.ErrorData:
        return types.ErrorData(code=-1, message="no model today")

    headers = {"Authorization": f"Bearer {stand.tokens['ada']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=10) as http,
        Client(
            streamable_http_client(stand.url, http_client=http),
            mode="legacy",
            elicitation_callback=answer_form,
            sampling_callback=refuse_to_think,
        ) as client,
    ):
        asked = await client.call_tool("mads.conformance.elicitation", {"message": "Who?"})
        assert "'username': 'Who?'" in asked.content[0].text
        refused = await client.call_tool("mads.conformance.sampling", {"prompt": "Hello"})
        assert refused.is_error
        assert refused.content[0].text.startswith("client_declined: ")
        assert "no model today" in refused.content[0].text


async def test_a_silent_call_is_kept_alive(stand: Stand, mcp: McpHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that says nothing for long becomes a stream with comments, so that nothing in between cuts it off."""
    monkeypatch.setattr("cenoby.gateway.fast_answer.PING_SECONDS", 0.05)
    params = {"name": "mads.probe.wait", "arguments": {}}
    call = asyncio.create_task(mcp.stateless("tools/call", params))
    await asyncio.wait_for(stand.probe.waiting.wait(), 30)
    await asyncio.sleep(0.3)
    stand.probe.release.set()
    answer = await call
    assert answer.body.count(b": ping") >= 2
    assert answer.message["result"]["structuredContent"] == {"text": "released"}


async def test_a_tool_that_went_away_is_unknown(stand: Stand, mcp: McpHttp) -> None:
    """A name that the fast path has served is as unknown as any other once its MAD is gone."""
    assert (await mcp.call("mads.probe.say", text="x"))["structuredContent"] == {"text": "x"}
    await stand.host.remove("probe")
    answer = await mcp.stateless("tools/call", {"name": "mads.probe.say", "arguments": {"text": "x"}})
    assert (answer.status, answer.json["error"]["data"]["cenoby/error"]["code"]) == (400, "tool_unknown")


@pytest.mark.parametrize("name", ["structured", "refused", "asks", "unknown"])
async def test_a_short_answer_leaves_the_same_records(
    stand: Stand, mcp: McpHttp, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The fast path is through the same pipeline: one decision for each call, whichever way it came."""
    tool_name, arguments = CALLS[name]
    params = {"name": tool_name, "arguments": arguments}
    await mcp.stateless("tools/call", params)
    monkeypatch.setattr(FastPath, "read", lambda *_: None)
    await mcp.stateless("tools/call", params)
    short, long = stand.journal.entries[-2:]
    assert (short.kind, short.tool, short.decision, short.status, short.code, short.agent) == (
        long.kind, long.tool, long.decision, long.status, long.code, long.agent,
    )  # fmt: skip


UNUSUAL_HEADERS: dict[str, dict[str, str]] = {
    "wrong method": {"mcp_method": "tools/list"},
    "wrong name": {"mcp_name": "mads.probe.crash"},
    "wrong revision": {"mcp_protocol_version": "2027-01-01"},
    "json only": {"accept": "application/json"},
    "events only": {"accept": "text/event-stream"},
    "argument header": {"mcp_param_text": "x"},
}


@pytest.mark.parametrize("name", UNUSUAL_HEADERS)
async def test_unusual_headers_get_the_answer_of_the_sdk(
    mcp: McpHttp, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With and without the fast path, a request whose headers are unusual is answered alike."""
    params = {"name": "mads.probe.say", "arguments": {"text": "x"}}
    with_it = await mcp.stateless("tools/call", params, **UNUSUAL_HEADERS[name])
    monkeypatch.setattr(FastPath, "read", lambda *_: None)
    mcp.number -= 1
    without = await mcp.stateless("tools/call", params, **UNUSUAL_HEADERS[name])
    assert with_it.status == without.status
    if with_it.body:
        assert comparable(with_it) == comparable(without)


async def test_a_header_that_mirrors_an_argument_is_checked(mcp: McpHttp) -> None:
    """A tool whose argument also travels as a header is left to the SDK, which compares the two."""
    params = {"name": "mads.conformance.custom_headers", "arguments": {"region": "eu"}}
    assert (await mcp.stateless("tools/call", params, mcp_param_region="eu")).status == 200
    for other in ({"mcp_param_region": "us"}, {}):
        refused = await mcp.stateless("tools/call", params, **other)
        assert (refused.status, refused.json["error"]["code"]) == (400, -32020)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    place=st.sampled_from(["", "id", "method", "params", "name", "arguments", "_meta", "version", "capabilities"]),
    value=plain,
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_in_a_request_brings_it_down(stand: Stand, place: str, value: Any) -> None:
    """Whatever stands in whichever place of a call, the answer is a client error or a result, never a failure."""
    mcp = McpHttp(stand)
    meta = dict(META)
    params: dict[str, Any] = {"name": "mads.probe.say", "arguments": {"text": "x"}, "_meta": meta}
    document: Any = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    match place:
        case "":
            document = value
        case "id" | "method" | "params":
            document[place] = value
        case "version":
            meta["io.modelcontextprotocol/protocolVersion"] = value
        case "capabilities":
            meta["io.modelcontextprotocol/clientCapabilities"] = value
        case _:
            params[place] = value
    headers = mcp.headers("tools/call", {"name": "mads.probe.say"})
    answer = await mcp.raw.request("POST", "/mcp", headers, json.dumps(document).encode())
    assert answer.status < 500, (answer.status, answer.body)
    assert b"Traceback" not in answer.body
