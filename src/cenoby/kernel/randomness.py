"""Random bytes from the system, drawn in blocks."""

from __future__ import annotations

import os

_BLOCK = 4096
GENERATION = [0]
"""Which fork of the first process this one is: what was drawn in another generation is not this process's own."""


def _next_generation() -> None:
    GENERATION[0] += 1


os.register_at_fork(after_in_child=_next_generation)


class RandomPool:
    """Random bytes of the system, one call for many takes: each such call hands the interpreter to another thread.

    A process that forks starts a new block, so that no two processes share bytes. Not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._block = b""
        self._used = _BLOCK
        self._generation = 0

    def take(self, count: int) -> bytes:
        """`count` random bytes that nobody else gets; at most 4,096."""
        end = self._used + count
        if end > _BLOCK or self._generation != GENERATION[0]:
            self._block, self._generation, end = os.urandom(_BLOCK), GENERATION[0], count
        self._used = end
        return self._block[end - count : end]
