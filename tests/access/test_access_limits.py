"""Rate limits and quotas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.access.limits import LimitExceeded, RateLimits
from cenoby.kernel.clock import DAY_NS, ManualClock
from cenoby.kernel.settings import LimitSettings, NamespaceLimit
from cenoby.store.journal_counts import CallCount

WAITS = st.lists(st.integers(0, 3_000_000_000), min_size=1, max_size=60)
RATES = st.floats(0.05, 5_000, allow_nan=False)


def admitted(limits: RateLimits, agent: str = "ada", namespace: str = "rogers") -> bool:
    try:
        limits.take(agent, namespace)
    except LimitExceeded:
        return False
    return True


@given(RATES, st.integers(1, 20), WAITS)
def test_no_window_holds_more_than_rate_times_time_plus_burst(rate: float, burst: int, waits: list[int]) -> None:
    """Between any two moments, at most rate · t + burst calls get through."""
    clock = ManualClock()
    limits = RateLimits(LimitSettings(calls_per_second=rate, burst=burst), clock)
    times: list[int] = []
    for wait in waits:
        clock.advance(wait / 1e9)
        times += [clock.monotonic_ns()] * sum(admitted(limits) for _ in range(3))
    for first, start in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= rate * (times[last] - start) / 1e9 + burst + 1e-6


@given(RATES, st.integers(1, 20), WAITS)
def test_waiting_as_told_is_enough_and_not_too_long(rate: float, burst: int, waits: list[int]) -> None:
    """After `retry_after` the call gets through; one nanosecond earlier it does not."""
    clock = ManualClock()
    limits = RateLimits(LimitSettings(calls_per_second=rate, burst=burst), clock)
    for wait in waits:
        clock.advance(wait / 1e9)
        try:
            limits.take("ada", "rogers")
        except LimitExceeded as refused:
            assert refused.code == "rate_limited"
            assert refused.retry_after is not None
            clock.advance(round(refused.retry_after * 1e9 - 1) / 1e9)
            assert not admitted(limits)
            clock.advance(1e-9)
            limits.take("ada", "rogers")


def test_the_whole_burst_is_there_after_a_pause() -> None:
    """An agent that paused may make exactly `burst` calls at once."""
    clock = ManualClock()
    limits = RateLimits(LimitSettings(calls_per_second=10, burst=7), clock)
    for _ in range(3):
        assert [admitted(limits) for _ in range(9)] == [True] * 7 + [False] * 2
        clock.advance(60)


def test_agents_do_not_share_a_rate() -> None:
    """One agent's calls leave another's allowance alone."""
    limits = RateLimits(LimitSettings(calls_per_second=1, burst=1), ManualClock())
    assert admitted(limits, "ada")
    assert not admitted(limits, "ada")
    assert admitted(limits, "bob")


def test_a_namespace_has_limits_of_its_own() -> None:
    """A namespace's limit holds for its calls only, per agent, beside the general one."""
    settings = LimitSettings(
        calls_per_second=1000, burst=5, namespaces={"marco": NamespaceLimit(calls_per_second=2, burst=2)}
    )
    limits = RateLimits(settings, ManualClock())
    assert [admitted(limits, namespace="marco") for _ in range(3)] == [True, True, False]
    assert admitted(limits, "bob", "marco")
    # The refused call cost nothing, so three of the general five are left.
    assert [admitted(limits) for _ in range(4)] == [True, True, True, False]


def test_the_general_limit_holds_inside_a_namespace_and_costs_it_nothing() -> None:
    """A call that the general limit refuses is not counted in the namespace either."""
    settings = LimitSettings(
        calls_per_second=1, burst=1, namespaces={"marco": NamespaceLimit(calls_per_day=2, burst=50)}
    )
    clock = ManualClock()
    limits = RateLimits(settings, clock)
    assert [admitted(limits, namespace="marco") for _ in range(3)] == [True, False, False]
    # Of two calls a day in the namespace one is left, once the general limit lets it through.
    clock.advance(1)
    assert admitted(limits, namespace="marco")
    clock.advance(1)
    assert not admitted(limits, namespace="marco")
    assert admitted(limits)


def test_a_namespace_rate_without_burst_saves_up_one_second() -> None:
    """A rate without a burst allows one second's worth at once."""
    limits = RateLimits(LimitSettings(namespaces={"marco": NamespaceLimit(calls_per_second=2.5)}), ManualClock())
    assert sum(admitted(limits, namespace="marco") for _ in range(10)) == 3


@pytest.mark.parametrize(
    "settings",
    [LimitSettings(calls_per_day=3), LimitSettings(namespaces={"rogers": NamespaceLimit(calls_per_day=3)})],
)
def test_a_quota_lasts_for_a_day(settings: LimitSettings) -> None:
    """After the day's calls, refusals say when the next day begins; then the quota is there again."""
    clock = ManualClock()
    clock.advance(3600)
    limits = RateLimits(settings, clock)
    assert [admitted(limits) for _ in range(4)] == [True, True, True, False]
    with pytest.raises(LimitExceeded) as refused:
        limits.take("ada", "rogers")
    assert refused.value.code == "quota_exceeded"
    assert refused.value.retry_after == 23 * 3600
    clock.advance(refused.value.retry_after)
    assert admitted(limits)


