"""uvicorn's HTTP protocol with what it lacks: deadlines for slow clients and limits on heads and connections.

Nothing here costs a timer per request: one sweep a second looks at every connection (`close_if_overdue`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from cenoby.gateway.request_facts import FACTS, RequestFacts
from cenoby.kernel.settings import GatewaySettings

MAX_HEAD_BYTES = 64 * 1024
"""Largest request line and headers together."""


def raw_answer(status: int, phrase: str, *headers: str) -> bytes:
    """A whole HTTP/1.1 answer without body that ends the connection."""
    lines = [f"HTTP/1.1 {status} {phrase}", "content-length: 0", "connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


_TIMEOUT = raw_answer(408, "Request Timeout")
_HEAD_TOO_LARGE = raw_answer(431, "Request Header Fields Too Large")
_FULL = raw_answer(503, "Service Unavailable", "retry-after: 1")


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a client that may be slow, silent or greedy.

    Attributes:
        on_lost: called once when the client goes while its request is being served; the handler sets it.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        settings: GatewaySettings,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings = settings
        self._waiting_since = 0.0
        self._blocked_since = 0.0
        self._head_bytes = 0
        self._in_head = False
        self._turned_away = False
        self.on_lost: Callable[[], object] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self._settings.max_connections:
            self._turned_away = True
            self.transport = transport
            transport.write(_FULL)
            transport.close()
            return
        super().connection_made(transport)
        self._waiting_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.on_lost is not None:
            on_lost, self.on_lost = self.on_lost, None
            on_lost()
        # Both lead back here, and what is in a cycle waits for the garbage collector.
        self.cycle = self.scope = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._turned_away:
            return
        # Any byte stops uvicorn's keep-alive timer, even a bare line end that begins no request.
        cycle = self._current()
        if not self._waiting_since and (cycle is None or cycle.response_complete):
            self._waiting_since = self.loop.time()
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end(_HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[FACTS] = RequestFacts(self)  # type: ignore[typeddict-unknown-key]
        self._waiting_since = self.loop.time()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._check_framing()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._waiting_since = 0.0
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._blocked_since = 0.0
        super().resume_writing()

    def close_if_overdue(self, now: float) -> None:
        """End the connection if its client is too slow in sending a request or in taking an answer."""
        if self._waiting_since and now - self._waiting_since > self._settings.request_timeout:
            self._end(_TIMEOUT)
        elif self._blocked_since and now - self._blocked_since > self._settings.write_timeout:
            self.transport.abort()

    def abort(self) -> None:
        """End the connection at once, whatever is under way."""
        self.transport.abort()

    def _check_framing(self) -> None:
        """Refuse what two readers may frame differently: 400, and the connection ends (RFC 9112, sections 2.3 and 6.1).

        The parser takes any last coding `chunked`, and versions whose framing is another one.
        """
        assert self.parser is not None, "it is what calls"
        if self.parser.get_http_version() not in ("1.1", "1.0"):
            raise ValueError("neither HTTP/1.1 nor HTTP/1.0")
        for name, value in self.headers:
            if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
                raise ValueError("a transfer coding other than chunked")

    def _end(self, answer: bytes) -> None:
        self._waiting_since = 0.0
        cycle = self._current()
        answering = cycle is not None and cycle.response_started and not cycle.response_complete
        if answering or self.transport.is_closing():
            self.transport.abort()
            return
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(answer)
        self.transport.close()

    def _current(self) -> RequestResponseCycle | None:
        # uvicorn declares it as always there; before the first request it is not.
        return cast("RequestResponseCycle | None", self.cycle)
