"""The tables that a process keeps in memory: one writer, which commits first and changes its dictionary after.

In a process nobody but the cache writes these tables. Between processes the writer of a table is whoever has its lease
(`leases.py`): a change takes it and gives it back within its own transaction, so there is one writer at any moment, and
no process has to wait for another to let go. The lease's fencing token, which grows by one with every change, numbers
the states of the table. Memory is put right by these numbers alone: a process whose number is the database's has all
there is.

What another process changed is seen by asking for the numbers every `follow` seconds, where several processes can share
the database at all, and reading the tables that moved on, all in one snapshot. That needs no bus, loses no notice when
a connection breaks, and costs one small query. `reconcile` compares the rows themselves, for changes that came by
another way than this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from cenoby.kernel.clock import Clock
from cenoby.kernel.events import Event
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import CacheSettings
from cenoby.store.cached_table import CachedTable, K, V
from cenoby.store.database import Database, StoreRefused, StoreUnavailable
from cenoby.store.engine import Connection
from cenoby.store.events import CacheDivergence
from cenoby.store.leases import Lease, acquire_lease, release_lease
from cenoby.telemetry.logs import get_logger

T = TypeVar("T")
Change = tuple[CachedTable[Any, Any], Mapping[Any, Any]]
"""Rows of a table as they are after a change, by their keys; None where there is none any more."""

_LEASE = "table:"
_LEASE_NS = 60 * 1_000_000_000
_SHOWN = 20
"""Keys that a divergence names."""
_log = get_logger("store")


class _State(NamedTuple):
    """The number of a table's state, and the rows by which it differs from what was held (None: there is none)."""

    version: int
    differ: Mapping[Any, Any]


class TableCache:
    """All tables that this process keeps in memory; one cache for each database that a process opens.

    Args:
        database: where they last.
        clock: the time.
        settings: how often it looks.
        note: journals an event.
    """

    def __init__(
        self, database: Database, clock: Clock, settings: CacheSettings, note: Callable[[Event], object]
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._note = note
        self._owner = new_id()
        self._tables: dict[str, CachedTable[Any, Any]] = {}

    def table(
        self, name: str, read: Callable[[Connection], Mapping[K, V]], changed: Callable[[Collection[K]], object]
    ) -> CachedTable[K, V]:
        """Keep a table, cold until `warm`; whoever calls this is its writer.

        Args:
            name, read, changed: as for `CachedTable`.

        Raises:
            StoreRefused: table_taken: it has a writer in this process.
        """
        if name in self._tables:
            raise StoreRefused("table_taken", f"The table {name} has a writer in this process; there is one for each.")
        self._tables[name] = table = CachedTable(name, read, changed)
        return table

    @property
    def cold(self) -> list[str]:
        """The tables that were not read yet."""
        return [table.name for table in self._tables.values() if table.version < 0]

    async def warm(self) -> None:
        """Read all tables that are cold.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        await self._take(self.cold)

    async def write(self, work: Callable[[Connection], tuple[T, Sequence[Change]]], *, size: int = 512) -> T:
        """Change tables in one transaction; the dictionaries have it once it is on disk, and before this returns.

        Whoever gives up waiting does not stop the change.

        Args:
            work: as for `Database.write`; returns a result, and all rows that it changed.
            size: as for `Database.write`.

        Raises:
            StoreUnavailable: nothing was changed; store_lease_held: another process has the lease of a table.
            StoreRefused: the database refused one of its statements.
        """
        return await asyncio.shield(asyncio.ensure_future(self._write(work, size)))

    async def _write(self, work: Callable[[Connection], tuple[T, Sequence[Change]]], size: int) -> T:
        now_ns = self._clock.now_ns()

        def leased(connection: Connection) -> tuple[T, list[tuple[Change, int]]]:
            result, changes = work(connection)
            return result, [(change, self._next(connection, change[0].name, now_ns)) for change in changes]

        result, made = await self._database.write(leased, size=size)
        for (table, rows), version in made:
            table.add(rows, version)
        for (table, rows), _ in made:
            table.changed(rows.keys())
        return result

    def _next(self, connection: Connection, name: str, now_ns: int) -> int:
        wanted = Lease("", _LEASE + name, self._owner, 0, _LEASE_NS, now_ns + _LEASE_NS)
        lease = acquire_lease(connection, wanted, now_ns)
        if lease is None:
            raise StoreUnavailable("store_lease_held", f"Another process writes {name}; try again.", retry_after=1)
        release_lease(connection, lease)
        return lease.token

    async def refresh(self) -> None:
        """Read the tables that another process changed.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        versions = await self._database.read(_versions)
        await self._take([name for name, table in self._tables.items() if versions.get(name, 0) != table.version])

    async def reconcile(self) -> None:
        """Compare all rows with the database's. Where they differ, note `cache_divergence`, and take the database's.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        await self._take(list(self._tables))

    async def _take(self, names: Collection[str]) -> None:
        tables = [self._tables[name] for name in names]
        while tables:
            # Compared on the thread that reads, with copies: there may be many rows.
            held = [(table, table.changes, table.kept()) for table in tables]
            found = await self._database.read(lambda connection, held=held: _compare(connection, held))
            # A change that came meanwhile may be later than what was read.
            if all(table.changes == changes for table, changes, _ in held):
                self._hold(tables, found)
                return

    def _hold(self, tables: Iterable[CachedTable[Any, Any]], found: Mapping[str, _State]) -> None:
        for table in tables:
            version, differ = found[table.name]
            # Nobody changed the table by way of its writers, and yet it is another one.
            if differ and version <= table.version:
                keys = tuple(sorted(map(str, differ))[:_SHOWN])
                self._note(CacheDivergence(table=table.name, rows=len(differ), keys=keys))
            table.take(differ, version)
        for table in tables:
            if differ := found[table.name].differ:
                table.changed(differ.keys())

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Warm all tables, and keep them what the database has for as long as the block runs.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        await self.warm()
        looks = [(self.reconcile, self._settings.reconcile)]
        if self._database.engine.dialect == "postgresql":
            looks.append((self.refresh, self._settings.follow))
        tasks = [asyncio.ensure_future(_often(look, seconds)) for look, seconds in looks]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _often(look: Callable[[], Awaitable[None]], seconds: float) -> None:
    failing = False
    while True:
        await asyncio.sleep(seconds)
        try:
            await look()
        except (StoreUnavailable, StoreRefused) as error:
            # Said once; calls are refused meanwhile, because they cannot be recorded either.
            if not failing:
                _log.warning("cache_not_followed", reason=str(error))
            failing = True
        else:
            failing = False


def _compare(
    connection: Connection, held: Iterable[tuple[CachedTable[Any, Any], int, Mapping[Any, Any]]]
) -> dict[str, _State]:
    versions = _versions(connection)
    states: dict[str, _State] = {}
    for table, _, before in held:
        rows = table.read(connection)
        differ = {key: rows.get(key) for key in before.keys() | rows.keys() if before.get(key) != rows.get(key)}
        states[table.name] = _State(versions.get(table.name, 0), differ)
    return states


def _versions(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT name, token FROM leases WHERE tenant = '' AND name LIKE ?", (f"{_LEASE}%",))
    return {name.removeprefix(_LEASE): token for name, token in rows}