def test_a_wall_clock_that_steps_back_brings_no_new_quota() -> None:
    """Turning the wall clock back a day and forth again does not refill a quota."""
    clock = ManualClock()
    clock.advance(3600)
    limits = RateLimits(LimitSettings(calls_per_day=1), clock)
    assert admitted(limits)
    for step in (-86_400, 86_400):
        clock.jump(step)
        clock.advance(2)
        assert not admitted(limits)


@given(st.lists(st.tuples(st.sampled_from(["ada", "bob"]), st.sampled_from(["rogers", "marco"]), st.integers(0, 9))))
def test_a_restart_forgets_no_call_of_the_day(counts: list[tuple[str, str, int]]) -> None:
    """What the journal counted since midnight is used up already."""
    settings = LimitSettings(calls_per_day=20, namespaces={"marco": NamespaceLimit(calls_per_day=5)})
    limits = RateLimits(settings, ManualClock())
    limits.seed([CallCount(*count) for count in counts])
    used = sum(calls for agent, _, calls in counts if agent == "ada")
    in_marco = sum(calls for agent, namespace, calls in counts if (agent, namespace) == ("ada", "marco"))
    allowed = sum(admitted(limits, "ada", "marco") for _ in range(25))
    assert allowed == max(0, min(20 - used, 5 - in_marco))


def test_the_day_to_seed_from_is_the_utc_day() -> None:
    """Counting starts at the last UTC midnight, also after the day turned."""
    clock = ManualClock()
    midnight = clock.now_ns() - clock.now_ns() % DAY_NS
    clock.advance(5000)
    limits = RateLimits(LimitSettings(), clock)
    assert limits.day_start_ns() == midnight
    clock.advance(86_400)
    limits.take("ada", "rogers")
    assert limits.day_start_ns() == midnight + DAY_NS


def test_idle_agents_are_forgotten_when_the_day_turns() -> None:
    """Meters do not pile up, and one that still owes time is kept."""
    clock = ManualClock()
    limits = RateLimits(LimitSettings(calls_per_second=1e-5, burst=1), clock)
    limits.take("slow", "rogers")
    clock.advance(86_400)
    assert admitted(limits, "other")
    assert not admitted(limits, "slow")


def test_absurdly_slow_rates_do_not_break() -> None:
    """A rate near zero is a very long wait, not an overflow."""
    limits = RateLimits(LimitSettings(calls_per_second=1e-300, burst=1), ManualClock())
    assert [admitted(limits) for _ in range(2)] == [True, False]


FETCH = "mads.marco.fetch"
CALLER = st.tuples(st.sampled_from("ab"), st.sampled_from([FETCH, "mads.marco.read", "mads.rogers.post"]))


def taken(limits: RateLimits, agent: str, tool: str, tenant: str = "research") -> bool:
    try:
        limits.take(agent, tool.split(".")[1], tool, tenant)
    except LimitExceeded:
        return False
    return True


@given(st.lists(CALLER, max_size=40))
def test_a_call_passes_all_of_its_limits_or_is_counted_by_none(callers: list[tuple[str, str]]) -> None:
    """Agent, namespace, tool and tenant each have a quota for the day: exactly those calls get through that a plain
    count of the calls let through so far allows in all four."""
    settings = LimitSettings(
        calls_per_day=7,
        namespaces={"marco": NamespaceLimit(calls_per_day=5)},
        tools={FETCH: NamespaceLimit(calls_per_day=3)},
        tenants={"research": NamespaceLimit(calls_per_day=10)},
    )
    limits, through = RateLimits(settings, ManualClock()), list[tuple[str, str]]()
    for agent, tool in callers:
        own = [name for who, name in through if who == agent]
        fits = (
            len(own) < 7
            and (not tool.startswith("mads.marco.") or sum(one.startswith("mads.marco.") for one in own) < 5)
            and (tool != FETCH or own.count(FETCH) < 3)
            and len(through) < 10
        )
        assert taken(limits, agent, tool) == fits
        through += [(agent, tool)] * fits


def test_the_rate_of_a_tenant_is_that_of_all_its_agents() -> None:
    """Two agents share it, agents of other tenants do not feel it, and the refusal names the tenant."""
    clock = ManualClock()
    limits = RateLimits(LimitSettings(tenants={"research": NamespaceLimit(calls_per_second=2, burst=2)}), clock)
    assert [taken(limits, agent, FETCH) for agent in "aba"] == [True, True, False]
    assert taken(limits, "c", FETCH, "default")
    with pytest.raises(LimitExceeded, match="tenant 'research'"):
        limits.take("b", "marco", FETCH, "research")
    clock.advance(0.5)
    assert taken(limits, "b", FETCH)


def test_quotas_of_tools_and_tenants_outlast_a_restart() -> None:
    """What the journal counted of this day is used up."""
    settings = LimitSettings(
        tools={FETCH: NamespaceLimit(calls_per_day=2)}, tenants={"research": NamespaceLimit(calls_per_day=4)}
    )
    limits = RateLimits(settings, ManualClock())
    limits.seed(
        [CallCount("a", "marco", 2, FETCH, "research"), CallCount("b", "rogers", 1, "mads.rogers.post", "research")]
    )
    assert [taken(limits, "a", tool) for tool in (FETCH, "mads.marco.read", "mads.marco.read")] == [False, True, False]
