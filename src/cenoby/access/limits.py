"""Rate limits and daily quotas, per agent, per agent and namespace or tool, and per tenant, decided in memory before
every call. The strictest wins: a call is counted by all of them or by none.

Rates follow the generic cell rate algorithm (ITU-T I.371, annex A, virtual scheduling): one number per meter, no
timers, and in no span of t seconds more than rate · t + burst calls. Where several processes grant the same limits,
`access/quota_shared.py` says how much of them this one holds.
"""

from __future__ import annotations

import math
from collections.abc import Coroutine, Iterable
from fractions import Fraction
from typing import Any

from cenoby.kernel.clock import DAY_NS, Clock
from cenoby.kernel.errors import Unavailable
from cenoby.kernel.settings import LimitSettings, NamespaceLimit
from cenoby.store.journal_counts import CallCount

_SECOND_NS = 1_000_000_000
_SLOWEST_NS = 3_650 * DAY_NS
_UNLIMITED = 10**9
ALL = ""
"""The namespace of the general limits."""
_TENANT = "tenant:"
"""Begins the name under which a tenant's limits stand among those of namespaces and tools, which have no colon."""


class LimitExceeded(Unavailable):
    """Allowed, but more than the settings grant for now."""

    http_status = 429
    codes = {
        "rate_limited": "More calls per second than the settings grant; retry_after says when one fits again.",
        "quota_exceeded": "The agent's calls for this UTC day are used up; retry_after says when the next day begins.",
        "quota_pending": "The shared store has not given this process a part of the agent's quota yet; try again.",
        "share_expired": "This process heard nothing from the shared store for so long that its share has expired.",
        "budget_exhausted": "The agent's budget for this UTC day does not cover what the call may cost.",
        "flows_full": "As many labels of flowing data are kept as flows.max_labels allows; try again later.",
        "approvals_full": "The agent has too many undecided approval requests; have some decided first.",
    }


class Meter:
    """State and limits of one agent, or of one agent in one namespace.

    Args:
        agent, namespace: whose calls, and to what.
        per_second, burst, quota: calls per second, at once, and per UTC day.

    Attributes:
        interval_ns, window_ns, due_ns: the rate, what may be saved up, and when all is saved up again.
        used: calls of this UTC day.
        enough: from how many on `RateLimits` looks closer.
    """

    __slots__ = (
        "agent", "burst", "due_ns", "enough", "interval_ns", "namespace", "per_second", "quota", "used", "window_ns",
    )  # fmt: skip

    def __init__(self, agent: str, namespace: str, per_second: float, burst: int, quota: int) -> None:
        self.agent = agent
        self.namespace = namespace
        self.per_second = per_second
        self.burst = burst
        self.quota = self.enough = quota
        self.interval_ns = _interval_ns(per_second)
        self.window_ns = self.interval_ns * burst
        self.due_ns = 0
        self.used = 0

    def divide(self, share: Fraction, now: int, *, keep: bool) -> None:
        """Hold this share of rate and burst from now on, and of what was saved up no more than before, if any.

        A share of a burst is rounded down, but not below one call.
        """
        saved = (self.window_ns - max(0, self.due_ns - now)) // self.interval_ns if keep else 0
        burst = max(1, int(self.burst * share))
        self.interval_ns = _interval_ns(self.per_second * float(share))
        self.window_ns = self.interval_ns * burst
        self.due_ns = now + self.window_ns - min(saved, burst) * self.interval_ns


