"""Redis by our adapter and by redis-py itself: the same bytes, the same server, as many callers at once.

The raw client does what a careful program does for the same promises, and where one caller's many messages can share a
pipeline, they do: that is faster than as many callers with a connection each.
  - publish: Pub/Sub, so many messages in one pipeline as we have callers.
  - request: one stream with a consumer group for requests and one for replies, so that a broken connection loses
    neither; each caller waits for its own reply.
  - put: a script that appends unless the id was put before (`SET NX`, `XADD`), so many in one pipeline.
  - work: `XREADGROUP` of as many as may be held at once, and an `XACK` of each, in one pipeline.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any, TypeVar

import redis.asyncio as redis
from redis.asyncio.client import PubSub

from bench.bus_ours import OurBus, OurQueue
from bench.bus_rounds import CALLERS, Compared, Count, Rates, callers, drained, encoded, one_caller
from cenoby.bus.connect import connect_bus, connect_work
from cenoby.bus.work import DUPLICATE_WINDOW_SECONDS
from cenoby.kernel.ids import new_id

T = TypeVar("T")

PUBLISHED = 10_000
REQUESTED = 3_000
QUEUED = 4_000
STREAM_LENGTH = 10_000
PUT = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('XADD', KEYS[2], '*', 'd', ARGV[1])
return 1
"""


@contextlib.asynccontextmanager
async def redis_patterns(place: str) -> AsyncGenerator[list[Compared]]:
    """The patterns on the server at `place` (host:port); what they made there is removed at the end."""
    prefix = f"bench_{new_id().replace('-', '')[-12:]}"
    url = f"redis://{place}/0?prefix={prefix}"
    async with contextlib.AsyncExitStack() as stack:
        ours = OurBus(await connect_bus(url), await connect_bus(url), PUBLISHED, REQUESTED)
        stack.push_async_callback(ours.close)
        await ours.listen()
        # Beside ours, each side of the raw client has a pool of its own.
        raw_sending, raw_taking = redis.Redis.from_url(f"redis://{place}/0"), redis.Redis.from_url(f"redis://{place}/0")
        stack.push_async_callback(raw_sending.aclose)
        stack.push_async_callback(raw_taking.aclose)
        stack.push_async_callback(delete, raw_sending, prefix)
        putting, working = await connect_work(url), await connect_work(url)
        assert putting and working
        queue = OurQueue(putting, working, QUEUED)
        stack.push_async_callback(queue.close)
        raw = RawRedis(raw_sending, raw_taking, f"{prefix}:raw")
        stack.push_async_callback(raw.close)
        await raw.listen()
        yield [
            Compared(("publish",), ours.publish, raw.publish),
            Compared(("request",), ours.request, raw.request),
            Compared(("request_one",), ours.request_one, raw.request_one),
            Compared(("put", "work"), queue.put_and_work, raw.put_and_work),
        ]


