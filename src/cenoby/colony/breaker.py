"""Circuit breakers: what fails again and again is left alone for a while, and tried with one call before the rest.

Closed lets calls through and counts failures in a row within a window; open refuses at once, with the reason and when
to come back; half-open lets a few probes through, and what becomes of them decides (Nygard, Release It!, 2nd edition,
chapter 5). A person may open one by hand, and it stays open until a person resets it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

from cenoby.colony.errors import ColonyUnavailable
from cenoby.kernel.clock import Clock
from cenoby.kernel.settings import BreakerSettings


class CircuitState(StrEnum):
    """How a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerView(msgspec.Struct, frozen=True):
    """A breaker as `status` shows it.

    Attributes:
        name: what it guards, e.g. `mad:marco`, `host:example.org:443` or `model:https://api.example/v1`.
        state: closed, open or half_open.
        reason: the last failure, or what the person said who opened it.
        failures: failures in a row.
        since_ns: Unix nanoseconds since which it stands so.
        retry_after: seconds until the next probe; None where it is closed or held open.
    """

    name: str
    state: CircuitState
    reason: str
    failures: int
    since_ns: int
    retry_after: float | None


Changed = Callable[[BreakerView], None]
"""Told of each change of state, at once and on the loop."""


class Breaker:
    """One circuit; used by one event loop.

    Args:
        name: what it guards.
        settings: how many failures, within which time, and how long it stays open.
        clock: the time.
        changed: told of each change of state.
    """

    __slots__ = (
        "_changed", "_clock", "_failures", "_held", "_opened_ns", "_probes", "_reason", "_settings", "_since_ns",
        "_state", "_under_way", "_window_ns", "name",
    )  # fmt: skip

    def __init__(self, name: str, settings: BreakerSettings, clock: Clock, changed: Changed) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._state = CircuitState.CLOSED
        self._reason = ""
        self._held = False
        self._failures = 0
        self._probes = 0
        self._under_way = 0
        self._window_ns = 0
        self._since_ns = clock.now_ns()
        self._opened_ns = clock.monotonic_ns()

    def enter(self) -> None:
        """Begin a call; every call that entered ends with `succeeded`, `failed` or `left`.

        Raises:
            ColonyUnavailable: circuit_open with `retry_after`, or circuit_held_open.
        """
        if self._state is not CircuitState.CLOSED:
            self._probe()
        self._under_way += 1

    def _probe(self) -> None:
        if self._held:
            raise ColonyUnavailable("circuit_held_open", f"{self.name} was closed off by a person: {self._reason}")
        left = self._seconds_left()
        if self._state is CircuitState.OPEN and left <= 0:
            self._turn(CircuitState.HALF_OPEN, self._reason)
        if self._state is CircuitState.OPEN or self._probes >= self._settings.probes:
            raise ColonyUnavailable(
                "circuit_open",
                f"{self.name} failed {self._failures} times in a row and is left alone for now; the last time: "
                f"{self._reason}",
                retry_after=max(left, 0.1),
            )
        self._probes += 1

    def succeeded(self) -> None:
        """The call that entered did its work."""
        self._under_way -= 1
        if self._state is CircuitState.HALF_OPEN:
            self._turn(CircuitState.CLOSED, "")
        if self._state is CircuitState.CLOSED:
            self._failures = 0

    def failed(self, reason: str) -> None:
        """The call that entered met a fault of what is guarded.

        Args:
            reason: what went wrong, in words that may be shown.
        """
        self._under_way -= 1
        if self._held or self._state is CircuitState.OPEN:
            return
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._window_ns > self._settings.window * 1e9:
            self._failures = 0
        if not self._failures:
            self._window_ns = now_ns
        self._failures += 1
        self._reason = reason
        if self._state is CircuitState.HALF_OPEN or self._failures >= self._settings.failures:
            self._turn(CircuitState.OPEN, reason)

    def left(self) -> None:
        """The call that entered ended and said nothing about what is guarded: refused, or cancelled."""
        self._under_way -= 1
        self._probes = max(self._probes - 1, 0)

    def hold_open(self, reason: str) -> None:
        """Let nothing through until `reset`."""
        self._held = True
        self._turn(CircuitState.OPEN, reason)

    def reset(self) -> None:
        """Close it, whatever happened before."""
        self._held = False
        self._failures = 0
        self._turn(CircuitState.CLOSED, "")

    def view(self) -> BreakerView:
        """How it stands."""
        waits = self._state is not CircuitState.CLOSED and not self._held
        left = max(self._seconds_left(), 0.0) if waits else None
        return BreakerView(self.name, self._state, self._reason, self._failures, self._since_ns, left)

    def spare(self) -> tuple[bool, bool, int]:
        """How well it could be forgotten; the smallest first: in use or held, not at rest, and since when."""
        at_rest = self._state is CircuitState.CLOSED and not self._failures
        return self._held or self._under_way > 0, not at_rest, self._since_ns

    def _seconds_left(self) -> float:
        return self._settings.open_seconds - (self._clock.monotonic_ns() - self._opened_ns) / 1e9

    def _turn(self, state: CircuitState, reason: str) -> None:
        self._state, self._reason, self._probes = state, reason, 0
        self._since_ns, self._opened_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        self._changed(self.view())


class Breakers:
    """All breakers of a node, made as they are asked for.

    Agents choose which hosts are asked, so there are at most so many: one more, and a tenth of them is forgotten, those
    at rest first and then those that changed longest ago, but none that a person holds open or that a call is in.

    Args:
        settings: the same for all.
        clock: the time.
        changed: told of each change of state of any of them.
        most: so many are kept.
    """

    def __init__(self, settings: BreakerSettings, clock: Clock, changed: Changed, *, most: int = 1000) -> None:
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._most = most
        self._breakers: dict[str, Breaker] = {}

    def of(self, name: str) -> Breaker:
        """The breaker of that name."""
        found = self._breakers.get(name)
        if found is None:
            if len(self._breakers) >= self._most:
                self._forget()
            found = self._breakers[name] = Breaker(name, self._settings, self._clock, self._changed)
        return found

    def _forget(self) -> None:
        for breaker in sorted(self._breakers.values(), key=Breaker.spare)[: max(self._most // 10, 1)]:
            if not breaker.spare()[0]:
                del self._breakers[breaker.name]

    def views(self) -> list[BreakerView]:
        """All there are, by name."""
        return [self._breakers[name].view() for name in sorted(self._breakers)]
