"""Budgets of agents, tenants, MADs and tasks, in money and in tokens, all charged at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.access.budgets.accounts import Account, BudgetTable, Cost, Payer
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.limits import LimitExceeded
from cenoby.kernel.clock import DAY_NS, ManualClock
from cenoby.kernel.settings_budgets import BudgetSettings, SpendLimit
from cenoby.store.database import Database
from cenoby.store.engine import Engine

USD, TOKENS = 1e-6, 1
BUDGETS = BudgetSettings(
    usd_per_day=1000 * USD,
    tokens_per_day=500,
    agents={"rich": 1.0},
    agent_tokens={"rich": 5000},
    tenants={"default": SpendLimit(usd=1500 * USD)},
    mads={"fiedler": SpendLimit(usd=1200 * USD, tokens=600)},
    task=SpendLimit(usd=700 * USD, tokens=400),
)
PAYERS = [Payer(agent, "default", mad, task) for agent in ("ada", "bob", "rich") for mad in ("fiedler", "marco")
          for task in ("", "one", "two")]  # fmt: skip
CALLS = st.lists(
    st.tuples(
        st.sampled_from(PAYERS),
        st.integers(0, 400),
        st.integers(0, 300),
        st.integers(0, 2),
        st.none() | st.floats(0, 1),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture
def ledger(database: Database, clock: ManualClock) -> Ledger:
    return Ledger(database, BUDGETS, clock)


async def used(ledger: Ledger) -> dict[Account, int]:
    """Held and spent of every account that anybody here can be charged to."""
    table = BudgetTable(BUDGETS)
    accounts = {part.account for payer in PAYERS for part in table.parts(payer, Cost(0))}
    return {account: sum(await ledger.standing(account)) for account in accounts}


@settings(max_examples=30, deadline=None)
@given(calls=CALLS)
def test_no_interleaving_overspends_any_account_and_none_is_charged_for_nothing(
    new_store: Callable[[], Engine], calls: list[tuple[Payer, int, int, int, float | None]]
) -> None:
    """Callers of several tasks and MADs at once: no account is ever above its limit, and each has exactly what the
    calls that were let through hold and spent; a refused call leaves no trace in any of its accounts."""
    table, expected = BudgetTable(BUDGETS), dict[Account, int]()

    async def caller(ledger: Ledger, payer: Payer, usd: int, tokens: int, turns: int, share: float | None) -> None:
        agent, tenant, mad, task = payer
        try:
            reservation = await ledger.reserve(agent, tenant, usd, tokens=tokens, mad=mad, task=task)
        except LimitExceeded:
            return
        for _ in range(turns):
            await asyncio.sleep(0)
        if share is not None:
            usd, tokens = round(usd * share), round(tokens * share)
            await ledger.settle(reservation, usd, tokens)
        for part in table.parts(payer, Cost(usd, tokens)):
            expected[part.account] = expected.get(part.account, 0) + part.amount

    async def run() -> None:
        clock = ManualClock()
        database = await Database.open(new_store(), clock=clock)
        ledger = Ledger(database, BUDGETS, clock)
        await asyncio.gather(*(caller(ledger, *call) for call in calls))
        counted = await used(ledger)
        limits = {part.account: part.limit for payer in PAYERS for part in table.parts(payer, Cost(0))}
        assert all(counted[account] == expected.get(account, 0) <= limits[account] for account in counted)
        await database.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("earlier", "wanted", "account", "lasts"),
    [
        (Payer("ada", "default"), Cost(0, 501), "agent 'ada'", True),
        (Payer("rich", "default"), Cost(501, 0), "tenant 'default'", False),
        (Payer("rich", "default", "fiedler"), Cost(201, 0), "mad 'fiedler'", False),
        (Payer("rich", "default", "", "one"), Cost(0, 401), "task 'one'", True),
    ],
)
async def test_the_strictest_account_refuses_and_says_so(
    ledger: Ledger, earlier: Payer, wanted: Cost, account: str, lasts: bool
) -> None:
    """Each kind of account has its own limit, in money or in tokens; the refusal names it, and a time only where the
    next day brings something."""
    mad = "fiedler" if earlier.mad else ""
    await ledger.reserve("bob", "default", 1000, mad=mad)
    with pytest.raises(LimitExceeded) as refused:
        await ledger.reserve(
            earlier.agent, earlier.tenant, *wanted[:1], tokens=wanted.tokens, mad=mad, task=earlier.task
        )
    assert refused.value.code == "budget_exhausted"
    assert account in refused.value.message
    assert (refused.value.retry_after is None) == lasts


async def test_a_task_keeps_its_budget_over_midnight(ledger: Ledger, clock: ManualClock) -> None:
    """Days bring new money to agents and none to a task; tasks of the same name in two tenants are two tasks."""
    for _ in range(2):
        await ledger.reserve("rich", "default", 350, task="one")
        clock.advance(DAY_NS / 1e9)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("rich", "default", 1, task="one")
    await ledger.reserve("rich", "elsewhere", 700, task="one")


async def test_what_was_spent_without_a_reservation_counts(ledger: Ledger) -> None:
    """It is charged to all accounts, above the limit too, and what is asked for next is refused."""
    await ledger.charge(Payer("ada", "default", "fiedler", "one"), Cost(1100, 7))
    assert await ledger.standing(Account("agent", "ada", "micro_usd")) == (0, 1100)
    assert await ledger.standing(Account("task", "default/one", "tokens")) == (0, 7)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("ada", "default", 1)
    with pytest.raises(ValueError, match="not negative"):
        await ledger.charge(Payer("ada", "default"), Cost(-1))


async def test_tokens_nobody_counted_are_those_that_were_reserved(ledger: Ledger) -> None:
    """Settling the money alone frees no tokens."""
    reservation = await ledger.reserve("ada", "default", 100, tokens=50)
    await ledger.settle(reservation, 20)
    assert await ledger.standing(Account("agent", "ada", "tokens")) == (0, 50)
    assert await ledger.standing(Account("agent", "ada", "micro_usd")) == (0, 20)