class RawRedis:
    """The patterns with redis-py."""

    def __init__(self, sending: Any, taking: Any, root: str) -> None:
        self._sending, self._taking, self._root = sending, taking, root
        self._asked, self._inbox, self._queue = f"{root}:asked", f"{root}:inbox", f"{root}:queue"
        self._count = Count(0)
        self._replies: dict[bytes, asyncio.Future[bytes]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self) -> None:
        """Begin to take what is published, asked and answered."""
        subscribed = self._taking.pubsub()
        await subscribed.subscribe(f"{self._root}:published")
        for stream in (self._asked, self._inbox, self._queue):
            await self._taking.xgroup_create(stream, "m", mkstream=True)
        work = (self._hear(subscribed), self._answer(), self._read_replies())
        self._tasks = [asyncio.create_task(one) for one in work]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def publish(self) -> Rates:
        found, channel = encoded(PUBLISHED), f"{self._root}:published"
        self._count = Count(PUBLISHED)
        for batch in batches(found):
            async with self._sending.pipeline(transaction=False) as pipeline:
                for one in batch:
                    pipeline.publish(channel, one)
                await pipeline.execute()
        return (await self._count.rate(),)

    async def request(self, number: int = CALLERS, requested: int = REQUESTED) -> Rates:
        found = [(new_id().encode(), data) for data in encoded(requested)]

        async def ask(one: tuple[bytes, bytes]) -> None:
            reply = self._replies[one[0]] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(60):
                    await self._sending.xadd(self._asked, {"i": one[0], "d": one[1]}, maxlen=STREAM_LENGTH)
                    await reply
            finally:
                del self._replies[one[0]]

        began = time.perf_counter()
        await callers(found, ask, number)
        return (requested / (time.perf_counter() - began),)

    async def request_one(self) -> Rates:
        return await one_caller(self.request, REQUESTED)

    async def put_and_work(self) -> Rates:
        return await self._put(), await self._work()

    async def _put(self) -> float:
        found = [(f"{self._root}:id:{new_id()}", data) for data in encoded(QUEUED)]
        put, window_ms = self._sending.register_script(PUT), round(DUPLICATE_WINDOW_SECONDS * 1000)
        began = time.perf_counter()
        for batch in batches(found):
            async with self._sending.pipeline(transaction=False) as pipeline:
                for key, data in batch:
                    await put([key, self._queue], [data, window_ms], client=pipeline)
                await pipeline.execute()
        return QUEUED / (time.perf_counter() - began)

    async def _work(self) -> float:
        count = Count(QUEUED)
        done = 0
        while done < QUEUED:
            rows = await self._taking.xreadgroup("m", "bench", {self._queue: ">"}, count=CALLERS, block=1000)
            async with self._taking.pipeline(transaction=False) as pipeline:
                for entry, _ in rows[0][1]:
                    pipeline.xack(self._queue, "m", entry)
                    count.one()
                    done += 1
                await pipeline.execute()
        rate = await count.rate()
        await drained(self._left)
        await self._taking.xtrim(self._queue, maxlen=0)
        return rate

    async def _left(self) -> int:
        return (await self._taking.xpending(self._queue, "m"))["pending"]

    async def _hear(self, subscribed: PubSub) -> None:
        async for message in subscribed.listen():
            if message["type"] == "message":
                self._count.one()

    async def _answer(self) -> None:
        async for rows in self._entries(self._asked):
            async with self._taking.pipeline(transaction=False) as pipeline:
                for entry, fields in rows:
                    pipeline.xadd(self._inbox, {"i": fields[b"i"], "a": fields[b"d"]}, maxlen=STREAM_LENGTH)
                    pipeline.xack(self._asked, "m", entry)
                    pipeline.xdel(self._asked, entry)
                await pipeline.execute()

    async def _read_replies(self) -> None:
        async for rows in self._entries(self._inbox):
            for _, fields in rows:
                reply = self._replies.get(fields[b"i"])
                if reply and not reply.done():
                    reply.set_result(fields[b"a"])
            async with self._sending.pipeline(transaction=False) as pipeline:
                entries = [entry for entry, _ in rows]
                pipeline.xack(self._inbox, "m", *entries)
                pipeline.xdel(self._inbox, *entries)
                await pipeline.execute()

    async def _entries(self, stream: str) -> AsyncGenerator[list[tuple[bytes, dict[bytes, bytes]]]]:
        while True:
            if found := await self._taking.xreadgroup("m", "bench", {stream: ">"}, count=64, block=1000):
                yield found[0][1]


def batches(found: list[T]) -> Iterator[list[T]]:
    """As many at a time as there would be callers."""
    return (found[first : first + CALLERS] for first in range(0, len(found), CALLERS))


async def delete(client: Any, prefix: str) -> None:
    async for key in client.scan_iter(f"{prefix}:*", count=1000):
        await client.unlink(key)
