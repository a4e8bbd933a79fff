"""Redis's protocol as bytes (RESP 2): commands out, and whatever replies a piece of the stream completes.

redis-py's own reader awaits every line of every reply, and takes several times as long as Redis itself.
https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

_SIMPLE, _ERROR, _INTEGER, _BULK, _ARRAY = b"+-:$*"


def pack_command(*arguments: Any) -> bytes:
    """A command as it is sent; what is not bytes goes as its text."""
    packed = [b"*%d\r\n" % len(arguments)]
    for one in arguments:
        data = one if isinstance(one, bytes) else str(one).encode()
        packed.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(packed)


class Replies:
    """Makes replies of the bytes of one connection.

    Args:
        error_of: the exception that an error's text stands for, as redis-py's parsers know it.
    """

    def __init__(self, error_of: Callable[[str], Exception]) -> None:
        self._error_of = error_of
        self._pieces: list[bytes] = []
        self._have = 0
        self._wanted = 0

    def feed(self, piece: bytes) -> list[Any]:
        """The replies that `piece` completes, in order; an error of the server is one of them.

        Raises:
            redis.exceptions.ConnectionError: the server refuses to serve, e.g. while it loads its data.
            redis.exceptions.InvalidResponse: it does not speak the protocol.
        """
        self._pieces.append(piece)
        self._have += len(piece)
        # A large reply in many pieces is looked at again only once what it lacked may be there.
        if self._have < self._wanted:
            return []
        data, found, at = b"".join(self._pieces), list[Any](), 0
        self._wanted = 0
        try:
            while at < len(data):
                reply, at = self._reply(data, at)
                found.append(reply)
        except _Incomplete as lack:
            self._wanted = lack.end - at
        self._pieces = [data[at:]]
        self._have = len(data) - at
        return found

    def _reply(self, data: bytes, at: int) -> tuple[Any, int]:
        """The reply that begins at `at`, and where the next one does."""
        stop = data.find(b"\r\n", at)
        if stop < 0:
            raise _Incomplete(len(data) + 1)
        kind, text, after = data[at], data[at + 1 : stop], stop + 2
        if kind == _BULK:
            end = after + int(text)
            if end < after:
                return None, after
            if end + 2 > len(data):
                raise _Incomplete(end + 2)
            return data[after:end], end + 2
        if kind == _ARRAY:
            return self._array(data, after, int(text))
        if kind == _INTEGER:
            return int(text), after
        if kind == _SIMPLE:
            return text, after
        if kind != _ERROR:
            raise InvalidResponse(f"not a reply: {data[at : at + 32]!r}")
        error = self._error_of(text.decode(errors="replace"))
        if isinstance(error, RedisConnectionError):
            raise error
        return error, after

    def _array(self, data: bytes, at: int, length: int) -> tuple[list[Any] | None, int]:
        if length < 0:
            return None, at
        items: list[Any] = []
        for _ in range(length):
            item, at = self._reply(data, at)
            items.append(item)
        return items, at


class _Incomplete(Exception):
    """A reply goes on beyond what is there; it ends at `end` or later."""

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self.end = end
