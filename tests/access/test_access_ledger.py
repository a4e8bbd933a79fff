"""The ledger of budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from late_answers import LateAnswers

from cenoby.access.budgets.ledger import Ledger
from cenoby.access.limits import LimitExceeded
from cenoby.access.roles import AccessRefused
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings import BudgetSettings
from cenoby.store.database import Database
from cenoby.store.engine import Engine

BUDGETS = BudgetSettings(usd_per_day=0.001, agents={"rich": 2.0, "poor": 0.0})
LIMIT = 1000

# What one caller does: reserve so much, wait so many turns, then spend a share of it, or die without settling.
CALLERS = st.lists(
    st.tuples(st.integers(0, 700), st.integers(0, 3), st.none() | st.floats(0, 1)), min_size=1, max_size=8
)


@pytest.fixture
def ledger(database: Database, clock: ManualClock) -> Ledger:
    return Ledger(database, BUDGETS, clock)


async def counted(ledger: Ledger, agent: str = "ada") -> tuple[int, int]:
    """(held, spent) of an agent today."""
    found = await ledger.usage("default", agent=agent)
    return (found[0].held, found[0].spent) if found else (0, 0)


@settings(max_examples=25, deadline=None)
@given(lives=st.lists(CALLERS, min_size=1, max_size=3))
def test_no_interleaving_and_no_crash_overspends(
    new_store: Callable[[], Engine], lives: list[list[tuple[int, int, float | None]]]
) -> None:
    """Callers that reserve and settle at once, over several lives of the process, never hold and spend more than the
    limit; every reservation that was not settled stays counted, and not one micro-dollar is lost or made up."""
    store, clock, expected = new_store(), ManualClock(), 0

    async def caller(ledger: Ledger, amount: int, turns: int, share: float | None) -> int:
        try:
            reservation = await ledger.reserve("ada", "default", amount)
        except LimitExceeded:
            return 0
        for _ in range(turns):
            await asyncio.sleep(0)
        if share is None:
            return amount
        await ledger.settle(reservation, round(amount * share))
        return round(amount * share)

    async def life(callers: list[tuple[int, int, float | None]]) -> None:
        nonlocal expected
        database = await Database.open(store, clock=clock)
        ledger = Ledger(database, BUDGETS, clock)
        expected += sum(await asyncio.gather(*(caller(ledger, *each) for each in callers)))
        held, spent = await counted(ledger)
        assert held + spent == expected <= LIMIT
        await database.close()

    for callers in lives:
        asyncio.run(life(callers))


async def test_the_last_cent_can_be_reserved_and_not_one_more(ledger: Ledger) -> None:
    """The limit itself is reachable; one micro-dollar above it is not."""
    await ledger.reserve("ada", "default", LIMIT - 1)
    await ledger.reserve("ada", "default", 1)
    with pytest.raises(LimitExceeded) as refused:
        await ledger.reserve("ada", "default", 1)
    assert refused.value.code == "budget_exhausted"
    assert refused.value.retry_after == 86_400


async def test_what_never_fits_is_refused_without_a_time(ledger: Ledger) -> None:
    """More than a whole day's budget is refused, and nobody is told to wait for it."""
    for amount in (LIMIT + 1, 10**30):
        with pytest.raises(LimitExceeded) as refused:
            await ledger.reserve("ada", "default", amount)
        assert refused.value.retry_after is None


async def test_settling_frees_the_rest(ledger: Ledger) -> None:
    """What a call did not need can be reserved again."""
    reservation = await ledger.reserve("ada", "default", LIMIT)
    await ledger.settle(reservation, 10)
    assert await counted(ledger) == (0, 10)
    await ledger.reserve("ada", "default", LIMIT - 10)


async def test_only_the_first_settlement_counts(ledger: Ledger) -> None:
    """Settling again changes nothing, so it can be repeated without harm."""
    reservation = await ledger.reserve("ada", "default", 100)
    await ledger.settle(reservation, 40)
    await ledger.settle(reservation, 0)
    assert await counted(ledger) == (0, 40)


async def test_an_overrun_is_recorded_and_stops_the_agent(ledger: Ledger) -> None:
    """Money that is gone counts, even above the reservation and the limit; nothing more is granted then."""
    reservation = await ledger.reserve("ada", "default", 900)
    await ledger.settle(reservation, LIMIT + 5)
    assert await counted(ledger) == (0, LIMIT + 5)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("ada", "default", 0)


async def test_a_reservation_nobody_knows_cannot_be_settled(ledger: Ledger) -> None:
    """A wrong id is an error, not silence."""
    with pytest.raises(AccessRefused) as refused:
        await ledger.settle("nothing", 1)
    assert refused.value.code == "reservation_unknown"


@pytest.mark.parametrize("amount", [-1, -(10**9)])
async def test_negative_money_is_a_mistake_of_the_caller(ledger: Ledger, amount: int) -> None:
    """Nobody fills a budget by reserving or spending less than nothing."""
    with pytest.raises(ValueError, match="not negative"):
        await ledger.reserve("ada", "default", amount)
    reservation = await ledger.reserve("ada", "default", 5)
    with pytest.raises(ValueError, match="not negative"):
        await ledger.settle(reservation, amount)


async def test_a_new_day_brings_a_new_budget(ledger: Ledger, clock: ManualClock) -> None:
    """A budget is per UTC day, and a settlement goes to the day of its reservation."""
    clock.advance(86_399)
    late = await ledger.reserve("ada", "default", LIMIT)
    clock.advance(1)
    await ledger.reserve("ada", "default", 7)
    await ledger.settle(late, 300)
    today, yesterday = await ledger.usage("default", agent="ada", days=2)
    assert (today.held, today.spent, today.limit) == (7, 0, LIMIT)
    assert (yesterday.held, yesterday.spent) == (0, 300)
    assert yesterday.day == today.day - 1


async def test_agents_have_their_own_budgets(ledger: Ledger) -> None:
    """A named agent has the limit the settings give it; one agent's spending is not another's."""
    await ledger.reserve("rich", "default", 2_000_000)
    await ledger.reserve("poor", "default", 0)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("poor", "default", 1)
    await ledger.reserve("ada", "default", LIMIT)
    assert [(use.agent, use.held) for use in await ledger.usage("default")] == [
        ("ada", LIMIT),
        ("poor", 0),
        ("rich", 2_000_000),
    ]
    assert await ledger.usage("elsewhere") == []


async def test_no_limit_is_a_very_large_one(database: Database, clock: ManualClock) -> None:
    """An infinite budget works, and its sums do not overflow the store."""
    ledger = Ledger(database, BudgetSettings(usd_per_day=float("inf")), clock)
    await ledger.reserve("ada", "default", ledger.limit("ada"))
    with pytest.raises(LimitExceeded):
        await ledger.reserve("ada", "default", ledger.limit("ada"))


async def test_a_cancelled_reservation_is_given_back(database: Database, clock: ManualClock) -> None:
    """A caller that gives up while its reservation is being written does not lose the money for the day."""
    late = LateAnswers(database)
    ledger = Ledger(late, BUDGETS, clock)  # type: ignore[arg-type]
    waiting = asyncio.create_task(ledger.reserve("ada", "default", LIMIT))
    await late.written.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await counted(ledger) == (LIMIT, 0)
    late.release.set()
    reservation = await ledger.reserve("ada", "default", LIMIT)
    assert await counted(ledger) == (LIMIT, 0)
    await ledger.settle(reservation, LIMIT)