class RateLimits:
    """All meters of one node. Not for use by several threads.

    Args:
        settings: general limits, and those per namespace, tool and tenant. One of these that names `burst` without
            `calls_per_second` takes the general rate; one with a rate and no burst may save up one second's worth.
        clock: rates go by its monotonic time, quotas by the UTC day of its wall time.
    """

    def __init__(self, settings: LimitSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._now = clock.monotonic_ns
        self._agents: dict[str, Meter] = {}
        # By what they limit, then by agent; of a tenant there is one meter, of nobody.
        self._inside: dict[str, dict[str, Meter]] = {name: {} for name in limited_names(settings)}
        self._tenants = {name: _TENANT + name for name in settings.tenants}
        self._day = clock.now_ns() // DAY_NS
        self._look_again_ns = self._now() + _SECOND_NS

    def take(self, agent: str, namespace: str, tool: str = "", tenant: str = "") -> Coroutine[Any, Any, None] | None:
        """Count one call of `agent`, who is of `tenant`, to `tool` in `namespace` (a MAD's name).

        A refused call costs nothing.

        Returns:
            None where it was counted. Else what is to be awaited before it is tried again; nothing was counted.

        Raises:
            LimitExceeded: `rate_limited`, `quota_exceeded` or `share_expired`, with `retry_after`.
        """
        now = self._now()
        if now >= self._look_again_ns:
            self._look_again(now)
        meter = self._agents.get(agent) or self._new_meter(agent, ALL)
        due = meter.due_ns
        due = (due if due > now else now) + meter.interval_ns
        if (due - now > meter.window_ns or meter.used >= meter.enough) and (wait := self._look_closer(meter, due, now)):
            return wait
        if self._inside and (wait := self._take_inside(agent, namespace, tool, tenant, now)):
            return wait
        meter.due_ns = due
        meter.used += 1
        return None

    def seed(self, counts: Iterable[CallCount]) -> None:
        """Add the calls of this UTC day that were made before a restart."""
        for count in counts:
            (self._agents.get(count.agent) or self._new_meter(count.agent, ALL)).used += count.calls
            for agent, name in self._names(count.agent, count.mad, count.tool, count.tenant):
                self._meter_inside(agent, name).used += count.calls

    def day_start_ns(self) -> int:
        """When the current UTC day began, Unix nanoseconds: from where `seed` wants to be told."""
        return self._day * DAY_NS

    def _take_inside(
        self, agent: str, namespace: str, tool: str, tenant: str, now: int
    ) -> Coroutine[Any, Any, None] | None:
        taken: list[tuple[Meter, int]] = []
        for whose, name in self._names(agent, namespace, tool, tenant):
            meter = self._meter_inside(whose, name)
            due = max(meter.due_ns, now) + meter.interval_ns
            over = due - now > meter.window_ns or meter.used >= meter.enough
            if over and (wait := self._look_closer(meter, due, now)):
                return wait
            taken.append((meter, due))
        # Counted when all of them have let it through, so that a refused call costs nothing anywhere.
        for meter, due in taken:
            meter.due_ns = due
            meter.used += 1
        return None

    def _names(self, agent: str, namespace: str, tool: str, tenant: str) -> list[tuple[str, str]]:
        """Whose limits, and of what, such a call comes under, beside the agent's general ones."""
        names = [(agent, name) for name in (namespace, tool) if name in self._inside]
        if tenant in self._tenants:
            names.append(("", self._tenants[tenant]))
        return names

    def _meter_inside(self, agent: str, namespace: str) -> Meter:
        return self._inside[namespace].get(agent) or self._new_meter(agent, namespace)

    def _new_meter(self, agent: str, namespace: str) -> Meter:
        meters = self._agents if namespace == ALL else self._inside[namespace]
        meter = meters[agent] = self._make_meter(agent, namespace)
        return meter

    def _make_meter(self, agent: str, namespace: str) -> Meter:
        return Meter(agent, namespace, *granted_by(self._settings, namespace))

    def _look_again(self, now: int) -> None:
        # Wall time is read once a second, not once a call. It may step back; the day never does, or quotas refill.
        self._look_again_ns = now + _SECOND_NS
        day = self._clock.now_ns() // DAY_NS
        if day > self._day:
            self._day = day
            self._turn_day(now)

    def _turn_day(self, now: int) -> None:
        for meters in (self._agents, *self._inside.values()):
            for agent, meter in list(meters.items()):
                meter.used = 0
                if meter.due_ns <= now:
                    del meters[agent]

    def _look_closer(self, meter: Meter, due: int, now: int) -> Coroutine[Any, Any, None] | None:
        if meter.used >= meter.enough and (wait := self._used_up(meter, now)):
            return wait
        wait_ns = due - now - meter.window_ns
        if wait_ns <= 0:
            return None
        raise LimitExceeded(
            "rate_limited",
            f"More than {1e9 / meter.interval_ns:g} calls per second from {_whose(meter)}; wait {wait_ns / 1e9:.3f} s "
            "and call again.",
            retry_after=wait_ns / 1e9,
        )

    def _used_up(self, meter: Meter, now: int) -> Coroutine[Any, Any, None] | None:
        del now
        raise LimitExceeded(
            "quota_exceeded",
            f"The {meter.quota} calls per day of {_whose(meter)} are used up; the next UTC day brings new ones, or an "
            "operator raises limits.calls_per_day.",
            retry_after=max(0.0, ((self._day + 1) * DAY_NS - self._clock.now_ns()) / 1e9),
        )


def _interval_ns(per_second: float) -> int:
    # Rounded up, so that rounding never admits more than was granted.
    return math.ceil(min(_SECOND_NS / per_second, _SLOWEST_NS))


def limited_names(settings: LimitSettings) -> list[str]:
    """What the settings limit beside agents: namespaces, tools, and tenants with a word before them."""
    return [*settings.namespaces, *settings.tools, *(_TENANT + name for name in settings.tenants)]


def granted_by(settings: LimitSettings, namespace: str) -> tuple[float, int, int]:
    """Calls per second, at once and per UTC day that each agent has in one of `limited_names`, or in `ALL`."""
    if namespace == ALL:
        return settings.calls_per_second, settings.burst, settings.calls_per_day
    limit = settings.namespaces.get(namespace) or settings.tools.get(namespace)
    if limit is None:
        return _of_tenant(settings.tenants[namespace.removeprefix(_TENANT)])
    per_second = limit.calls_per_second or settings.calls_per_second
    own_burst = settings.burst if limit.calls_per_second is None else math.ceil(per_second)
    return per_second, limit.burst or own_burst, limit.calls_per_day or settings.calls_per_day


def _of_tenant(limit: NamespaceLimit) -> tuple[float, int, int]:
    # The general limits are one agent's; a tenant has only what is said.
    per_second = limit.calls_per_second or _UNLIMITED
    own_burst = _UNLIMITED if limit.calls_per_second is None else math.ceil(per_second)
    return per_second, limit.burst or own_burst, limit.calls_per_day or _UNLIMITED


def _whose(meter: Meter) -> str:
    if meter.namespace.startswith(_TENANT):
        return f"tenant {meter.namespace.removeprefix(_TENANT)!r}"
    return f"agent {meter.agent!r}" + (f" in {meter.namespace!r}" if meter.namespace != ALL else "")
