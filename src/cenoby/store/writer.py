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
from typing import Any, NamedTuple, Protocol, TypeVar

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


class Together(NamedTuple):
    """What a function may return instead of its result: the item goes to the sink in the same transaction."""

    result: Any
    sink: Sink[Any, Any]
    item: Any


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
            if queue.empty():
                return batch, False
            size += sum(job[3] for job in jobs)
            if size > _BATCH_BYTES:
                return batch, False
            jobs = queue.get()
        return batch, True

    def _write(self, batch: list[Job]) -> list[Any]:
        sinks: set[Sink[Any, Any]] = set()
        owners, items, _, _ = zip(*batch, strict=True)
        try:
            session = self._session = self._session or self._engine.open_writer()
            # A sink brings rows of its own; a function may write what follows from what it read.
            session.begin(alone=None in owners)
            results = self._apply(session, owners, items, sinks)
            session.commit()
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the callers, and the thread lives on
            self._undo()
            results = [Failure(error, of_batch=True)] * len(batch)
        for sink in sinks:
            sink.settle(not (results and type(results[0]) is Failure and results[0].of_batch))
        return results

    def _apply(
        self,
        session: Session,
        owners: Sequence[Sink[Any, Any] | None],
        items: Sequence[Any],
        sinks: set[Sink[Any, Any]],
    ) -> list[Any]:
        connection, first = session.connection, owners[0]
        if first is not None and owners.count(first) == len(owners):
            sinks.add(first)
            return list(first.apply(connection, items))
        results: list[Any] = [None] * len(items)
        wanted: dict[Sink[Any, Any], list[tuple[int | None, Any]]] = {}
        for place, (sink, item) in enumerate(zip(owners, items, strict=True)):
            if sink is not None:
                wanted.setdefault(sink, []).append((place, item))
                continue
            result = results[place] = session.attempt(item)
            if type(result) is Together:
                results[place] = result.result
                wanted.setdefault(result.sink, []).append((None, result.item))
        for sink, asked in wanted.items():
            sinks.add(sink)
            found = sink.apply(connection, [item for _, item in asked])
            for (place, _), result in zip(asked, found, strict=True):
                if place is not None:
                    results[place] = result
                elif type(result) is Failure:
                    raise result.error  # what its function wrote may not stay without it
        return results

    def _undo(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if session.rollback():
            self._session = session
        else:
            session.close()  # the next batch opens another
