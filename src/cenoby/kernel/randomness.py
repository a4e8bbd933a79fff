"""Random bytes from the system, drawn in blocks."""

from __future__ import annotations

import os

_BLOCK = 4096


class RandomPool:
    """Random bytes of the system, one call for many takes: each such call hands the interpreter to another thread.

    A process that forks starts a new block, so that no two processes share bytes. Not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._block = b""
        self._used = 0
        self._owner = 0

    def take(self, count: int) -> bytes:
        """`count` random bytes that nobody else gets; at most 4,096."""
        start, end = self._used, self._used + count
        if end > len(self._block) or self._owner != os.getpid():
            self._block, self._owner = os.urandom(_BLOCK), os.getpid()
            start, end = 0, count
        self._used = end
        return self._block[start:end]
