"""The database of a colony: a writer thread with group commit, and readers that never block it.

Everything waiting when the writer is free becomes one transaction, so the fsync forms the batch and nobody waits for
a timer. A caller hears back after the COMMIT was synced to disk, or gets the error that its whole batch got.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError, Fault, Unavailable
from cenoby.store.engine import Connection, Engine, Failure, Session
from cenoby.store.sqlite_engine import SqliteEngine
from cenoby.store.writer import Job, Sink, Writer

T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")

QUEUE_BYTES = 64 * 1024 * 1024
"""Bytes that may wait for the writer; more are refused at once."""


class StoreUnavailable(Unavailable):
    """The store cannot take or give this now; nothing of the refused write is there."""

    codes = {
        "store_full": "Too many bytes wait to be written; try again after `retry_after` seconds.",
        "store_failed": "The database fails or is away; the message says why. Nothing of this write was kept.",
        "store_unknown": "The database went away during a commit and stays away: look whether the write is there.",
        "store_cold": "A table that is kept in memory was not read yet; try again in a moment.",
        "store_lease_held": "Another process has the lease of what was to be changed; try again in a moment.",
        "store_closed": "The store is closed; the colony is stopping.",
    }


class StoreRefused(Fault):
    """A write may not be, and trying it again does not help; nothing of it is there."""

    codes = {
        "store_refused": "A rule of the database forbids what was to be written, or a statement is malformed.",
        "table_taken": "Another part of this process writes that table already; there is one writer for each.",
        "lease_lost": "Somebody else holds the lease by now, or it was released; acquire it anew.",
        "workflow_signalled": "A workflow was about to go on without a signal that is there; its step is made again.",
    }


class Database:
    """The database of a colony; `open` makes one.

    All methods belong to the event loop that opened it; the functions given to `write` and `read` run on threads.
    """

    def __init__(self, engine: Engine, *, clock: Clock, queue_bytes: int = QUEUE_BYTES) -> None:
        self.engine = engine
        self._clock = clock
        self._queue_bytes = queue_bytes
        self._waiting = 0
        self._closed = False
        self._gathered: list[Job] = []
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(engine, self._finished)
        self._readers = ThreadPoolExecutor(engine.readers, "store-reader")
        self._local = threading.local()
        self._sessions: list[Session] = []

    @classmethod
    async def open(cls, store: Engine | Path, *, clock: Clock, queue_bytes: int = QUEUE_BYTES) -> Database:
        """Open a database, making it or bringing its schema up first.

        Args:
            store: the engine, or the path of a SQLite file.
            clock: the colony's clock.
            queue_bytes: bytes that may wait for the writer.

        Raises:
            MigrationFailed: it is no database of ours, or of a newer Cenoby.
            StoreUnavailable: it cannot be opened.
        """
        engine = SqliteEngine(store) if isinstance(store, Path) else store
        try:
            await asyncio.to_thread(engine.prepare)
            database = cls(engine, clock=clock, queue_bytes=queue_bytes)
            await asyncio.to_thread(database._writer.start)
        except (OSError, *engine.failures) as error:
            raise StoreUnavailable("store_failed", f"{engine.place} cannot be opened: {error}.") from error
        return database

    async def write(self, work: Callable[[Connection], T], *, size: int = 512) -> T:
        """Run `work` on the writer thread inside the batch's transaction; returns after its commit is on disk.

        An exception of `work` undoes only what `work` did and is raised here.

        Args:
            work: reads and writes through the connection; must not commit, and must be quick: all writers wait for it.
                It may return a `Together`; then its result is that one's.
            size: about how many bytes it holds until it has run.

        Raises:
            StoreUnavailable: too much is waiting, or the commit failed; then nothing of it is there.
            StoreRefused: the database refused one of its statements.
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

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a reader thread with a read-only connection, on one snapshot of what is committed.

        Raises:
            StoreUnavailable: the store is closed, or cannot be read.
            StoreRefused: the database refused one of its statements.
        """
        if self._closed:
            raise StoreUnavailable("store_closed", "The store is closed; the colony is stopping.")
        try:
            return await self._loop.run_in_executor(self._readers, self._snapshot, work)
        except self.engine.failures as error:
            raise self._told(error, "read") from error

    async def close(self) -> None:
        """Write what waits, then let the database go. Doing it twice is fine."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._readers.shutdown)
        await asyncio.to_thread(self._close_readers)

    def _close_readers(self) -> None:
        for session in self._sessions:
            session.close()

    def _snapshot(self, work: Callable[[Connection], T]) -> T:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self.engine.open_reader()
            self._sessions.append(session)
        session.begin()
        try:
            return work(session.connection)
        finally:
            session.rollback()

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
                future.set_exception(self._error(result))

    def _error(self, failure: Failure) -> BaseException:
        if not failure.of_batch and not isinstance(failure.error, self.engine.failures):
            return failure.error
        error = self._told(failure.error, "written", of_batch=failure.of_batch)
        error.__cause__ = failure.error
        return error

    def _told(self, error: BaseException, done: str, *, of_batch: bool = False) -> CenobyError:
        meaning, place = self.engine.meaning(error), self.engine.place
        if meaning == "doubtful":
            return StoreUnavailable("store_unknown", f"{place} went away during a commit: {error}.")
        if meaning == "refused" and not of_batch:
            return StoreRefused("store_refused", f"The database refused a statement: {error}.")
        return StoreUnavailable("store_failed", f"{place} could not be {done}: {error}.", retry_after=1)
