"""Server-sent events, cut out of a byte stream as it arrives (WHATWG HTML, section 9.2.6; only `data` matters here)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing


class EventTooLong(ValueError):
    """One event is longer than the reader is willing to hold."""


async def event_data(chunks: AsyncIterable[bytes], *, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The data of each event, lines joined by a newline; an unfinished last event is delivered too.

    Args:
        chunks: pieces of the stream, cut anywhere.
        max_bytes: most bytes of one event.

    Raises:
        EventTooLong: an event has more.
    """
    data: list[bytes] = []
    held = 0
    async with aclosing(_lines(chunks, max_bytes)) as lines:
        async for line in lines:
            if not line:
                if data:
                    yield b"\n".join(data)
                data, held = [], 0
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
                held += len(line)
                if held > max_bytes:
                    raise EventTooLong(f"an event has more than {max_bytes} bytes")
    if data:
        yield b"\n".join(data)


async def _lines(chunks: AsyncIterable[bytes], max_bytes: int) -> AsyncGenerator[bytes, None]:
    rest = b""
    after_return = False
    async for chunk in chunks:
        if after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            after_return = False
        lines = (rest + chunk).splitlines(keepends=True)
        after_return = after_return or chunk.endswith(b"\r")
        rest = b""
        if lines and not lines[-1].endswith((b"\n", b"\r")):
            rest = lines.pop()
        if len(rest) > max_bytes:
            raise EventTooLong(f"a line has more than {max_bytes} bytes")
        for line in lines:
            yield line.rstrip(b"\r\n")
    if rest:
        yield rest
