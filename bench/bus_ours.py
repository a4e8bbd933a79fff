"""The patterns of `./dev bench bus` over our own bus and work queue, whichever broker they are at."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.bus_rounds import CALLERS, Count, Rates, callers, drained, envelopes, one_caller
from cenoby.bus.contract import MessageBus
from cenoby.bus.work import WorkQueue
from cenoby.kernel.envelope import Envelope

LISTENED, ASKED, QUEUE = "bench.default.heard", "bench.default.asked", "bench.default.queued"


class OurBus:
    """Publish and request.

    Args:
        sending, taking: two connections of the same bus, closed with this.
        published, requested: messages of one turn.
    """

    def __init__(self, sending: MessageBus, taking: MessageBus, published: int, requested: int) -> None:
        self._sending, self._taking = sending, taking
        self._published, self._requested = published, requested
        self._count = Count(0)

    async def listen(self) -> None:
        """Begin to take what is published and asked."""

        async def count(envelope: Envelope) -> None:
            self._count.one()

        async def answer(envelope: Envelope) -> Any:
            return envelope.payload

        await self._taking.subscribe(LISTENED, count, depth=self._published)
        await self._taking.subscribe(ASKED, answer, group="bench")

    async def publish(self) -> Rates:
        found = envelopes(LISTENED, self._published)
        self._count = Count(self._published)
        await callers(found, self._sending.publish)
        return (await self._count.rate(),)

    async def request(self, number: int = CALLERS, requested: int = 0) -> Rates:
        found = envelopes(ASKED, requested or self._requested)
        began = time.perf_counter()
        await callers(found, self._sending.request, number)
        return (len(found) / (time.perf_counter() - began),)

    async def request_one(self) -> Rates:
        return await one_caller(self.request, self._requested)

    async def close(self) -> None:
        await asyncio.gather(self._sending.close(), self._taking.close())


class OurQueue:
    """Durable work: what is put in a turn is done in the same turn.

    Args:
        putting, working: two connections of the same work queue, or one twice; closed with this.
        queued: messages of one turn.
    """

    def __init__(self, putting: WorkQueue, working: WorkQueue, queued: int) -> None:
        self._putting, self._working, self._queued = putting, working, queued

    async def put_and_work(self) -> Rates:
        """The rate of putting with many callers, and of doing it with as many places."""
        found = envelopes(QUEUE, self._queued)
        began = time.perf_counter()
        await callers(found, self._putting.put)
        put = self._queued / (time.perf_counter() - began)
        count = Count(self._queued)

        async def handle(envelope: Envelope) -> None:
            count.one()

        worker = await self._working.work(QUEUE, handle, concurrency=CALLERS)
        done = await count.rate()
        await worker.close()
        await drained(lambda: self._working.depth(QUEUE))
        return put, done

    async def close(self) -> None:
        await asyncio.gather(self._putting.close(), self._working.close())
