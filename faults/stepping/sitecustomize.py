"""Read by Python at its start where this folder is on PYTHONPATH: a wall clock that steps by an hour at a signal.

SIGUSR1 steps it forward, SIGUSR2 back. The monotonic clock stays, as it does when an operator sets the time.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

HOUR_NS = 3_600_000_000_000
_offset_ns = 0
_real_ns = time.time_ns


def _step(number: int, frame: FrameType | None) -> None:
    global _offset_ns
    _offset_ns += HOUR_NS if number == signal.SIGUSR1 else -HOUR_NS


time.time_ns = lambda: _real_ns() + _offset_ns
time.time = lambda: time.time_ns() / 1e9
signal.signal(signal.SIGUSR1, _step)
signal.signal(signal.SIGUSR2, _step)
