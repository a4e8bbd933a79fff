"""An answer that is one JSON object, unless its client must be told something before: then it is an event stream."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Send

from cenoby.gateway.answers import Headers
from cenoby.kernel.codec import to_json

PING_SECONDS = 15.0
"""A call that is silent for so long becomes a stream with comments in it, so that no proxy cuts it off."""

_STREAM = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)

_OTHER_LINE_ENDS = tuple((end.encode(), f"\\u{ord(end):04x}".encode()) for end in "\x85\u2028\u2029")


class FastAnswer:
    """One answer under way.

    Args:
        send: where it goes.
        headers: sent in either form.
    """

    def __init__(self, send: Send, headers: Headers = ()) -> None:
        self._send = send
        self._headers = headers
        self._streaming = False
        self._done = False
        self._writing = asyncio.Lock()
        self._pinging: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = loop.call_later(PING_SECONDS, self._start_pinging)

    async def tell(self, message: dict[str, Any]) -> None:
        """Send a JSON-RPC message before the answer itself; nothing happens after it."""
        await self._event(_event_of(to_json(message)))

    async def finish(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """Send the answer. A stream that has begun has its status already."""
        self.stop()
        async with self._writing:
            self._done = True
            if self._streaming:
                await self._send({"type": "http.response.body", "body": _event_of(body)})
                return
            start = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                *self._headers,
                *headers,
            ]
            await self._send({"type": "http.response.start", "status": status, "headers": start})
            await self._send({"type": "http.response.body", "body": body})

    def stop(self) -> None:
        """Send no more comments; whoever gives up an answer calls this, too."""
        if self._timer is not None:
            self._timer.cancel()
            # It keeps its callback, and with that this answer and all of its call, for the garbage collector to find.
            self._timer = None
        if self._pinging is not None:
            self._pinging.cancel()

    async def _event(self, event: bytes) -> None:
        async with self._writing:
            if self._done:
                return
            if not self._streaming:
                self._streaming = True
                start = [*_STREAM, *self._headers]
                await self._send({"type": "http.response.start", "status": 200, "headers": start})
            await self._send({"type": "http.response.body", "body": event, "more_body": True})

    def _start_pinging(self) -> None:
        self._pinging = asyncio.create_task(self._ping(), name="answer-ping")

    async def _ping(self) -> None:
        while True:
            await self._event(b": ping\r\n\r\n")
            await asyncio.sleep(PING_SECONDS)


def _event_of(message: bytes) -> bytes:
    # In server-sent events only CR and LF end a line, but some clients split at every line end that Unicode knows.
    for character, escaped in _OTHER_LINE_ENDS:
        message = message.replace(character, escaped)
    return b"event: message\r\ndata: " + message + b"\r\n\r\n"
