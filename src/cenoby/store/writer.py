"""The thread that writes: it takes what waits, runs it as one transaction, and reports once per batch.

The loop's thread is usually busy while this one works, and each time the engine is entered the interpreter's lock
changes hands. So the hot path (a `Sink`) gets all its items of a batch at once and writes them with few, wide
statements.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from cenoby.store.engine import Connection, Engine, Failure, Session

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result", covariant=True)

_BATCH_BYTES = 4 * 1024 * 1024


class Sink(Protocol[Item, Result]):
    """Takes all of its items that a batch has at once."""

    def apply(self, connection: Connection, items: Sequence[Item]) -> Sequence[Result | Failure]:
        """Write `items` inside the batch's transaction; one result each, in order.

        Raises:
            Exception: the whole batch fails.
        """
        ...

    def settle(self, committed: bool) -> None:
        """Called after each batch that had items of this sink: what `apply` did last is on disk, or undone."""
        ...


Job = tuple["Sink[Any, Any] | None", Any, "asyncio.Future[Any]", int]
"""Sink (None: the item is a function of the connection), item, the future that waits, bytes."""


class Writer:
    """The writer thread.

    Args:
        engine: the database; its schema is there.
        finished: called on this thread with each batch and its results, `Failure`s among them.
    """

    def __init__(self, engine: Engine, finished: Callable[[list[Job], list[Any]], None]) -> None:
        self.queue: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._engine = engine
        self._finished = finished
        self._session: Session | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Open the database and start the thread.

        Raises:
            Exception: one of the engine's failures: it cannot be opened for writing.
        """
        self._session = self._engine.open_writer()
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
        if self._session is not None:
            self._session.close()

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
            session = self._session = self._session or self._engine.open_writer()
            # A sink brings rows of its own; a function may write what follows from what it read.
            session.begin(alone=any(job[0] is None for job in batch))
            results = self._apply(session, batch)
            session.commit()
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the callers, and the thread lives on
            self._undo()
            results = [Failure(error, of_batch=True)] * len(batch)
        for sink in sinks:
            sink.settle(not (results and type(results[0]) is Failure and results[0].of_batch))
        return results

    def _apply(self, session: Session, batch: list[Job]) -> list[Any]:
        connection, first = session.connection, batch[0][0]
        if first is not None and all(job[0] is first for job in batch):
            return list(first.apply(connection, [job[1] for job in batch]))
        results: list[Any] = [None] * len(batch)
        places: dict[Sink[Any, Any], list[int]] = {}
        for place, (sink, item, _, _) in enumerate(batch):
            if sink is None:
                results[place] = session.attempt(item)
            else:
                places.setdefault(sink, []).append(place)
        for sink, wanted in places.items():
            found = sink.apply(connection, [batch[place][1] for place in wanted])
            for place, result in zip(wanted, found, strict=True):
                results[place] = result
        return results

    def _undo(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if session.rollback():
            self._session = session
        else:
            session.close()  # the next batch opens another
