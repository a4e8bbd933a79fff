"""Leases: one owner at a time, tokens that only grow, and no write of an owner who was late; on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.kernel.ids import new_id
from cenoby.store.database import Database, StoreRefused
from cenoby.store.engine import Connection, Engine
from cenoby.store.leases import CLOCKS_AGREE_NS, Lease, Leases, acquire_lease, check_lease
from tests.stores import MakeStore

SECOND = 1_000_000_000
TTL = 10 * SECOND


@pytest.fixture
async def database(store: Engine) -> AsyncIterator[Database]:
    database = await Database.open(store, clock=SystemClock())
    yield database
    await database.close()


def note(connection: Connection, name: str) -> None:
    """Something that a lease guards."""
    connection.execute(
        "INSERT INTO flags (tenant, name, percentage, agents, reason, set_by, set_ns)"
        " VALUES ('t', ?, 1, '', '', '', 0)",
        (name,),
    )


async def notes(database: Database) -> list[str]:
    rows = await database.read(lambda connection: connection.execute("SELECT name FROM flags ORDER BY name").fetchall())
    return [name for (name,) in rows]


async def test_one_owner_holds_a_name_until_its_time_is_over(database: Database) -> None:
    """Nobody else gets it before, not even the same owner again; after that the next token is the next number."""
    clock = ManualClock()
    leases = Leases(database, clock)
    first = await leases.acquire("sequencer", "n1", TTL)
    assert first is not None
    assert first.token == 1
    assert await leases.acquire("sequencer", "n2", TTL) is None
    assert await leases.acquire("sequencer", "n1", TTL) is None
    assert await leases.acquire("other", "n2", TTL) is not None
    assert await leases.find("sequencer") == msgspec.structs.replace(first, ends_ns=0)
    clock.advance(9.9)
    assert first.is_live(clock)
    assert await leases.acquire("sequencer", "n2", TTL) is None
    clock.advance(0.1)
    assert not first.is_live(clock)
    second = await leases.acquire("sequencer", "n2", TTL)
    assert second is not None
    assert (second.owner, second.token) == ("n2", 2)


async def test_tenants_have_names_of_their_own(database: Database) -> None:
    """The same name of two tenants is two leases."""
    clock = ManualClock()
    assert await Leases(database, clock, tenant="a").acquire("x", "n1", TTL)
    assert await Leases(database, clock, tenant="b").acquire("x", "n1", TTL)
    assert await Leases(database, clock).find("x") is None


async def test_renewal_keeps_the_token_and_release_passes_it_on(database: Database) -> None:
    """A renewed lease outlives its first time; a released one is free at once, and its token is never given again."""
    clock = ManualClock()
    leases = Leases(database, clock)
    lease = await leases.acquire("x", "n1", TTL)
    assert lease is not None
    clock.advance(8)
    longer = await leases.renew(lease)
    assert longer.token == lease.token
    clock.advance(8)
    assert longer.is_live(clock)
    assert await leases.acquire("x", "n2", TTL) is None
    assert await leases.release(longer)
    assert not await leases.release(longer)
    assert await leases.find("x") is None
    with pytest.raises(StoreRefused) as lost:
        await leases.renew(longer)
    assert lost.value.code == "lease_lost"
    taken = await leases.acquire("x", "n2", TTL)
    assert taken is not None
    assert taken.token == 2


async def test_a_lease_that_ran_out_is_renewed_where_nobody_took_it(database: Database) -> None:
    """Being late costs nothing as long as nobody else came."""
    clock = ManualClock()
    leases = Leases(database, clock)
    lease = await leases.acquire("x", "n1", TTL)
    assert lease is not None
    clock.advance(60)
    assert await leases.write(lease, lambda connection: note(connection, "late")) is None
    assert (await leases.renew(lease)).is_live(clock)
    assert await leases.acquire("x", "n2", TTL) is None
    assert await notes(database) == ["late"]


async def test_a_stale_owner_writes_nothing(database: Database) -> None:
    """After a takeover the former token is refused in the transaction of the write, which leaves nothing behind."""
    clock = ManualClock()
    leases = Leases(database, clock)
    stale = await leases.acquire("x", "n1", TTL)
    assert stale is not None
    clock.advance(10)
    lease = await leases.acquire("x", "n2", TTL)
    assert lease is not None

    def late(connection: Connection) -> None:
        # Even one that asks last.
        note(connection, "stale")
        check_lease(connection, stale)

    for attempt in (
        leases.write(stale, lambda connection: note(connection, "stale")),
        database.write(late),
        leases.renew(stale),
    ):
        with pytest.raises(StoreRefused) as lost:
            await attempt
        assert lost.value.code == "lease_lost"
    assert not await leases.release(stale)
    await leases.write(lease, lambda connection: note(connection, "fresh"))
    assert await notes(database) == ["fresh"]


async def test_clocks_that_step(database: Database) -> None:
    """A clock set far back frees what its past had taken; a small difference frees nothing; a step forward costs the
    owner its lease, never two owners."""
    clock = ManualClock()
    leases = Leases(database, clock)
    lease = await leases.acquire("x", "n1", TTL)
    assert lease is not None
    clock.jump(-CLOCKS_AGREE_NS / SECOND)
    assert await leases.acquire("x", "n2", TTL) is None
    assert lease.is_live(clock)
    clock.jump(-3600)
    second = await leases.acquire("x", "n2", TTL)
    assert second is not None
    with pytest.raises(StoreRefused):
        await leases.write(lease, lambda connection: note(connection, "stale"))
    clock.jump(+7200)
    third = await leases.acquire("x", "n3", TTL)
    assert third is not None
    assert third.token == 3
    with pytest.raises(StoreRefused):
        await leases.renew(second)
    assert second.is_live(clock), "its own clock cannot know; the store does"


async def test_a_lease_needs_an_owner_and_time(database: Database) -> None:
    """An empty owner would be nobody."""
    leases = Leases(database, ManualClock())
    with pytest.raises(ValueError, match="owner"):
        await leases.acquire("x", "", TTL)
    with pytest.raises(ValueError, match="owner"):
        await leases.acquire("x", "n1", 0)


async def test_of_many_processes_one_gets_it(store: Engine) -> None:
    """Eight connections of their own ask at the same time, again and again: each time exactly one has it."""
    clock = SystemClock()
    databases = [await Database.open(store, clock=clock) for _ in range(8)]
    for turn in range(5):
        asked = [Leases(one, clock).acquire("x", f"n{number}", 60 * SECOND) for number, one in enumerate(databases)]
        got = [lease for lease in await asyncio.gather(*asked) if lease]
        assert [lease.token for lease in got] == [turn + 1]
        assert await Leases(databases[0], clock).release(got[0])
    for one in databases:
        await one.close()


class LeaseMachine(RuleBasedStateMachine):
    """Three owners with clocks of their own ask for one name, renew, release and write, in any order.

    Args:
        runner: where the database's loop is.
        database: shared by all examples; each has a tenant of its own.
    """

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.run = runner.run
        self.database = database
        self.tenant = new_id()
        self.clocks = [ManualClock() for _ in range(3)]
        self.given: list[Lease] = []
        self.released: set[int] = set()
        self.stepped = False

    def of(self, owner: int) -> Leases:
        return Leases(self.database, self.clocks[owner], tenant=self.tenant)

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.advance(seconds)

    @rule(owner=st.integers(0, 2), seconds=st.floats(-7200, 7200))
    def step(self, owner: int, seconds: float) -> None:
        self.clocks[owner].jump(seconds)
        self.stepped = True

    @rule(owner=st.integers(0, 2), ttl=st.integers(1, 20))
    def acquire(self, owner: int, ttl: int) -> None:
        lease = self.run(self.of(owner).acquire("x", f"n{owner}", ttl * SECOND))
        live = [one for one in self.given if one.token not in self.released and self.holder_is_live(one)]
        if lease is None:
            assert self.given
            assert self.given[-1].token not in self.released
            return
        assert lease.token == len(self.given) + 1, "tokens only grow, by one"
        assert self.stepped or not live, "clocks that agree never pass on a live lease"
        self.given.append(lease)

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def renew(self, data: Any) -> None:
        lease = data.draw(st.sampled_from(self.given))
        valid = self.is_valid(lease)
        try:
            longer = self.run(self.of(int(lease.owner[1])).renew(lease))
        except StoreRefused:
            assert not valid
        else:
            assert valid
            self.given[lease.token - 1] = longer

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        lease = data.draw(st.sampled_from(self.given))
        assert self.run(self.of(int(lease.owner[1])).release(lease)) == self.is_valid(lease)
        self.released.add(lease.token)

    @invariant()
    def at_most_one_token_is_valid(self) -> None:
        valid: list[int] = []
        for lease in self.given:
            try:
                self.run(self.of(0).write(lease, lambda connection: None))
            except StoreRefused:
                continue
            valid.append(lease.token)
        assert valid == [lease.token for lease in self.given if self.is_valid(lease)]
        assert len(valid) <= 1

    def is_valid(self, lease: Lease) -> bool:
        return lease.token == len(self.given) and lease.token not in self.released

    def holder_is_live(self, lease: Lease) -> bool:
        return lease.token == len(self.given) and lease.is_live(self.clocks[int(lease.owner[1])])


def test_never_two_valid_tokens(new_store: MakeStore) -> None:
    """Whatever owners and clocks do: at most one token is valid, and tokens only grow."""
    with asyncio.Runner() as runner:
        database = runner.run(Database.open(new_store(), clock=SystemClock()))
        run_state_machine_as_test(
            lambda: LeaseMachine(runner, database),
            settings=settings(
                max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
        runner.run(database.close())


async def test_a_lease_is_taken_inside_a_transaction_of_the_callers_own(database: Database) -> None:
    """It is there if and only if the rest of the transaction is."""
    clock = ManualClock()
    wanted = Lease("", "x", "n1", 0, TTL, clock.now_ns() + TTL)

    def fails(connection: Connection) -> None:
        assert acquire_lease(connection, wanted, clock.now_ns())
        raise RuntimeError("the rest failed")

    with pytest.raises(RuntimeError):
        await database.write(fails)
    taken = await database.write(lambda connection: acquire_lease(connection, wanted, clock.now_ns()))
    assert taken is not None
    assert taken.token == 1
