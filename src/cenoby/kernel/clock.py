"""The injected clock: nothing else in Cenoby asks the machine for the time."""

from __future__ import annotations

import time
from typing import Protocol

DAY_NS = 86_400_000_000_000
"""Nanoseconds of a UTC day; Unix time knows no leap seconds."""


class Clock(Protocol):
    """What tells the time. `SystemClock` in production, `ManualClock` in tests."""

    def now_ns(self) -> int:
        """Wall time: nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds on a clock that never steps back; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told to, so that a test can wait a day in no time."""

    def __init__(self, now_ns: int = 1_767_225_600_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds` (not negative)."""
        if seconds < 0:
            raise ValueError("a manual clock moves forward; use jump() to step wall time back")
        step = round(seconds * 1e9)
        self._now_ns += step
        self._monotonic_ns += step

    def jump(self, seconds: float) -> None:
        """Step wall time only, forward or back, as an operator or NTP would."""
        self._now_ns += round(seconds * 1e9)


def iso_time(time_ns: int) -> str:
    """`time_ns` (Unix nanoseconds) as RFC 3339 in UTC with microseconds, e.g. `2026-07-28T12:00:00.000000Z`."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds // 1000:06d}Z"
