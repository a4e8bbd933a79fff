"""What another colony may answer, from a real server that says anything."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import EgressSettings
from cenoby.mads.colonies.link import Link
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_rules.sender import COLONY


async def answered(status: str, kind: str, body: str) -> dict[str, Any]:
    """The result of a call that a server answers with this."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        data = body.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nLocation: /elsewhere\r\nContent-Length: {len(data)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + data)
        await writer.drain()
        writer.close()

    async def token() -> str:
        return "secret-token\n"

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, EgressGuard(EgressSettings(allow=[place])) as egress:
        try:
            link = Link("other", f"http://{place}/mcp", token, egress)
            return await link.call("mads.talk_v1.post", {"text": "x"}, seconds=5, trace="", by=COLONY)
        finally:
            assert len(asked) == 1
            assert b"authorization: bearer secret-token\r\n" in asked[0].lower()


def rpc(**member: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1} | member)


def refusal(code: str, family: str, **more: Any) -> str:
    wire = {"code": code, "message": "why", "family": family} | more
    return rpc(result={"isError": True, "content": [], "_meta": {"cenoby/error": wire}})


async def test_what_hides_in_an_answer_is_taken_out() -> None:
    """Characters that nobody sees do not reach the caller, also where the answer comes as an event stream."""
    body = rpc(result={"structuredContent": {"text": "a\u200b\u202eb"}})
    for kind, text in (
        ("application/json", body),
        ("text/event-stream; charset=utf-8", f"data: {{}}\n\ndata: {body}\n\n"),
    ):
        assert (await answered("200 OK", kind, text))["structuredContent"] == {"text": "ab"}


@pytest.mark.parametrize(
    ("status", "body", "code", "family"),
    [
        ("200 OK", refusal("arguments_invalid", "invalid"), "foreign_refused", "refused"),
        ("200 OK", refusal("action_not_allowed", "refused"), "foreign_refused", "refused"),
        ("200 OK", refusal("no_code_of_ours", "not_found"), "foreign_refused", "refused"),
        ("200 OK", refusal("mailbox_full", "unavailable", retry_after=7), "foreign_unavailable", "unavailable"),
        ("200 OK", refusal("tool_failed", "fault"), "foreign_failed", "fault"),
        ("200 OK", rpc(error={"code": -32602, "message": "no"}), "foreign_refused", "refused"),
        ("200 OK", rpc(result={"structuredContent": {"text": "\u0000"}}), "foreign_answer_invalid", "fault"),
        ("200 OK", "<html>", "foreign_answer_invalid", "fault"),
        ("200 OK", "[]", "foreign_answer_invalid", "fault"),
        ("307 Temporary Redirect", "", "foreign_answer_invalid", "fault"),
        ("401 Unauthorized", "{}", "foreign_token", "refused"),
        ("503 Service Unavailable", "<html>", "foreign_unavailable", "unavailable"),
    ],
)
async def test_what_another_colony_says_becomes_a_code_of_ours(status: str, body: str, code: str, family: str) -> None:
    """Whoever calls can tell the other colony's word from our own, and finds its error whole; nothing is followed."""
    with pytest.raises(CenobyError) as raised:
        await answered(status, "application/json", body)
    error = raised.value
    assert (error.code, error.family) == (code, family)
    assert "other" in error.message
    if "retry_after" in body:
        assert error.retry_after == 7 and error.details["error"]["code"] == "mailbox_full"
