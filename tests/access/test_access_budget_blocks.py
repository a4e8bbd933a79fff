"""Budgets that several processes spend from blocks in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.access.budgets.accounts import Account
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.budgets.ledger_leased import LeasedLedger
from cenoby.access.limits import LimitExceeded
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings_budgets import BudgetSettings, SpendLimit
from cenoby.store.database import Database
from cenoby.store.engine import Engine

# Real time never ends this lease; the clock of the test does.
BUDGETS = BudgetSettings(usd_per_day=0.01, mads={"shop": SpendLimit(usd=0.015)}, lease_seconds=300)
LIMIT, SHOP = 10_000, 15_000
ADA = Account("agent", "ada", "micro_usd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 2), st.integers(1, 40), st.sampled_from(["ada", "bob"])),
        st.tuples(st.just("rush"), st.integers(0, 2), st.integers(20, 900), st.sampled_from(["ada", "bob"])),
        st.tuples(st.just("settle"), st.integers(0, 2), st.integers(0, 100), st.just("")),
        st.tuples(st.just("crash"), st.integers(0, 2), st.just(0), st.just("")),
        st.tuples(st.just("renew"), st.integers(0, 2), st.just(0), st.just("")),
        st.tuples(st.just("stop"), st.integers(0, 2), st.just(0), st.just("")),
        st.tuples(st.just("lapse"), st.just(0), st.sampled_from([100, 290, 4000]), st.just("")),
    ),
    max_size=25,
)


@dataclass
class Node:
    """One process: its ledger, and what it reserved and did not settle: (reservation, agent, amount)."""

    ledger: LeasedLedger
    open: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])


class Colony:
    """Three processes on one store, and what their agents really spent or may still spend."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database, self.clock = database, clock
        self.used = {"ada": 0, "bob": 0}
        self.nodes = [self.node() for _ in range(3)]

    def node(self) -> Node:
        ledger = LeasedLedger(self.database, BUDGETS, self.clock)
        ledger.start()
        return Node(ledger)

    async def reserve(self, node: Node, amount: int, agent: str) -> None:
        try:
            reservation = await node.ledger.reserve(agent, "default", amount, mad="shop")
        except LimitExceeded:
            return
        self.used[agent] += amount
        node.open.append((reservation, agent, amount))
        await self.quiet()

    async def quiet(self) -> None:
        """Until blocks that were asked for are there."""
        for _ in range(3):
            await asyncio.sleep(0)
        await self.database.write(lambda connection: None)

    async def step(self, what: str, which: int, number: int, agent: str) -> None:
        node = self.nodes[which]
        if what == "reserve":
            await self.reserve(node, number, agent)
        elif what == "rush":
            await asyncio.gather(*(self.reserve(one, number, agent) for one in self.nodes * 2))
        elif what == "settle" and node.open:
            reservation, payer, amount = node.open.pop(0)
            spent = amount * number // 100
            await node.ledger.settle(reservation, spent)
            self.used[payer] -= amount - spent
        elif what == "crash":
            # Its memory is gone; what it had reserved may have been spent.
            self.nodes[which] = self.node()
        elif what == "renew":
            await node.ledger.renew()
        elif what == "stop":
            await node.ledger.stop()
            self.nodes[which] = self.node()
        elif what == "lapse":
            self.clock.advance(number)

    async def check(self) -> None:
        plain = Ledger(self.database, BUDGETS, self.clock)
        for agent, used in self.used.items():
            counted = sum(await plain.standing(Account("agent", agent, "micro_usd")))
            assert used <= counted <= LIMIT
        shop = sum(await plain.standing(Account("mad", "shop", "micro_usd")))
        assert sum(self.used.values()) <= shop <= SHOP


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_no_process_and_no_crash_takes_an_account_above_its_limit(
    new_store: Callable[[], Engine], steps: list[tuple[str, int, int, str]]
) -> None:
    """Three processes reserve, settle, stop, crash and lose their leases in any order: what was spent or may be is
    never more than the store counts, and that never more than the limit, for the agents and the MAD that both pay."""

    async def run() -> None:
        clock = ManualClock()
        database = await Database.open(new_store(), clock=clock)
        colony = Colony(database, clock)
        for step in steps:
            await colony.step(*step)
            await colony.check()
        await database.close()

    asyncio.run(run())


@pytest.fixture
def ledger(database: Database, clock: ManualClock) -> LeasedLedger:
    return LeasedLedger(database, BUDGETS, clock)


async def reserved_from_memory(ledger: LeasedLedger, database: Database, amount: int = 10) -> list[str]:
    """Reservations until one came from memory: it is done without a turn of the loop."""
    reservations: list[str] = []
    while True:
        call = ledger.reserve("ada", "default", amount)
        try:
            call.send(None)
        except StopIteration as done:
            return [*reservations, done.value]
        call.close()
        reservations.append(await ledger.reserve("ada", "default", amount))
        await database.write(lambda connection: None)


async def test_a_block_decides_in_memory_and_everything_comes_back(ledger: LeasedLedger, database: Database) -> None:
    """From memory it is exact for who asks here; after the stop the store counts the same."""
    ledger.start()
    reservations = await reserved_from_memory(ledger, database)
    await ledger.settle(reservations[-1], 4)
    held, spent = await ledger.standing(ADA)
    assert spent == 4
    await ledger.stop()
    assert await Ledger(database, BUDGETS, ManualClock()).standing(ADA) == (held, spent)


async def test_an_overrun_of_a_block_is_counted(ledger: LeasedLedger, database: Database) -> None:
    """More than a block has is gone and counted, above the limit too."""
    ledger.start()
    reservations = await reserved_from_memory(ledger, database)
    await ledger.settle(reservations[-1], LIMIT * 2)
    await ledger.stop()
    _, spent = await Ledger(database, BUDGETS, ManualClock()).standing(ADA)
    assert spent == LIMIT * 2
    with pytest.raises(LimitExceeded):
        await ledger.reserve("ada", "default", 1)


async def test_a_block_does_not_keep_its_own_process_from_the_rest(ledger: LeasedLedger, database: Database) -> None:
    """What this process holds itself never refuses a call that fits: the block goes back first."""
    ledger.start()
    reservations = await reserved_from_memory(ledger, database)
    for reservation in reservations:
        await ledger.settle(reservation, 0)
    held, _ = await ledger.standing(ADA)
    await ledger.reserve("ada", "default", LIMIT - held)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("ada", "default", 1)
    await ledger.stop()
