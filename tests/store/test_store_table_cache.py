"""Tables in memory: what a read may show, who may write, and what happens when memory and database part."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.kernel.clock import SystemClock
from cenoby.kernel.events import Event
from cenoby.kernel.settings import CacheSettings
from cenoby.store.cached_table import COLD, CachedTable
from cenoby.store.database import Database, StoreRefused, StoreUnavailable
from cenoby.store.engine import Connection, Engine
from cenoby.store.events import CacheDivergence
from cenoby.store.leases import Leases
from cenoby.store.table_cache import Change, TableCache
from tests.stores import MakeStore, Postgres, cache_of

UNCOMMITTED = 10**9


class Shelf:
    """A table `things` of numbers that only grow, kept in memory by one process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.noted: list[Event] = []
        self.changed: list[set[str]] = []
        self.cache = cache_of(database, self.noted.append)
        self.things: CachedTable[str, int] = self.cache.table("things", read_things, self._changed)

    def _changed(self, keys: Collection[str]) -> None:
        self.changed.append(set(keys))

    async def grow(self, key: str) -> int:
        """Make a number one larger; the number."""

        def work(connection: Connection) -> tuple[int, list[Change]]:
            (number,) = connection.execute(_GROW, (key,)).fetchone()
            return number, [(self.things, {key: number})]

        return await self.cache.write(work)

    async def fail(self, key: str) -> None:
        """Write a number, and fail before it is committed."""

        def work(connection: Connection) -> tuple[None, list[Change]]:
            connection.execute(_GROW, (key,)).fetchone()
            connection.execute("UPDATE things SET number = ? WHERE key = ?", (UNCOMMITTED, key))
            raise StoreRefused("store_refused", "on purpose")

        with pytest.raises(StoreRefused):
            await self.cache.write(work)

    async def remove(self, key: str) -> None:
        def work(connection: Connection) -> tuple[None, list[Change]]:
            connection.execute("DELETE FROM things WHERE key = ?", (key,))
            return None, [(self.things, {key: None})]

        await self.cache.write(work)

    async def behind_its_back(self, sql: str) -> None:
        """Change the table by another way than its writer."""
        await self.database.write(lambda connection: connection.execute(sql).rowcount)

    async def truth(self) -> Mapping[str, int]:
        return await self.database.read(read_things)


_GROW = (
    "INSERT INTO things (key, number) VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET number = things.number + 1"
    " RETURNING number"
)


