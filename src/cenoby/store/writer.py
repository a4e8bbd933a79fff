"""The thread that writes: it takes what waits, runs it as one transaction, and reports once per batch.

The loop's thread is usually busy while this one works, and each time SQLite is entered the interpreter's lock changes
hands. So the hot path (a `Sink`) gets all its items of a batch at once and writes them with few, wide statements.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result", covariant=True)

_BATCH_BYTES = 4 * 1024 * 1024
# Pages; at 4 KiB each about 16 MiB, so that one commit in some hundreds pays for a checkpoint.
_CHECKPOINT_PAGES = 4000


class Sink(Protocol[Item, Result]):
    """Takes all of its items that a batch has at once."""

    def apply(self, connection: sqlite3.Connection, items: Sequence[Item]) -> Sequence[Result | Failure]:
        """Write `items` inside the batch's transaction; one result each, in order.

        Raises:
            sqlite3.Error: the whole batch fails.
        """
        ...

    def settle(self, committed: bool) -> None:
        """Called after each batch that had items of this sink: what `apply` did last is on disk, or undone."""
        ...


class Failure(NamedTuple):
    """Why an item was not written: an error of its own, or the one that undid its whole batch."""

    error: BaseException
    of_batch: bool


Job = tuple["Sink[Any, Any] | None", Any, "asyncio.Future[Any]", int]
"""Sink (None: the item is a function of the connection), item, the future that waits, bytes."""


class Writer:
    """The writer thread.

    Args:
        path: the database file; its schema is there.
        finished: called on this thread with each batch and its results, `Failure`s among them.
    """

    def __init__(self, path: Path, finished: Callable[[list[Job], list[Any]], None]) -> None:
        self.queue: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._path = path
        self._finished = finished
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Open the file and start the thread.

        Raises:
            sqlite3.Error: the file cannot be opened for writing.
        """
        self._connection = connect_writer(self._path)
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then end the thread; blocks until it has ended."""
        self.queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch, stopping = self._take()
            if batch:
                self._finished(batch, self._write(batch))
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> tuple[list[Job], bool]:
        queue, batch, size = self.queue, list[Job](), 0
        jobs = queue.get()
        while jobs is not None:
            batch += jobs
            size += sum(job[3] for job in jobs)
            if size > _BATCH_BYTES or queue.empty():
                return batch, False
            jobs = queue.get()
        return batch, True

    def _write(self, batch: list[Job]) -> list[Any]:
        sinks = {job[0] for job in batch if job[0] is not None}
        try:
            connection = self._connection = self._connection or connect_writer(self._path)
            connection.execute("BEGIN IMMEDIATE")
            results = self._apply(connection, batch)
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the callers, and the thread lives on
            self._undo()
            results = [Failure(error, of_batch=True)] * len(batch)
        for sink in sinks:
            sink.settle(not (results and type(results[0]) is Failure and results[0].of_batch))
        return results

    def _apply(self, connection: sqlite3.Connection, batch: list[Job]) -> list[Any]:
        first = batch[0][0]
        if first is not None and all(job[0] is first for job in batch):
            return list(first.apply(connection, [job[1] for job in batch]))
        results: list[Any] = [None] * len(batch)
        places: dict[Sink[Any, Any], list[int]] = {}
        for place, (sink, item, _, _) in enumerate(batch):
            if sink is None:
                results[place] = _run_job(connection, item)
            else:
                places.setdefault(sink, []).append(place)
        for sink, wanted in places.items():
            found = sink.apply(connection, [batch[place][1] for place in wanted])
            for place, result in zip(wanted, found, strict=True):
                results[place] = result
        return results

    def _undo(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._connection = connection
        except sqlite3.Error:
            # A connection that cannot roll back is of no use; closing it does, and the next batch opens another.
            connection.close()


def _run_job(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any]) -> Any:
    connection.execute("SAVEPOINT job")
    try:
        result = work(connection)
    except BaseException as error:
        if not connection.in_transaction:
            # SQLite itself gave up the transaction (disk full, I/O): all of the batch is gone.
            raise
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return Failure(error, of_batch=False)
    connection.execute("RELEASE job")
    return result


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one writing connection: WAL, and a sync of it before every COMMIT returns."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=512)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_size = -16000",
        "temp_store = MEMORY",
        f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection
