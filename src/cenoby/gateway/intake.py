"""Taking a request body in: bounded in size, well-formed JSON in UTF-8, before anything else sees it.

The time for it is bounded by the connection (`gateway/protocol.py`).
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

import msgspec
from starlette.types import Message, Receive, Scope

from cenoby.gateway.answers import header
from cenoby.gateway.errors import GatewayUnavailable
from cenoby.kernel.errors import InvalidInput


class BodyInvalid(InvalidInput):
    """A request body that is not taken in."""

    codes = {
        "body_too_large": "The request body is larger than gateway.max_body_bytes; what is left of it is not read.",
        "opening_too_large": "A request that opens a session, a stream or a watch is larger than 64 KiB.",
        "uris_too_many": "A client may watch 256 resources at once; ask for fewer, or unsubscribe from some.",
        "body_malformed": "The request body is not JSON in UTF-8, or is nested too deep.",
    }


_MOST_HELD = 128 * 1024 * 1024
"""Bytes of bodies that may be held at once; at least four of the largest."""

_SHARE = 4
"""One agent's bodies may fill a quarter of that, so that a slow client keeps nobody else from being heard."""

_DEEPEST = 512
"""Levels of nesting that are parsed; more than any message needs, fewer than any interpreter's recursion limit."""
_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One level more and, as a signed byte, one level less."""

_decoder = msgspec.json.Decoder()


class Intake:
    """Takes bodies in, and knows how much memory those of all requests under way hold together.

    Args:
        limit: largest body, bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._most = max(_MOST_HELD, 4 * limit)
        self._held = 0
        self._by_agent: dict[str, int] = {}

    async def read(self, scope: Scope, receive: Receive, agent: str) -> bytes:
        """The whole body of a request of `agent`; `release` its length when the request is over.

        Raises:
            BodyInvalid: it is, or says it will be, larger than the limit.
            GatewayUnavailable: the bodies of other requests, or of this agent's, fill the memory there is for them.
            ConnectionResetError: the client did not finish it.
        """
        length = header(scope, b"content-length")
        if length is not None and length.isdigit() and int(length) > self._limit:
            raise _too_large(self._limit)
        parts, mine, more = bytearray(), 0, True
        try:
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise ConnectionResetError("the client closed the connection before its request was whole")
                piece: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                mine += len(piece)
                self._hold(agent, len(piece))
                self._check(agent, mine)
                if not more and not parts:
                    return piece
                parts += piece
        except BaseException:
            self._hold(agent, -mine)
            raise
        return bytes(parts)

    def release(self, agent: str, size: int) -> None:
        """Count a body no more; its request is over."""
        self._hold(agent, -size)

    def _hold(self, agent: str, size: int) -> None:
        self._held += size
        held = self._by_agent.get(agent, 0) + size
        if held:
            self._by_agent[agent] = held
        else:
            self._by_agent.pop(agent, None)

    def _check(self, agent: str, mine: int) -> None:
        if mine > self._limit:
            raise _too_large(self._limit)
        if self._held > self._most or self._by_agent.get(agent, 0) > self._most // _SHARE:
            raise GatewayUnavailable(
                "bodies_full", "The requests under way hold as much memory as they may; try again.", retry_after=1.0
            )


def read_json(body: bytes) -> Any:
    """The value in `body`.

    Raises:
        BodyInvalid: not JSON in UTF-8 (RFC 8259), or nested deeper than 512 levels.
    """
    # Few bodies are that long, and few of those have that many brackets.
    if len(body) > _DEEPEST and body.count(b"[") + body.count(b"{") > _DEEPEST and _depth(body) > _DEEPEST:
        raise BodyInvalid("body_malformed", f"The request body is nested deeper than {_DEEPEST} levels; flatten it.")
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BodyInvalid("body_malformed", f"The request body is not valid JSON in UTF-8: {error}.") from None


def _depth(body: bytes) -> int:
    steps = _TEXTS.sub(b"", body).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once and then waits for the client as the original does."""
    left: list[bytes] = [body]

    async def again() -> Message:
        # Handed over, not kept: a stream may stand for hours after its body was read.
        if not left:
            return await receive()
        return {"type": "http.request", "body": left.pop(), "more_body": False}

    return again


def _too_large(limit: int) -> BodyInvalid:
    return BodyInvalid("body_too_large", f"The request body is larger than {limit} bytes.")
