"""Events out of a byte stream that is cut anywhere."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.models.sse import EventTooLong, event_data


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(*chunks: bytes, max_bytes: int = 1000) -> list[bytes]:
    return [data async for data in event_data(pieces(*chunks), max_bytes=max_bytes)]


STREAM = b': hello\r\nevent: x\r\ndata: {"a":1}\r\n\r\ndata:two\ndata: lines\n\n\n\rdata: last\r\rdata: end'


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=8))
async def test_events_do_not_depend_on_where_the_stream_is_cut(cuts: list[int]) -> None:
    """Any division into chunks, between CR and LF too, gives the same events."""
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert await read(*chunks) == [b'{"a":1}', b"two\nlines", b"last", b"end"]


async def test_an_event_without_end_is_not_held() -> None:
    """Neither one endless line nor endless lines of one event fill the memory."""
    with pytest.raises(EventTooLong):
        await read(b"data: " + b"x" * 2000)
    with pytest.raises(EventTooLong):
        await read(*[b"data: " + b"x" * 90 + b"\n"] * 20)
