"""Time-ordered identifiers: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import threading

from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.randomness import RandomPool

_SEQUENCE_BITS = 12
_SEQUENCE_LIMIT = 1 << _SEQUENCE_BITS


class IdSource:
    """Makes UUIDv7 strings that sort in the order in which this source made them.

    The 12 bits of `rand_a` count the ids of one millisecond (RFC 9562, section 6.2, method 1); when they run out, or
    when the wall clock steps back, the source goes on from the last timestamp it used, so order never breaks.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._last_ms = 0
        self._sequence = 0
        self._random = RandomPool()

    def new(self) -> str:
        """A new id, 36 characters, lower-case hexadecimal with dashes."""
        milliseconds = self._clock.now_ns() // 1_000_000
        with self._lock:
            if milliseconds > self._last_ms:
                self._last_ms, self._sequence = milliseconds, 0
            else:
                self._sequence += 1
                if self._sequence == _SEQUENCE_LIMIT:
                    self._last_ms, self._sequence = self._last_ms + 1, 0
            head = (self._last_ms << 16) | 0x7000 | self._sequence
            random = self._random.take(8)
        tail = int.from_bytes(random, "big") & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        text = f"{head:016x}{tail:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def id_time_ns(identifier: str) -> int:
    """The creation time in a UUIDv7, Unix nanoseconds with millisecond resolution.

    Raises:
        ValueError: `identifier` is not a UUID of version 7.
    """
    digits = identifier.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        raise ValueError(f"{identifier!r} is not a UUID of version 7")
    return int(digits[:12], 16) * 1_000_000


_process_ids = IdSource()


def new_id() -> str:
    """A new id from this process's own source."""
    return _process_ids.new()
