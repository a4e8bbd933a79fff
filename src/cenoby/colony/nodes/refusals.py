"""Refused messages between nodes, in the journal: who can write to the broker can send any number of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cenoby.colony.events import MessageRefused

_NOTED_NS = 1_000_000_000
_AT_ONCE = 8


class Refusals:
    """Journals refused messages, so many that they can be read and so few that nobody fills the disk with them.

    Args:
        note: journals one.
        now_ns: monotonic nanoseconds.
    """

    def __init__(self, note: Callable[[MessageRefused], None], now_ns: Callable[[], int]) -> None:
        self._note = note
        self._now_ns = now_ns
        self._noted: set[tuple[str, str]] = set()
        self._since_ns = 0
        self._unnoted = 0

    def __call__(self, refused: MessageRefused) -> None:
        now_ns = self._now_ns()
        if now_ns - self._since_ns >= _NOTED_NS:
            self._noted, self._since_ns = set(), now_ns
        kind = refused.node, refused.notes[:40]
        # Who sends them chooses the names, so names alone are no bound.
        if kind in self._noted or len(self._noted) >= _AT_ONCE:
            self._unnoted += 1
            return
        self._noted.add(kind)
        more, self._unnoted = self._unnoted, 0
        self._note(msgspec.structs.replace(refused, more=more))