def read_things(connection: Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT key, number FROM things").fetchall())


async def opened(store: Engine, stack: AsyncExitStack) -> Database:
    database = await Database.open(store, clock=SystemClock())
    stack.push_async_callback(database.close)
    table = "CREATE TABLE IF NOT EXISTS things (key TEXT PRIMARY KEY, number BIGINT NOT NULL)"
    await database.write(lambda connection: connection.execute(table).rowcount)
    return database


@pytest.fixture
async def shelf(store: Engine) -> AsyncIterator[Shelf]:
    async with AsyncExitStack() as stack:
        yield Shelf(await opened(store, stack))


@pytest.fixture
async def two(store: Engine) -> AsyncIterator[tuple[Shelf, Shelf]]:
    """Two processes' caches of the same database, each with a connection of its own."""
    async with AsyncExitStack() as stack:
        shelves = Shelf(await opened(store, stack)), Shelf(await opened(store, stack))
        for shelf in shelves:
            await shelf.cache.warm()
        yield shelves


async def test_a_read_before_the_table_was_read_is_cold(shelf: Shelf) -> None:
    """Neither a row nor "none": COLD, until it is warm, also where something was written meanwhile."""
    assert shelf.things.get("a") is COLD
    assert shelf.things.rows is COLD
    with pytest.raises(StoreUnavailable, match="things"):
        shelf.things.all()
    await shelf.grow("a")
    assert shelf.things.get("a") is COLD
    assert shelf.cache.cold == ["things"]
    await shelf.cache.warm()
    assert shelf.cache.cold == []
    assert (shelf.things.get("a"), shelf.things.get("b"), shelf.things.all()) == (1, None, {"a": 1})
    assert shelf.noted == []


async def test_a_table_has_one_writer(shelf: Shelf) -> None:
    """A second one in the process is refused."""
    with pytest.raises(StoreRefused) as refused:
        shelf.cache.table("things", read_things, lambda keys: None)
    assert refused.value.code == "table_taken"


async def test_a_write_is_seen_once_it_is_on_disk(shelf: Shelf) -> None:
    """After `write` the dictionary has it, who watches was told once, and a failed write left no trace."""
    await shelf.cache.warm()
    for number in (1, 2):
        assert await shelf.grow("a") == number
        assert shelf.things.get("a") == number
    await shelf.fail("a")
    assert shelf.things.get("a") == 2
    await shelf.remove("a")
    assert shelf.things.get("a") is None
    assert shelf.changed == [{"a"}] * 3
    await shelf.cache.reconcile()
    assert shelf.noted == []


async def test_whoever_gives_up_does_not_leave_memory_behind(shelf: Shelf) -> None:
    """A cancelled write that reached the disk reaches the dictionary, too."""
    await shelf.cache.warm()
    writing = asyncio.ensure_future(shelf.grow("a"))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await shelf.grow("b")
    assert shelf.things.all() == await shelf.truth() == {"a": 1, "b": 1}


async def test_a_table_that_is_leased_to_another_process_is_not_written(shelf: Shelf) -> None:
    """Its lease in other hands, a change is refused and leaves nothing; given back, it goes through."""
    await shelf.cache.warm()
    leases = Leases(shelf.database, SystemClock())
    lease = await leases.acquire("table:things", "somebody else", 60 * 10**9)
    assert lease is not None
    with pytest.raises(StoreUnavailable) as refused:
        await shelf.grow("a")
    assert refused.value.code == "store_lease_held"
    assert await shelf.truth() == {}
    await leases.release(lease)
    assert await shelf.grow("a") == 1
    await shelf.cache.reconcile()
    assert shelf.things.all() == {"a": 1}
    assert shelf.noted == []


async def test_what_another_process_changed_is_seen(two: tuple[Shelf, Shelf]) -> None:
    """A look takes over what came, went and changed there; own changes in between stay; it is no divergence."""
    one, other = two
    for key in ("a", "b", "c"):
        await one.grow(key)
    assert other.things.all() == {}
    await other.cache.refresh()
    assert other.things.all() == {"a": 1, "b": 1, "c": 1}
    await one.grow("a")
    await one.remove("b")
    await other.grow("c")
    await other.grow("d")
    assert other.things.get("d") == 1
    await other.cache.refresh()
    await one.cache.refresh()
    assert one.things.all() == other.things.all() == await one.truth() == {"a": 2, "c": 2, "d": 1}
    assert other.changed[-1] == {"a", "b"}
    assert one.noted == other.noted == []


async def test_a_change_that_comes_while_rows_are_read_stays(shelf: Shelf) -> None:
    """What was read before it does not undo it in memory."""
    reads, hold, goes_on = itertools.count(), threading.Event(), threading.Event()

    def read_slowly(connection: Connection) -> Mapping[str, int]:
        rows = read_things(connection)
        if next(reads) == 1:
            hold.set()
            assert goes_on.wait(30)
        return rows

    table = shelf.cache.table("slow", read_slowly, lambda keys: None)
    await shelf.cache.warm()
    reconciling = asyncio.ensure_future(shelf.cache.reconcile())
    await asyncio.to_thread(hold.wait, 30)

    def work(connection: Connection) -> tuple[None, list[Change]]:
        connection.execute(_GROW, ("a",)).fetchone()
        return None, [(table, {"a": 1}), (shelf.things, {"a": 1})]

    await shelf.cache.write(work)
    goes_on.set()
    await reconciling
    assert table.get("a") == shelf.things.get("a") == 1
    assert shelf.noted == []
    assert next(reads) == 3


async def test_a_divergence_is_noted_and_the_database_wins(shelf: Shelf) -> None:
    """Rows that changed by another way than the writer are named, and memory is put right."""
    await shelf.cache.warm()
    for key in ("a", "b", "c"):
        await shelf.grow(key)
    await shelf.behind_its_back("UPDATE things SET number = 7 WHERE key = 'a'")
    await shelf.behind_its_back("DELETE FROM things WHERE key = 'b'")
    await shelf.behind_its_back("INSERT INTO things (key, number) VALUES ('d', 9)")
    await shelf.cache.refresh()
    assert shelf.things.all() == {"a": 1, "b": 1, "c": 1}
    await shelf.cache.reconcile()
    assert shelf.things.all() == {"a": 7, "c": 1, "d": 9}
    assert shelf.noted == [CacheDivergence(table="things", rows=3, keys=("a", "b", "d"))]
    assert shelf.changed[-1] == {"a", "b", "d"}
    await shelf.cache.reconcile()
    assert len(shelf.noted) == 1
    await shelf.behind_its_back("DELETE FROM leases")
    await shelf.behind_its_back("DELETE FROM things")
    await shelf.cache.refresh()
    assert shelf.things.all() == {}
    assert len(shelf.noted) == 2
    assert await shelf.grow("a") == 1
    assert shelf.things.get("a") == 1


async def test_a_kept_cache_follows_and_reconciles_by_itself(postgres: Postgres) -> None:
    """Within its block it warms, sees another process's change, mends a divergence, and gets over an error."""
    store = postgres.new()
    async with AsyncExitStack() as stack:
        one = Shelf(await opened(store, stack))
        database, noted = await opened(store, stack), asyncio.Event()
        cache = TableCache(
            database, SystemClock(), CacheSettings(follow=0.02, reconcile=0.05), lambda event: noted.set()
        )
        reads = itertools.count()

        def read(connection: Connection) -> Mapping[str, int]:
            if next(reads) == 1:
                raise StoreRefused("store_refused", "on purpose")
            return read_things(connection)

        things = cache.table("things", read, lambda keys: None)
        async with cache.kept():
            assert things.all() == {}
            await one.grow("a")
            await until(lambda: things.get("a") == 1)
            await one.behind_its_back("UPDATE things SET number = 5")
            await asyncio.wait_for(noted.wait(), 30)
            await until(lambda: things.get("a") == 5)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


KEYS = st.sampled_from("ab")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["grow", "fail", "foreign", "cancel", "remove"]), KEYS),
        st.tuples(st.sampled_from(["refresh", "reconcile", "wait"]), st.none()),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_reads_are_neither_uncommitted_nor_stale(sqlite_stores: MakeStore, steps: list[tuple[str, str | None]]) -> None:
    """All at once, over two processes: no read ever shows what was not committed; a number that a process wrote never
    falls behind there once its write returned; nothing diverges; after a look memory is the database."""

    async def play() -> None:
        async with AsyncExitStack() as stack:
            store = sqlite_stores()
            own, foreign = Shelf(await opened(store, stack)), Shelf(await opened(store, stack))
            await own.cache.warm()
            await foreign.cache.warm()
            removed = any(step == "remove" for step, _ in steps)
            floor: dict[str, int] = {}

            def look() -> None:
                for key in "ab":
                    number = own.things.get(key)
                    assert number is not COLD
                    assert (number or 0) <= len(steps)
                    assert removed or (number or 0) >= floor.get(key, 0)

            async def grow(key: str) -> None:
                number = await own.grow(key)
                floor[key] = max(floor.get(key, 0), number)
                look()

            tasks: list[asyncio.Future[Any]] = []
            for step, key in steps:
                if step == "wait":
                    await asyncio.gather(*tasks)
                elif step == "cancel":
                    doomed = asyncio.ensure_future(own.grow(key or ""))
                    await asyncio.sleep(0)
                    doomed.cancel()
                else:
                    doing: Mapping[str, Callable[..., Any]] = {
                        "grow": grow,
                        "fail": own.fail,
                        "foreign": foreign.grow,
                        "remove": own.remove,
                        "refresh": own.cache.refresh,
                        "reconcile": own.cache.reconcile,
                    }
                    tasks.append(asyncio.ensure_future(doing[step](*([key] if key else []))))
                await asyncio.sleep(0)
                look()
            await asyncio.gather(*tasks)
            look()
            # Behind all those that nobody waits for any more.
            await own.grow("end")
            await own.cache.refresh()
            await foreign.cache.refresh()
            assert own.things.all() == foreign.things.all() == await own.truth()
            assert own.noted == foreign.noted == []

    asyncio.run(play())


def test_sqlite_has_one_process_and_does_not_follow(tmp_path: Path) -> None:
    """No looks for other processes where there can be none."""

    async def play() -> None:
        async with AsyncExitStack() as stack:
            database = await Database.open(tmp_path / "a.db", clock=SystemClock())
            stack.push_async_callback(database.close)
            async with cache_of(database).kept():
                looks = [task for task in asyncio.all_tasks() if "_often" in repr(task.get_coro())]
                assert len(looks) == 1

    asyncio.run(play())
