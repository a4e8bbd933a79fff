"""Time-ordered identifiers: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import threading
from os import urandom

from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.randomness import GENERATION

_SEQUENCE_BITS = 12
_SEQUENCE_LIMIT = 1 << _SEQUENCE_BITS
_SEQUENCES = tuple(f"{number:03x}-" for number in range(_SEQUENCE_LIMIT))
_TAILS = 256
# The two highest bits of the 17th digit are 10; the other two stay random.
_VARIANT = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}


class IdSource:
    """Makes UUIDv7 strings that sort in the order in which this source made them.

    The 12 bits of `rand_a` count the ids of one millisecond (RFC 9562, section 6.2, method 1); when they run out, or
    when the wall clock steps back, the source goes on from the last timestamp it used, so order never breaks.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._now_ns = (clock or SystemClock()).now_ns
        self._lock = threading.Lock()
        self._last_ms = 0
        self._sequence = 0
        self._head = ""
        self._tails: list[str] = []
        self._generation = 0

    def new(self) -> str:
        """A new id, 36 characters, lower-case hexadecimal with dashes."""
        milliseconds = self._now_ns() // 1_000_000
        with self._lock:
            self._sequence += 1
            if milliseconds > self._last_ms:
                self._turn_to(milliseconds)
            elif self._sequence == _SEQUENCE_LIMIT:
                self._turn_to(self._last_ms + 1)
            if not self._tails or self._generation != GENERATION[0]:
                self._generation, self._tails = GENERATION[0], _random_tails()
            return self._head + _SEQUENCES[self._sequence] + self._tails.pop()

    def _turn_to(self, milliseconds: int) -> None:
        self._last_ms, self._sequence = milliseconds, 0
        self._head = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7"


def _random_tails() -> list[str]:
    """The last 16 digits of many ids: variant and 62 random bits. One system call serves them all."""
    digits = urandom(8 * _TAILS).hex()
    parts = (digits[start : start + 16] for start in range(0, len(digits), 16))
    return [f"{_VARIANT[part[0]]}{part[1:4]}-{part[4:]}" for part in parts]


new_id = IdSource().new
"""A new id from this process's own source."""
