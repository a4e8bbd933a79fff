"""Taking a request body in: bounded in size, well-formed JSON in UTF-8, before anything else sees it.

The time for it is bounded by the connection (`gateway/protocol.py`).
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.types import Message, Receive, Scope

from cenoby.gateway.answers import header
from cenoby.kernel.errors import InvalidInput


class BodyInvalid(InvalidInput):
    """A request body that is not taken in."""

    codes = {
        "body_too_large": "The request body is larger than gateway.max_body_bytes; what is left of it is not read.",
        "body_malformed": "The request body is not JSON in UTF-8, or is nested too deep.",
    }


_decoder = msgspec.json.Decoder()


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole request body.

    Raises:
        BodyInvalid: it is, or says it will be, larger than `limit` bytes.
        ConnectionResetError: the client did not finish it.
    """
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return _within(message.get("body", b""), limit)
    parts = bytearray()
    while message["type"] == "http.request":
        parts += message.get("body", b"")
        _within(parts, limit)
        if not message.get("more_body"):
            return bytes(parts)
        message = await receive()
    raise ConnectionResetError("the client closed the connection before its request was whole")


def read_json(body: bytes) -> Any:
    """The value in `body`.

    Raises:
        BodyInvalid: not JSON in UTF-8 (RFC 8259), or nested deeper than the interpreter's limit.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BodyInvalid("body_malformed", f"The request body is not valid JSON in UTF-8: {error}.") from None


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once and then waits for the client as the original does."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _within(body: Any, limit: int) -> Any:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> BodyInvalid:
    return BodyInvalid("body_too_large", f"The request body is larger than {limit} bytes.")
