"""Redis's protocol: replies come out whole and in order however the bytes arrive."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis._parsers.base import BaseParser
from redis.exceptions import BusyLoadingError, InvalidResponse, NoScriptError, ResponseError

from cenoby.bus.redis_protocol import Replies, pack_command

_WHOLE = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=40), st.just(b"\r\n$-1\r\n"))
REPLIES = st.lists(st.recursive(_WHOLE, lambda inner: st.lists(inner, max_size=4), max_leaves=12), max_size=8)


def encoded(reply: Any) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(encoded(one) for one in reply)


def fed(data: bytes, size: int) -> list[Any]:
    replies = Replies(BaseParser.parse_error)
    return [one for at in range(0, len(data), size) for one in replies.feed(data[at : at + size])]


@given(REPLIES, st.integers(1, 70))
def test_replies_are_the_same_in_pieces_of_any_size(found: list[Any], size: int) -> None:
    """What the server said is what comes out, wherever the stream was cut."""
    assert fed(b"".join(encoded(one) for one in found), size) == found


def test_a_reply_comes_out_with_its_last_byte() -> None:
    """Nothing waits for bytes that belong to the next reply, and nothing comes early."""
    found = [b"x" * 10_000, [1, None]]
    replies, data = Replies(BaseParser.parse_error), encoded(found)
    for at in range(0, len(data) - 1, 100):
        assert replies.feed(data[at : min(at + 100, len(data) - 1)]) == []
    assert replies.feed(data[-1:]) == [found]


@given(st.lists(st.one_of(st.binary(max_size=30), st.text(max_size=30), st.integers()), min_size=1, max_size=6))
def test_a_command_is_an_array_of_its_arguments(arguments: list[Any]) -> None:
    """Bytes go as they are, anything else as its text."""
    expected = [one if isinstance(one, bytes) else str(one).encode() for one in arguments]
    assert fed(pack_command(*arguments), 7) == [expected]


@given(st.integers(1, 60))
def test_errors_are_replies_of_their_class(size: int) -> None:
    """An error of a command takes its place among the replies, inside an array, too."""
    data = b"+OK\r\n-NOSCRIPT No matching script.\r\n*2\r\n:1\r\n-WRONGTYPE no\r\n*-1\r\n"
    okay, script, array, nothing = fed(data, size)
    assert (okay, nothing, array[0]) == (b"OK", None, 1)
    assert isinstance(script, NoScriptError)
    assert isinstance(array[1], ResponseError)


def test_a_server_that_does_not_serve_breaks_the_connection() -> None:
    """While it loads its data nothing is answered, so it is as if it were away; and so is what is no Redis."""
    with pytest.raises(BusyLoadingError):
        fed(b"-LOADING Redis is loading the dataset in memory\r\n", 100)
    with pytest.raises(InvalidResponse):
        fed(b"HTTP/1.1 400 Bad Request\r\n", 100)
