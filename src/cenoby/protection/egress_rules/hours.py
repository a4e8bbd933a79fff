"""What has been used in the last 60 minutes: never more than granted in any hour, with one number a minute.

Minutes are dropped whole, and only when all of them lies more than an hour back, so a limit is kept in every span of 60
minutes and not only in those that begin with the clock's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from cenoby.kernel.clock import Clock

_MINUTE_NS = 60_000_000_000
_KEPT = 61
"""Minutes that a span of 60 minutes can touch."""
_CROWD = 4096

Unit = Literal["requests", "bytes"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one agent may use under one limit.

    Attributes:
        key: of which limit, and of whom.
        unit: what is counted.
        most: so much in any 60 minutes.
        words: what grants it, for a message.
    """

    key: tuple[str, str]
    unit: Unit
    most: int
    words: str


@dataclass(frozen=True, slots=True)
class Over:
    """An allowance that does not cover what was asked.

    Attributes:
        allowance: which.
        seconds: until it does; None where it never will.
    """

    allowance: Allowance
    seconds: float | None


@dataclass(slots=True)
class _Hour:
    minutes: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    total: int = 0

    def forget(self, minute: int) -> None:
        while self.minutes and self.minutes[0][0] <= minute - _KEPT:
            self.total -= self.minutes.popleft()[1]

    def add(self, minute: int, amount: int) -> None:
        before = self.minutes.pop()[1] if self.minutes and self.minutes[-1][0] == minute else 0
        self.minutes.append((minute, before + amount))
        self.total += amount


class Hours:
    """All that is counted in one process. Not for use by several threads.

    Args:
        clock: its monotonic time counts.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hours: dict[tuple[tuple[str, str], Unit], _Hour] = {}

    def take(self, allowances: list[Allowance], size: int) -> Over | None:
        """Use one request of `size` bytes up, of all `allowances` or, where one does not cover it, of none.

        Returns:
            The first that does not cover it.
        """
        now_ns = self._clock.monotonic_ns()
        minute = now_ns // _MINUTE_NS
        taken: list[tuple[_Hour, int]] = []
        for one in allowances:
            hour = self._hour(one, minute)
            hour.forget(minute)
            amount = 1 if one.unit == "requests" else size
            if hour.total + amount > one.most:
                return Over(one, _wait(hour, one.most - amount, now_ns))
            taken.append((hour, amount))
        for hour, amount in taken:
            hour.add(minute, amount)
        return None

    def _hour(self, allowance: Allowance, minute: int) -> _Hour:
        key = allowance.key, allowance.unit
        hour = self._hours.get(key)
        if hour is None:
            if len(self._hours) % _CROWD == _CROWD - 1:
                self._forget_all(minute)
            hour = self._hours[key] = _Hour()
        return hour

    def _forget_all(self, minute: int) -> None:
        for key, hour in list(self._hours.items()):
            hour.forget(minute)
            if not hour.minutes:
                del self._hours[key]


def _wait(hour: _Hour, fits: int, now_ns: int) -> float | None:
    if fits < 0:
        return None
    left = hour.total
    for minute, amount in hour.minutes:
        left -= amount
        if left <= fits:
            return ((minute + _KEPT) * _MINUTE_NS - now_ns) / 1e9
    raise AssertionError("an hour without minutes has a total of 0, which always fits")
