"""Durable work kept in the store's outbox: the work queue of a colony whose bus keeps nothing, or not safely."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress

from cenoby.bus.contract import BusUnavailable, check_subject
from cenoby.bus.wire import decode_envelope, encode_envelope
from cenoby.bus.work import ACK_WAIT_SECONDS, MAX_DELIVERIES, DeadLetter, Durability, WorkHandler
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import Envelope
from cenoby.store.database import StoreUnavailable
from cenoby.store.outbox import Item, Outbox, Taken

_CLOSE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
"""How often a worker looks for what another process put, or what is due again."""
_LATER_NS = 100_000_000
_LATEST_NS = 30_000_000_000
_PAGE = 200
_LONGEST_ERROR = 16 * 1024
_log = logging.getLogger(__name__)


class OutboxWorker:
    """One handler on one queue: takes what it has room for, and holds it while the handler runs."""

    def __init__(
        self,
        outbox: Outbox,
        queue: str,
        handler: WorkHandler,
        *,
        concurrency: int,
        ack_wait: float,
        max_deliveries: int,
    ) -> None:
        self.queue = queue
        self.wake = asyncio.Event()
        self._outbox = outbox
        self._handler = handler
        self._room = concurrency
        self._lease_ns = round(ack_wait * 1e9)
        self._max_deliveries = max_deliveries
        self._held: dict[asyncio.Task[None], Taken] = {}
        self._closing = False
        self._taker = asyncio.create_task(self._take(), name=f"outbox:{queue}")
        self._keeper = asyncio.create_task(self._keep(ack_wait / 3), name=f"outbox-leases:{queue}")

    @property
    def running(self) -> int:
        return len(self._held)

    async def close(self) -> None:
        self._closing = True
        self.wake.set()
        self._taker.cancel()
        if self._held:
            await asyncio.wait(self._held, timeout=_CLOSE_SECONDS)
        for task in tuple(self._held):
            task.cancel()
        await asyncio.gather(*self._held, self._taker, return_exceptions=True)
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    async def _take(self) -> None:
        while not self._closing:
            self.wake.clear()
            room = self._room - len(self._held)
            taken: list[Taken] = []
            if room:
                try:
                    taken = await self._outbox.take(
                        self.queue, room, lease_ns=self._lease_ns, max_deliveries=self._max_deliveries
                    )
                except StoreUnavailable as error:
                    _log.warning("outbox cannot be read", extra={"queue": self.queue, "reason": error.message})
            for one in taken:
                task = asyncio.create_task(self._do(one), name=f"work:{self.queue}")
                self._held[task] = one
                task.add_done_callback(self._let_go)
            if len(taken) < room or not room:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), _LOOK_SECONDS)

    async def _do(self, taken: Taken) -> None:
        try:
            await self._handler(decode_envelope(taken.body))
        except asyncio.CancelledError:
            # We are stopping: it is due at once, for whoever else there is.
            await self._end(taken, "the worker was stopped", again_ns=0)
            raise
        except Exception:  # noqa: BLE001 - whatever work does to its handler, it is tried again or given up on the record
            again_ns = min(_LATER_NS << (taken.deliveries - 1), _LATEST_NS)
            error = traceback.format_exc()[-_LONGEST_ERROR:]
            await self._end(taken, error, again_ns=again_ns if taken.deliveries < self._max_deliveries else None)
        else:
            await self._acknowledge(taken)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        del self._held[task]
        self.wake.set()

    async def _acknowledge(self, taken: Taken) -> None:
        try:
            await self._outbox.done(taken)
        except StoreUnavailable as error:
            _log.warning("work is done and will be done again", extra={"queue": self.queue, "reason": error.message})

    async def _end(self, taken: Taken, error: str, *, again_ns: int | None) -> None:
        try:
            await asyncio.shield(self._outbox.failed(taken, error, again_ns=again_ns))
        except StoreUnavailable as failure:
            # Its lease runs out, so it is due again all the same.
            _log.warning("work could not be given back", extra={"queue": self.queue, "reason": failure.message})

    async def _keep(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self._held:
                try:
                    await self._outbox.extend(tuple(self._held.values()), self._lease_ns)
                except StoreUnavailable as error:
                    _log.warning("leases not extended", extra={"queue": self.queue, "reason": error.message})


class OutboxQueue:
    """A `WorkQueue` over the store's outbox; replay reaches back 24 hours.

    Args:
        outbox: the rows.
        clock: the colony's.
    """

    durability = Durability.FSYNCED

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._workers: defaultdict[str, list[OutboxWorker]] = defaultdict(list)
        self._closed = False

    async def put(self, envelope: Envelope) -> bool:
        self._check_open()
        check_subject(envelope.recipient, pattern=False)
        item = Item(envelope.id, envelope.tenant, envelope.recipient, encode_envelope(envelope))
        try:
            added = await self._outbox.put(item)
        except StoreUnavailable as error:
            raise BusUnavailable(
                "bus_disconnected", f"The outbox takes nothing: {error.message}", retry_after=1
            ) from error
        self._nudge(envelope.recipient)
        return added

    async def work(
        self,
        queue: str,
        handler: WorkHandler,
        *,
        concurrency: int = 1,
        ack_wait: float = ACK_WAIT_SECONDS,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> OutboxWorker:
        self._check_open()
        check_subject(queue, pattern=False)
        worker = OutboxWorker(
            self._outbox, queue, handler, concurrency=concurrency, ack_wait=ack_wait, max_deliveries=max_deliveries
        )
        self._workers[queue].append(worker)
        return worker

    async def depth(self, queue: str) -> int:
        self._check_open()
        return await self._outbox.depth(queue)

    async def replay(self, queue: str, *, after: int = 0) -> AsyncIterator[tuple[int, Envelope]]:
        self._check_open()
        up_to = await self._outbox.last(queue)
        while rows := await self._outbox.history(queue, after, up_to, _PAGE):
            for position, body in rows:
                yield position, decode_envelope(body)
            after = rows[-1][0]

    async def dead_letters(self, queue: str = "", *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        return [
            DeadLetter(one.id, one.queue, decode_envelope(one.body), one.deliveries, one.error, one.ended_ns)
            for one in await self._outbox.dead(queue, limit)
        ]

    async def retry(self, letter_id: str) -> bool:
        self._check_open()
        revived = await self._outbox.revive(letter_id)
        for queue in self._workers:
            self._nudge(queue)
        return revived

    async def drop(self, letter_id: str) -> bool:
        self._check_open()
        return await self._outbox.forget(letter_id)

    async def close(self) -> None:
        self._closed = True
        workers = [worker for found in self._workers.values() for worker in found]
        await asyncio.gather(*(worker.close() for worker in workers))
        self._workers.clear()

    def _nudge(self, queue: str) -> None:
        # Who waits in this process need not wait for its next look.
        for worker in self._workers.get(queue, ()):
            worker.wake.set()

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("bus_closed", "The work queue is closed; the colony is stopping.")
