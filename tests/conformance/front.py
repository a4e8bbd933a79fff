"""A loopback front for the conformance suite, which sends no token and calls fixtures by bare names.

It adds an agent's token, turns `test_simple_text` into `mads.conformance.simple_text` on the way in and back in
listings, and passes everything else through unchanged: headers, status codes, and event streams as they come.
For tests only.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

_DROPPED = frozenset({b"connection", b"content-length", b"transfer-encoding", b"authorization"})
_PREFIX = "mads.conformance."
_LONG, _SHORT = "test_input_required_result_", "input_"
_BARE = frozenset({"json_schema_2020_12_tool"})


def to_canonical(bare: str) -> str:
    """`test_x` as the colony names it; any other text unchanged."""
    if bare.startswith(_LONG):
        return f"{_PREFIX}{_SHORT}{bare.removeprefix(_LONG)}"
    if bare in _BARE:
        return f"{_PREFIX}{bare}"
    return f"{_PREFIX}{bare.removeprefix('test_')}" if bare.startswith("test_") else bare


def to_bare(name: str) -> str:
    """The suite's name for a tool in a listing, whichever way the colony spells it."""
    dotted = name.replace("__", ".")
    if not dotted.startswith(_PREFIX):
        return name
    own = dotted.removeprefix(_PREFIX)
    if own in _BARE:
        return own
    return f"{_LONG}{own.removeprefix(_SHORT)}" if own.startswith(_SHORT) else f"test_{own}"


class Front:
    """The front as an ASGI application.

    Args:
        upstream: the colony's MCP URL.
        token: the agent's token that it adds.
    """

    def __init__(self, upstream: str, token: str) -> None:
        self._upstream = upstream
        self._token = token
        self._client = httpx2.AsyncClient(timeout=None, limits=httpx2.Limits(max_connections=None), trust_env=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold the connections to the colony while the block runs."""
        async with self._client:
            yield

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body, method = _rename_call(await _whole(receive))
        headers = [(key, value) for key, value in scope["headers"] if key not in _DROPPED]
        if method == "tools/call":
            headers = [(key, _rename_header(key, value)) for key, value in headers]
        headers.append((b"authorization", f"Bearer {self._token}".encode()))
        request = self._client.build_request(scope["method"], self._upstream, headers=headers, content=body)
        response = await self._client.send(request, stream=True)
        try:
            await _pass_back(response, method, send)
        finally:
            await response.aclose()


async def _whole(receive: Any) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _rename_call(body: bytes) -> tuple[bytes, str]:
    try:
        document = json.loads(body)
        method = document["method"]
    except (ValueError, TypeError, KeyError):
        return body, ""
    if method == "tools/call" and isinstance(document["params"].get("name"), str):
        document["params"]["name"] = to_canonical(document["params"]["name"])
        body = json.dumps(document).encode()
    return body, method


def _rename_header(key: bytes, value: bytes) -> bytes:
    return to_canonical(value.decode("latin-1").strip()).encode("latin-1") if key == b"mcp-name" else value


async def _pass_back(response: Any, method: str, send: Any) -> None:
    headers = [(key.lower(), value) for key, value in response.headers.raw if key.lower() not in _DROPPED]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    if method == "tools/list":
        text = await response.aread()
        await send({"type": "http.response.body", "body": _rename_listing(text)})
        return
    async for piece in response.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _rename_listing(text: bytes) -> bytes:
    lines = text.decode().split("\n")
    return "\n".join(_rename_line(line) for line in lines).encode()


def _rename_line(line: str) -> str:
    start, separator, rest = line.partition("data: ") if line.startswith("data: ") else ("", "", line)
    try:
        document = json.loads(rest)
        tools = document["result"]["tools"]
    except (ValueError, TypeError, KeyError):
        return line
    for listed in tools:
        listed["name"] = to_bare(listed["name"])
    return start + separator + json.dumps(document)
