"""Time-ordered identifiers: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from os import urandom

from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.randomness import GENERATION

_SEQUENCES = tuple(f"{number:03x}-" for number in range(1 << 12))
_TAILS = 32  # with 256 the call that makes them would wait 40 µs, and the system call costs hardly less an id
# Of the two bytes that begin with the variant, its two bits are 10; the other fourteen stay random.
_RANDOM_BITS = int.from_bytes(b"\x3f\xff" * _TAILS, "big")
_VARIANT_BITS = int.from_bytes(b"\x80\x00" * _TAILS, "big")


class IdSource:
    """Makes UUIDv7 strings that sort in the order in which this source made them.

    The 12 bits of `rand_a` count the ids of one millisecond (RFC 9562, section 6.2, method 1); when they run out, or
    when the wall clock steps back, the source goes on from the last timestamp it used, so order never breaks.

    Any thread may ask. To take the next sequence number of a millisecond, and to take a tail, is one step of the
    interpreter each, so only the turn to another millisecond needs the lock.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._now_ns = (clock or SystemClock()).now_ns
        self._lock = threading.Lock()
        self._last_ms = -1
        self._until_ns = 0
        self._run: tuple[str, Iterator[str]] = ("", iter(()))
        self._tails: list[str] = []
        self._generation = 0

    def new(self) -> str:
        """A new id, 36 characters, lower-case hexadecimal with dashes."""
        now_ns = self._now_ns()
        if now_ns >= self._until_ns:
            self._turn_to(now_ns // 1_000_000)
        head, sequences = self._run
        sequence = next(sequences, "")
        while not sequence:
            self._turn_to(self._last_ms + 1)
            head, sequences = self._run
            sequence = next(sequences, "")
        if self._generation != GENERATION[0]:
            self._generation, self._tails = GENERATION[0], []
        try:
            return head + sequence + self._tails.pop()
        except IndexError:
            tails = self._tails = _random_tails()
            return head + sequence + tails.pop()

    def _turn_to(self, milliseconds: int) -> None:
        with self._lock:
            if milliseconds > self._last_ms:
                # Whoever still has the run before takes what is left of it: its ids stay its own.
                self._run = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7", iter(_SEQUENCES)
                self._last_ms, self._until_ns = milliseconds, (milliseconds + 1) * 1_000_000


def _random_tails() -> list[str]:
    """The last 16 digits of many ids: variant and 62 random bits. One system call serves them all."""
    drawn = urandom(8 * _TAILS)
    variants = int.from_bytes(drawn[: 2 * _TAILS], "big") & _RANDOM_BITS | _VARIANT_BITS
    beginnings = variants.to_bytes(2 * _TAILS, "big").hex("-", 2).split("-")
    return list(map("-".join, zip(beginnings, drawn[2 * _TAILS :].hex("-", 6).split("-"), strict=True)))


new_id = IdSource().new
"""A new id from this process's own source."""
