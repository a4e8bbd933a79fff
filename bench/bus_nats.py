"""NATS by our adapter and by nats-py itself: the same bytes, the same server, as many callers at once.

Either side has two connections, one that sends and one that takes. What ours does beyond: it encodes and decodes
envelopes, bounds each subscription's queue, answers each request in a task of its own, and keeps dead letters. The raw
client's work queue recognises ids put twice (`Nats-Msg-Id`), acknowledges each message, and holds no more at once.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from bench.bus_ours import OurBus, OurQueue
from bench.bus_rounds import CALLERS, Compared, Count, Rates, callers, drained, encoded, one_caller
from cenoby.bus.connect import connect_bus, connect_work
from cenoby.bus.work import DUPLICATE_WINDOW_SECONDS
from cenoby.kernel.ids import new_id

PUBLISHED = 20_000
REQUESTED = 5_000
QUEUED = 4_000


@contextlib.asynccontextmanager
async def nats_patterns(place: str) -> AsyncGenerator[list[Compared]]:
    """The patterns on the server at `place` (host:port); what they made there is removed at the end."""
    prefix = f"bench_{new_id().replace('-', '')[-12:]}"
    url = f"nats://{place}?prefix={prefix}"
    async with contextlib.AsyncExitStack() as stack:
        ours = OurBus(await connect_bus(url), await connect_bus(url), PUBLISHED, REQUESTED)
        stack.push_async_callback(ours.close)
        await ours.listen()
        raw_sending, raw_taking = await nats.connect(f"nats://{place}"), await nats.connect(f"nats://{place}")
        stack.push_async_callback(raw_sending.close)
        stack.push_async_callback(raw_taking.close)
        raw = RawNats(raw_sending, raw_taking, prefix)
        for stream in ("work", "dead", "raw"):
            stack.push_async_callback(raw.delete, f"{prefix}_{stream}")
        await raw.listen()
        await raw.make_queue()
        putting, working = await connect_work(url), await connect_work(url)
        assert putting and working
        queue = OurQueue(putting, working, QUEUED)
        stack.push_async_callback(queue.close)
        yield [
            Compared(("publish",), ours.publish, raw.publish),
            Compared(("request",), ours.request, raw.request),
            Compared(("request_one",), ours.request_one, raw.request_one),
            Compared(("put", "work"), queue.put_and_work, raw.put_and_work),
        ]


class RawNats:
    """The patterns with nats-py."""

    def __init__(self, sending: Any, taking: Any, prefix: str) -> None:
        self._sending, self._taking, self._prefix = sending, taking, prefix
        self._count = Count(0)
        self._jetstream, self._jetstream_taking = sending.jetstream(), taking.jetstream()
        self._pull: Any = None

    async def listen(self) -> None:
        async def count(message: Msg) -> None:
            self._count.one()

        async def answer(message: Msg) -> None:
            await message.respond(message.data)

        await self._taking.subscribe(f"{self._prefix}.raw.published", cb=count)
        await self._taking.subscribe(f"{self._prefix}.raw.asked", queue="responders", cb=answer)
        await self._taking.flush()

    async def publish(self) -> Rates:
        found, subject = encoded(PUBLISHED), f"{self._prefix}.raw.published"
        self._count = Count(PUBLISHED)
        for one in found:
            await self._sending.publish(subject, one)
        return (await self._count.rate(),)

    async def request(self, number: int = CALLERS, requested: int = REQUESTED) -> Rates:
        found, subject = encoded(requested), f"{self._prefix}.raw.asked"

        async def ask(data: bytes) -> None:
            await self._sending.request(subject, data, timeout=60)

        began = time.perf_counter()
        await callers(found, ask, number)
        return (requested / (time.perf_counter() - began),)

    async def request_one(self) -> Rates:
        return await one_caller(self.request, REQUESTED)

    async def make_queue(self) -> None:
        """A stream and a durable consumer as ours are."""
        stream = f"{self._prefix}_raw"
        await self._jetstream.add_stream(
            StreamConfig(name=stream, subjects=[f"{self._prefix}.q"], duplicate_window=DUPLICATE_WINDOW_SECONDS)
        )
        consumer = ConsumerConfig(durable_name="raw", ack_policy=AckPolicy.EXPLICIT, max_ack_pending=20_000)
        self._pull = await self._jetstream_taking.pull_subscribe(f"{self._prefix}.q", "raw", stream, config=consumer)

    async def put_and_work(self) -> Rates:
        return await self.put(), await self.work()

    async def put(self) -> float:
        subject = f"{self._prefix}.q"
        found = [(new_id(), data) for data in encoded(QUEUED)]

        async def put(one: tuple[str, bytes]) -> None:
            await self._jetstream.publish(subject, one[1], headers={"Nats-Msg-Id": one[0]})

        began = time.perf_counter()
        await callers(found, put)
        return QUEUED / (time.perf_counter() - began)

    async def work(self) -> float:
        count = Count(QUEUED)
        done = 0
        while done < QUEUED:
            for message in await self._pull.fetch(min(CALLERS, QUEUED - done), timeout=5):
                await message.ack()
                count.one()
                done += 1
        rate = await count.rate()
        await drained(self._left)
        return rate

    async def _left(self) -> int:
        found = await self._pull.consumer_info()
        return found.num_pending + found.num_ack_pending

    async def delete(self, stream: str) -> None:
        with contextlib.suppress(nats.errors.Error, nats.js.errors.NotFoundError):
            answer = await self._sending.request(f"$JS.API.STREAM.DELETE.{stream}", timeout=5)
            json.loads(answer.data)
