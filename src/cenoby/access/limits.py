"""Rate limits and daily quotas, per agent and per agent and namespace, decided in memory before every call.

Rates follow the generic cell rate algorithm (ITU-T I.371, annex A, virtual scheduling): one number per meter, no
timers, and in no span of t seconds more than rate · t + burst calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from cenoby.kernel.clock import DAY_NS, Clock
from cenoby.kernel.errors import Unavailable
from cenoby.kernel.settings import LimitSettings, NamespaceLimit

_SECOND_NS = 1_000_000_000
_SLOWEST_NS = 3_650 * DAY_NS


class LimitExceeded(Unavailable):
    """Allowed, but more than the settings grant for now."""

    http_status = 429
    codes = {
        "rate_limited": "More calls per second than the settings grant; retry_after says when one fits again.",
        "quota_exceeded": "The agent's calls for this UTC day are used up; retry_after says when the next day begins.",
        "budget_exhausted": "The agent's budget for this UTC day does not cover what the call may cost.",
        "approvals_full": "The agent has too many undecided approval requests; have some decided first.",
    }


class _Meter:
    """State and limits of one agent, or of one agent in one namespace."""

    __slots__ = ("due_ns", "interval_ns", "quota", "used", "window_ns")

    def __init__(self, per_second: float, burst: int, quota: int) -> None:
        # Rounded up, so that rounding never admits more than was granted.
        self.interval_ns = math.ceil(min(_SECOND_NS / per_second, _SLOWEST_NS))
        self.window_ns = self.interval_ns * burst
        self.quota = quota
        self.due_ns = 0
        self.used = 0


class RateLimits:
    """All meters of one node. Not for use by several threads.

    Args:
        settings: general limits, and those per namespace. A namespace that names `burst` without `calls_per_second`
            takes the general rate; one with a rate and no burst may save up one second's worth.
        clock: rates go by its monotonic time, quotas by the UTC day of its wall time.
    """

    def __init__(self, settings: LimitSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._now = clock.monotonic_ns
        self._agents: dict[str, _Meter] = {}
        self._inside: dict[str, dict[str, _Meter]] = {name: {} for name in settings.namespaces}
        self._day = clock.now_ns() // DAY_NS
        self._look_again_ns = self._now() + _SECOND_NS

    def take(self, agent: str, namespace: str) -> None:
        """Count one call of `agent` to `namespace` (a MAD's name). A refused call costs nothing.

        Raises:
            LimitExceeded: `rate_limited` or `quota_exceeded`, with `retry_after`.
        """
        now = self._now()
        if now >= self._look_again_ns:
            self._turn_day(now)
        meter = self._agents.get(agent) or self._new_meter(agent)
        due = meter.due_ns
        due = (due if due > now else now) + meter.interval_ns
        if due - now > meter.window_ns or meter.used >= meter.quota:
            self._refuse(meter, due, now, f"agent {agent!r}")
        if namespace in self._inside:
            self._take_inside(agent, namespace, now)
        meter.due_ns = due
        meter.used += 1

    def seed(self, counts: Iterable[tuple[str, str, int]]) -> None:
        """Add the calls of this UTC day that were made before a restart: (agent, namespace, calls)."""
        for agent, namespace, calls in counts:
            (self._agents.get(agent) or self._new_meter(agent)).used += calls
            if namespace in self._inside:
                self._meter_inside(agent, namespace).used += calls

    def day_start_ns(self) -> int:
        """When the current UTC day began, Unix nanoseconds: from where `seed` wants to be told."""
        return self._day * DAY_NS

    def _take_inside(self, agent: str, namespace: str, now: int) -> None:
        meter = self._meter_inside(agent, namespace)
        due = max(meter.due_ns, now) + meter.interval_ns
        if due - now > meter.window_ns or meter.used >= meter.quota:
            self._refuse(meter, due, now, f"agent {agent!r} in {namespace!r}")
        meter.due_ns = due
        meter.used += 1

    def _new_meter(self, agent: str) -> _Meter:
        limits = self._settings
        meter = self._agents[agent] = _Meter(limits.calls_per_second, limits.burst, limits.calls_per_day)
        return meter

    def _meter_inside(self, agent: str, namespace: str) -> _Meter:
        meters = self._inside[namespace]
        if agent not in meters:
            meters[agent] = _namespace_meter(self._settings, self._settings.namespaces[namespace])
        return meters[agent]

    def _turn_day(self, now: int) -> None:
        # Wall time is read once a second, not once a call. It may step back; the day never does, or quotas refill.
        self._look_again_ns = now + _SECOND_NS
        day = self._clock.now_ns() // DAY_NS
        if day <= self._day:
            return
        self._day = day
        for meters in (self._agents, *self._inside.values()):
            for agent, meter in list(meters.items()):
                meter.used = 0
                if meter.due_ns <= now:
                    del meters[agent]

    def _refuse(self, meter: _Meter, due: int, now: int, whose: str) -> None:
        if meter.used >= meter.quota:
            raise LimitExceeded(
                "quota_exceeded",
                f"The {meter.quota} calls per day of {whose} are used up; the next UTC day brings new ones, or an "
                "operator raises limits.calls_per_day.",
                retry_after=max(0.0, ((self._day + 1) * DAY_NS - self._clock.now_ns()) / 1e9),
            )
        wait = (due - now - meter.window_ns) / 1e9
        raise LimitExceeded(
            "rate_limited",
            f"More than {1e9 / meter.interval_ns:g} calls per second from {whose}; wait {wait:.3f} s and call again.",
            retry_after=wait,
        )


def _namespace_meter(general: LimitSettings, limit: NamespaceLimit) -> _Meter:
    per_second = limit.calls_per_second or general.calls_per_second
    own_burst = general.burst if limit.calls_per_second is None else math.ceil(per_second)
    return _Meter(per_second, limit.burst or own_burst, limit.calls_per_day or general.calls_per_day)
