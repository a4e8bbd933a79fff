"""One SQLite file: a writer thread with group commit, and readers that never block it.

Everything waiting when the writer is free becomes one transaction, so the fsync forms the batch and nobody waits for
a timer. A caller hears back after the COMMIT was synced to disk, or gets the error that its whole batch got.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import Unavailable
from cenoby.store.migrate import bring_up
from cenoby.store.writer import Failure, Job, Sink, Writer

T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")

QUEUE_BYTES = 64 * 1024 * 1024
"""Bytes that may wait for the writer; more are refused at once."""
_READERS = 2


class StoreUnavailable(Unavailable):
    """The store cannot take or give this now; nothing of the refused write is there."""

    codes = {
        "store_full": "Too many bytes wait to be written; try again after `retry_after` seconds.",
        "store_failed": "The disk is full or fails; the message says which. Nothing of this write was kept.",
        "store_closed": "The store is closed; the colony is stopping.",
    }


class Database:
    """The database of a colony; `open` makes one.

    All methods belong to the event loop that opened it; the functions given to `write` and `read` run on threads.
    """

    def __init__(self, path: Path, *, clock: Clock, queue_bytes: int = QUEUE_BYTES) -> None:
        self.path = path
        self._clock = clock
        self._queue_bytes = queue_bytes
        self._waiting = 0
        self._closed = False
        self._gathered: list[Job] = []
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(path, self._finished)
        self._readers = ThreadPoolExecutor(_READERS, "store-reader")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    @classmethod
    async def open(cls, path: Path, *, clock: Clock, queue_bytes: int = QUEUE_BYTES) -> Database:
        """Open the database at `path`, making it or bringing its schema up first.

        Args:
            path: the file; its directory exists. It is made for its owner only (mode 0600).
            clock: the colony's clock.
            queue_bytes: bytes that may wait for the writer.

        Raises:
            MigrationFailed: the file is no database of ours, or of a newer Cenoby.
            StoreUnavailable: the file cannot be opened.
        """
        try:
            await asyncio.to_thread(_prepare, path)
            database = cls(path, clock=clock, queue_bytes=queue_bytes)
            await asyncio.to_thread(database._writer.start)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable("store_failed", f"{path} cannot be opened: {error}.") from error
        return database

    async def write(self, work: Callable[[sqlite3.Connection], T], *, size: int = 512) -> T:
        """Run `work` on the writer thread inside the batch's transaction; returns after its commit is on disk.

        An exception of `work` undoes only what `work` did and is raised here.

        Args:
            work: reads and writes through the connection; must not commit, and must be quick: all writers wait for it.
            size: about how many bytes it holds until it has run.

        Raises:
            StoreUnavailable: too much is waiting, or the commit failed; then nothing of it is there.
        """
        return await self.submit(None, work, size)

    def submit(self, sink: Sink[Item, Result] | None, item: Any, size: int) -> Awaitable[Any]:
        """Queue `item` for `sink`, or as a job of its own where that is None; the awaitable is done after the commit.

        Raises:
            StoreUnavailable: as for `write`; a refusal for want of room is raised at once.
        """
        if self._closed:
            raise StoreUnavailable("store_closed", "The store is closed; the colony is stopping.")
        if self._waiting + size > self._queue_bytes and self._waiting:
            raise StoreUnavailable("store_full", "Too much waits for the disk; try again shortly.", retry_after=1)
        self._waiting += size
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._gathered:
            # What this turn of the loop still brings goes along: the writer would else wake for the first job alone.
            self._loop.call_soon(self._hand_over)
        self._gathered.append((sink, item, future, size))
        return future

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a reader thread with a read-only connection, on one snapshot of what is committed.

        Raises:
            StoreUnavailable: the store is closed, or the file cannot be read.
        """
        if self._closed:
            raise StoreUnavailable("store_closed", "The store is closed; the colony is stopping.")
        try:
            return await self._loop.run_in_executor(self._readers, self._snapshot, work)
        except sqlite3.OperationalError as error:
            raise StoreUnavailable("store_failed", f"{self.path} cannot be read: {error}.", retry_after=1) from error

    async def close(self) -> None:
        """Write what waits, then let the file go. Doing it twice is fine."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._connections:
            connection.close()

    def _snapshot(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _connect_reader(self.path)
            self._connections.append(connection)
        connection.execute("BEGIN")
        try:
            return work(connection)
        finally:
            connection.execute("ROLLBACK")

    def _hand_over(self) -> None:
        if self._gathered:
            self._writer.queue.put(self._gathered)
            self._gathered = []

    def _finished(self, batch: list[Job], results: list[Any]) -> None:
        """Called on the writer thread: hand all answers of a batch to the loop at once."""
        try:
            self._loop.call_soon_threadsafe(self._answer, batch, results)
        except RuntimeError:
            # The loop is closed, so nobody waits any more; what was committed stays committed.
            self._closed = True

    def _answer(self, batch: list[Job], results: list[Any]) -> None:
        for (_, _, future, size), result in zip(batch, results, strict=True):
            self._waiting -= size
            if future.done():
                continue
            if type(result) is not Failure:
                future.set_result(result)
            else:
                future.set_exception(_unavailable(self.path, result))


def _unavailable(path: Path, failure: Failure) -> BaseException:
    if not failure.of_batch:
        return failure.error
    error = StoreUnavailable("store_failed", f"{path} could not be written: {failure.error}.", retry_after=1)
    error.__cause__ = failure.error
    return error


def _prepare(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    bring_up(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _connect_reader(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -8000")
    return connection
