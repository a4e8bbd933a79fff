"""The gateway's own HTTP answers: short, complete, and never a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.types import Scope, Send

from cenoby.kernel.codec import to_json

Headers = Sequence[tuple[bytes, bytes]]

CLOSE = (b"connection", b"close")


async def answer(send: Send, status: int, body: bytes, content_type: bytes, headers: Headers = ()) -> None:
    """Send one whole answer."""
    start = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, status: int, value: Any, headers: Headers = ()) -> None:
    """Send `value` as JSON; never cached, because what it says depends on who asks."""
    await answer(send, status, to_json(value), b"application/json", [(b"cache-control", b"no-store"), *headers])


async def answer_text(send: Send, status: int, text: str, headers: Headers = ()) -> None:
    """Send plain text."""
    await answer(send, status, text.encode(), b"text/plain; charset=utf-8", headers)


async def answer_rpc_error(
    send: Send, status: int, code: int, message: str, *, data: Any = None, headers: Headers = ()
) -> None:
    """Send a JSON-RPC error that belongs to no request id, because the request could not be read or was not let in."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    await answer_json(send, status, {"jsonrpc": "2.0", "id": None, "error": error}, headers)


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that lower-case name, or None."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def bearer_token(authorization: str | None) -> str:
    """The token in an Authorization header; empty where there is none (RFC 6750, section 2.1)."""
    if authorization is None:
        return ""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
