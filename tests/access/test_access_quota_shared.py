"""Rates and quotas that several processes share; here each of them is a `SharedLimits` with a connection of its own."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from late_answers import LateAnswers

from cenoby.access.limits import LimitExceeded
from cenoby.access.quota_shared import SharedLimits
from cenoby.access.quota_sql import WHOLE
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings import LimitSettings, NamespaceLimit
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.journal_counts import CallCount
from tests.stores import Postgres

FAST: dict[str, Any] = {"calls_per_second": 1e6, "burst": 1_000_000, "lease_seconds": 300}


class World:
    """One store, one clock, and the processes that share them."""

    def __init__(self, engine: Engine, settings: LimitSettings) -> None:
        self.engine = engine
        self.settings = settings
        self.clock = ManualClock()
        self.live: list[SharedLimits] = []
        self._stack = AsyncExitStack()
        self._names = iter(f"main-{number}" for number in range(1000))

    async def join(self, counts: list[tuple[str, str, int]] | None = None, *, after: float = 1) -> SharedLimits:
        """One more process, as soon as the others have given up its share and so many seconds have passed."""
        database = await Database.open(self.engine, clock=self.clock)
        self._stack.push_async_callback(database.close)
        limits = SharedLimits(self.settings, self.clock, database, next(self._names))
        starting = asyncio.create_task(limits.start([CallCount(*count) for count in counts or []]))
        while not starting.done():
            await self.renew()
            await asyncio.sleep(0.01)
        await starting
        self._stack.push_async_callback(limits.stop)
        self.live.append(limits)
        self.clock.advance(after)
        return limits

    async def renew(self) -> None:
        for limits in self.live:
            await limits.renew()

    async def leave(self, limits: SharedLimits) -> None:
        self.live.remove(limits)
        await limits.stop()

    async def die(self, limits: SharedLimits) -> None:
        """Its process is gone, or hears nothing: it renews no more, and its lease runs out."""
        self.live.remove(limits)
        await self.renew()
        self.clock.advance(self.settings.lease_seconds)
        await self.sql("UPDATE limit_shares SET expires_ns = 0 WHERE node = ?", limits._node)
        await self.renew()

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        database = await Database.open(self.engine, clock=self.clock)
        try:

            def work(connection: Any) -> list[Any]:
                cursor = connection.execute(statement, values)
                return cursor.fetchall() if statement.startswith("SELECT") else []

            return await database.write(work)
        finally:
            await database.close()

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def make_world(postgres: Postgres) -> AsyncIterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(**settings: Any) -> World:
        worlds.append(World(postgres.new(), LimitSettings(**(FAST | settings))))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()


async def taken(limits: SharedLimits, agent: str = "ada", namespace: str = "rogers") -> str:
    """Take one call as the pipeline does; the code of the refusal, or nothing."""
    try:
        while (wait := limits.take(agent, namespace)) is not None:
            await wait
    except LimitExceeded as refused:
        return refused.code
    return ""


async def drain(*all_limits: SharedLimits, agent: str = "ada") -> int:
    """Calls that get through all of them at the same time until each refuses."""

    async def one(limits: SharedLimits) -> int:
        calls = 0
        while (code := await taken(limits, agent)) == "":
            calls += 1
            await asyncio.sleep(0)
        assert code == "quota_exceeded"
        return calls

    return sum(await asyncio.gather(*map(one, all_limits)))


@pytest.mark.parametrize("settings", [{"calls_per_day": 203}, {"namespaces": {"rogers": {"calls_per_day": 203}}}])
async def test_processes_use_up_a_quota_exactly(make_world: Callable[..., World], settings: dict[str, Any]) -> None:
    """Three processes at once admit the quota in sum, and not one call more or less; each agent has its own."""
    world = make_world(**settings)
    everybody = [await world.join() for _ in range(3)]
    assert await drain(*everybody) == 203
    assert [await taken(limits) for limits in everybody] == ["quota_exceeded"] * 3
    assert await drain(everybody[0], agent="bob") == 203


async def test_what_a_process_did_not_use_is_there_for_others_when_it_stops(make_world: Callable[..., World]) -> None:
    """A block that was begun goes back at the stop, so all of the quota is used."""
    world = make_world(calls_per_day=100)
    first, second = await world.join(), await world.join()
    assert await taken(first) == ""
    used = 1 + await drain(second)
    assert used < 100
    await world.leave(first)
    world.clock.advance(1)
    assert used + await drain(second) == 100


async def test_what_lies_idle_goes_back(make_world: Callable[..., World]) -> None:
    """A block that nobody uses for two leases is given back while its process lives on."""
    world = make_world(calls_per_day=100)
    first, second = await world.join(), await world.join()
    assert await taken(first) == ""
    used = 1 + await drain(second)
    for _ in range(9):
        await world.renew()
    world.clock.advance(1)
    used += await drain(second)
    assert used == 100
    assert await taken(first) == "quota_exceeded"


async def test_what_a_dead_process_held_stays_used(make_world: Callable[..., World]) -> None:
    """Nobody knows how much of it was used, so the quota is not exceeded; what is missing is at most two blocks."""
    world = make_world(calls_per_day=100)
    first, second = await world.join(), await world.join()
    for _ in range(5):
        assert await taken(first) == ""
    await world.die(first)
    block = 100 // 16
    assert 100 - 2 * block <= 5 + await drain(second) <= 100


async def test_a_restart_counts_no_call_twice_and_forgets_none(make_world: Callable[..., World]) -> None:
    """The journal counts for what was never given out; where something was, the store knows better."""
    world = make_world(calls_per_day=100, namespaces={"marco": NamespaceLimit(calls_per_day=10)})
    first = await world.join([("ada", "rogers", 20), ("ada", "marco", 10), ("bob", "marco", 1)])
    assert await taken(first, "ada", "marco") == "quota_exceeded"
    assert [await taken(first) for _ in range(30)] == [""] * 30
    await world.leave(first)
    second = await world.join([("ada", "rogers", 50), ("ada", "marco", 11), ("bob", "marco", 1)])
    assert await drain(second) == 100 - 30 - 30
    assert await drain(second, agent="bob") == 99


async def test_a_new_day_brings_a_new_quota(make_world: Callable[..., World]) -> None:
    """Blocks are of one day; the next day's quota is whole, and what is left of yesterday's adds nothing to it."""
    world = make_world(calls_per_day=40)
    first, second = await world.join(), await world.join()
    assert await taken(first) == ""
    assert await drain(second) < 40
    world.clock.advance(86_400)
    await world.renew()
    assert await drain(first, second) == 40
    days = await world.sql("SELECT given_out FROM quotas WHERE agent = 'ada' ORDER BY day")
    assert days[-1] == (40,)


async def test_a_block_is_decided_from_memory_and_the_next_one_is_asked_for_ahead(
    make_world: Callable[..., World],
) -> None:
    """Within a block no call waits, and the next one has come before it is empty; so only the first call waits."""
    world = make_world(calls_per_day=1_000_000)
    limits = await world.join()
    waited = 0
    for _ in range(25_000):
        wait = limits.take("ada", "rogers")
        if wait is not None:
            waited += 1
            await wait
            assert limits.take("ada", "rogers") is None
        if limits._wanted:
            await asyncio.wait([block.coming for block in limits._blocks.values() if block.coming])
    assert waited == 1


async def test_without_the_store_a_block_is_used_up_and_then_calls_are_refused(
    make_world: Callable[..., World],
) -> None:
    """What was given is granted; more is refused with a time at which to try again."""
    world = make_world(calls_per_day=160)
    limits = await world.join()
    assert await taken(limits) == ""
    await limits._database.close()
    calls = Counter([await taken(limits) for _ in range(40)])
    assert calls == {"": 19, "quota_pending": 21}


async def test_an_expired_lease_denies(make_world: Callable[..., World]) -> None:
    """Who has not renewed grants nothing, before the lease ends in the store; after the next renewal all goes on."""
    world = make_world()
    limits = await world.join()
    assert await taken(limits) == ""
    world.clock.advance(0.9 * world.settings.lease_seconds - 2)
    assert await taken(limits) == ""
    world.clock.advance(1)
    assert [await taken(limits) for _ in range(2)] == ["share_expired"] * 2
    await limits.renew()
    assert await taken(limits) == ""


async def test_before_the_start_and_after_the_stop_nothing_is_granted(make_world: Callable[..., World]) -> None:
    """There is no moment without a lease in which calls get through."""
    world = make_world()
    limits = await world.join()
    await world.leave(limits)
    assert await taken(limits) == "share_expired"
    database = await Database.open(world.engine, clock=world.clock)
    assert await taken(SharedLimits(world.settings, world.clock, database, "early")) == "share_expired"
    await database.close()


async def test_a_rate_is_divided_among_those_that_live(make_world: Callable[..., World]) -> None:
    """Each of n has an n-th, an alone one has all again, and nobody who joins finds a burst that others used."""
    world = make_world(calls_per_second=10, burst=10)

    async def burst(limits: SharedLimits) -> int:
        return Counter([await taken(limits) for _ in range(15)])[""]

    first = await world.join()
    assert await burst(first) == 10
    second = await world.join(after=0)
    assert await burst(second) == 0
    world.clock.advance(1)
    assert [await burst(first), await burst(second)] == [5, 5]
    await world.leave(second)
    await world.renew()
    assert await burst(first) == 0
    world.clock.advance(1)
    assert await burst(first) == 10


async def test_who_lost_its_share_while_it_was_away_waits_until_others_give_up_theirs(
    make_world: Callable[..., World],
) -> None:
    """A process that froze beyond its lease comes back to find its part taken, and takes nothing before it has one."""
    world = make_world(calls_per_second=10, burst=10)
    first, second = await world.join(), await world.join()
    await world.die(second)
    assert await taken(second) == "share_expired"
    await second.renew()
    assert await taken(second) == "share_expired"
    await first.renew()
    await second.renew()
    assert await taken(second) == "rate_limited"
    world.clock.advance(1)
    assert await taken(second) == ""
    await world.leave(first)
    await second.stop()


async def test_nobody_gets_a_part_that_its_holder_may_still_use(make_world: Callable[..., World]) -> None:
    """Between the moment when the store learns that a process is to have less and the moment when that process learns
    it, its part is not given away."""
    world = make_world()
    first = await world.join()
    database = await Database.open(world.engine, clock=world.clock)
    second = SharedLimits(world.settings, world.clock, database, "second")
    await second.renew()
    late = first._database = LateAnswers(first._database)  # type: ignore[assignment]
    renewing = asyncio.create_task(first.renew())
    await late.written.wait()
    await second.renew()
    assert await taken(second) == "share_expired"
    late.release.set()
    await renewing
    await second.renew()
    assert first._using == second._using == WHOLE // 2
    await database.close()


@pytest.mark.parametrize("seed", range(4))
async def test_in_no_span_more_gets_through_than_rate_and_burst(make_world: Callable[..., World], seed: int) -> None:
    """Processes join, leave, freeze, die and come back while all are hammered: their sum keeps to the settings."""
    chance, rate, burst = random.Random(seed), 20.0, 9
    world = make_world(calls_per_second=rate, burst=burst)
    frozen: list[SharedLimits] = []
    times: list[int] = []
    await world.join()

    async def hammer() -> None:
        for limits in chance.sample([*world.live, *frozen], k=len(world.live) + len(frozen)):
            for _ in range(chance.randrange(12)):
                if await taken(limits) == "":
                    times.append(world.clock.monotonic_ns())

    async def freeze() -> None:
        frozen.append(chance.choice(world.live))
        await world.die(frozen[-1])

    async def come_back() -> None:
        await frozen[0].renew()
        world.live.append(frozen.pop(0))

    for _ in range(25):
        deeds: list[Callable[[], Coroutine[Any, Any, Any]]] = [world.renew]
        if len(world.live) < 4:
            deeds.append(lambda: world.join(after=0))
        if len(world.live) > 1:
            deeds += [lambda: world.leave(chance.choice(world.live)), freeze]
        if frozen:
            deeds.append(come_back)
        await hammer()
        await chance.choice(deeds)()
        await hammer()
        world.clock.advance(chance.choice([0, 0.01, 0.2, 1]))
    assert len(times) > 30
    for first, start in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= rate * (times[last] - start) / 1e9 + burst + 1e-6
    assert (await world.sql("SELECT CAST(sum(share) AS BIGINT) FROM limit_shares"))[0][0] <= WHOLE
    for limits in frozen:
        await limits.stop()
