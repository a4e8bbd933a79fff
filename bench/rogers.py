"""`./dev bench rogers`: the figures of the reference's conversation bus, ten times harder on each.

Everything goes through the whole pipeline of a colony in this process, journal included: 1,000 conversations, one of
them with 100,000 messages. `store` is a `post_message` call from its start to its durable answer; `deliver` runs from
the start of that call to the moment a watcher's client is told of the message.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import uvloop

from bench.figures import Figure
from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.app.process import settle_garbage_collector
from cenoby.colony.invocation import Invocation
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import Settings
from cenoby.kernel.settings_file import load_settings
from cenoby.mads.rogers.ledger import ConversationLedger
from cenoby.mads.rogers.sql import Viewer

CONVERSATIONS = 1_000
LARGEST = 100_000
IN_OTHERS = 10
WATCHERS = 500
FAN_OUT_POSTS = 400
FAN_OUT_RATE = 40
SUSTAINED_RATE = 1_000
SUSTAINED_SECONDS = 10
PAGES = 200

AGENT = Principal("bench", "default", ("operator",), "agent")
VIEWER = Viewer("default", "bench", True)


class Watcher:
    """A client that notes how long each message took to reach it."""

    def __init__(self, begun: Mapping[str, int], delays: list[float]) -> None:
        self._begun = begun
        self._delays = delays

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        now = time.perf_counter_ns()
        assert message is not None
        # The content is the post's number; finding it costs less than decoding 500 times.
        start = message.index('"content":"') + len('"content":"')
        self._delays.append((now - self._begun[message[start : message.index('"', start)]]) / 1e6)

    async def log(self, level: str, text: str) -> None: ...

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class Bench:
    """A colony, its conversations, and what is measured on them."""

    def __init__(self, colony: Colony) -> None:
        self._colony = colony
        self._begun: dict[str, int] = {}
        self.ids: list[str] = []

    async def call(self, tool: str, client: Watcher | None = None, **arguments: Any) -> Any:
        invocation = Invocation(f"mads.rogers.{tool}", arguments, AGENT, client=client)
        return (await self._colony.parts.pipeline.run(invocation)).unwrap()

    async def fill(self) -> None:
        """The conversations, and their messages straight through the ledger."""
        ledger = ConversationLedger(self._colony.parts.database, SystemClock())
        self.ids = [(await ledger.create(VIEWER, f"conversation {n}")).id for n in range(CONVERSATIONS)]
        todo = [self.ids[0]] * LARGEST + self.ids[1:] * IN_OTHERS

        async def work() -> None:
            while todo:
                number = len(todo)
                await ledger.post(
                    VIEWER, todo.pop(), f"message {number} about #topic{number % 50} for @agent{number % 7}"
                )

        await asyncio.gather(*(work() for _ in range(256)))

    async def post(self, conversation: str, number: str) -> float:
        """Milliseconds of one post."""
        begun = self._begun[number] = time.perf_counter_ns()
        await self.call("post_message", conversation=conversation, content=number)
        return (time.perf_counter_ns() - begun) / 1e6

    async def pages(self) -> list[float]:
        """Milliseconds of each of many 100-message pages, from all over the largest conversation."""
        taken: list[float] = []
        for number in range(PAGES):
            before = LARGEST - number * (LARGEST // PAGES)
            begun = time.perf_counter_ns()
            page = await self.call("get_history", conversation=self.ids[0], before=max(before, 101), limit=100)
            taken.append((time.perf_counter_ns() - begun) / 1e6)
            assert len(page["messages"]) == 100
        return taken

    async def watched(
        self, watched: Sequence[str], work: Callable[[], Awaitable[list[float]]], expected: Mapping[str, int]
    ) -> tuple[list[float], list[float]]:
        """Store and deliver milliseconds of `work` while each of `watched` has a live subscriber."""
        delays: list[float] = []
        tasks = [
            asyncio.create_task(
                self.call("watch_conversation", Watcher(self._begun, delays), conversation=one, seconds=600, limit=500)
            )
            for one in watched
        ]
        await asyncio.sleep(2)
        stored = await work()
        end = time.monotonic() + 10
        while len(delays) < sum(expected[one] for one in watched) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        missing = sum(expected[one] for one in watched) - len(delays)
        if missing:
            raise RuntimeError(f"{missing} deliveries are missing")
        return stored, delays

    async def fan_out(self) -> tuple[list[float], list[float]]:
        """Posts to the largest conversation, which all watchers follow."""

        async def work() -> list[float]:
            return await self._paced([self.ids[0]] * FAN_OUT_POSTS, FAN_OUT_RATE, "f")

        return await self.watched([self.ids[0]] * WATCHERS, work, {self.ids[0]: FAN_OUT_POSTS})

    async def sustained(self) -> tuple[list[float], list[float], float]:
        """Posts over all conversations, half of which are watched; and the rate that was kept."""
        posts = SUSTAINED_RATE * SUSTAINED_SECONDS
        targets = [self.ids[number % CONVERSATIONS] for number in range(posts)]
        begun = ended = 0.0

        async def work() -> list[float]:
            nonlocal begun, ended
            begun = time.perf_counter()
            stored = await self._paced(targets, SUSTAINED_RATE, "s")
            ended = time.perf_counter()
            return stored

        expected = dict.fromkeys(self.ids, posts // CONVERSATIONS)
        stored, delays = await self.watched(self.ids[:: CONVERSATIONS // WATCHERS], work, expected)
        return stored, delays, posts / (ended - begun)

    async def _paced(self, targets: Sequence[str], rate: float, prefix: str) -> list[float]:
        """Start one post after the other at `rate` a second, whether or not the ones before have ended."""
        begun = time.perf_counter()
        tasks: list[asyncio.Task[float]] = []
        for number, target in enumerate(targets):
            delay = begun + number / rate - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            tasks.append(asyncio.create_task(self.post(target, f"{prefix}{number}")))
        return list(await asyncio.gather(*tasks))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def settings_for(folder: str) -> Settings:
    return load_settings(environment={}, overrides={"data": Path(folder), "mads": ["rogers"]})


async def measure() -> tuple[list[Figure], dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        opened: AbstractAsyncContextManager[Colony] = open_colony(settings_for(folder), SystemClock())
        async with opened as colony:
            settle_garbage_collector()
            bench = Bench(colony)
            begun = time.perf_counter()
            await bench.fill()
            filled = time.perf_counter() - begun
            pages = await bench.pages()
            fan_stored, fan_delivered = await bench.fan_out()
            stored, delivered, rate = await bench.sustained()
    figures = [
        Figure("store_p99_ms", percentile(stored, 0.99), 10, "ms"),
        Figure("deliver_p99_ms", percentile(delivered, 0.99), 50, "ms"),
        Figure("fan_out_store_p99_ms", percentile(fan_stored, 0.99), 10, "ms"),
        Figure("fan_out_deliver_p99_ms", percentile(fan_delivered, 0.99), 50, "ms"),
        Figure("page_p99_ms", percentile(pages, 0.99), 100, "ms"),
        Figure("messages_per_s", rate, SUSTAINED_RATE * 0.99, "/s", at_least=True),
    ]
    beside = {
        "conversations": CONVERSATIONS,
        "messages_in_largest": LARGEST,
        "watchers": WATCHERS,
        "deliveries": len(delivered) + len(fan_delivered),
        "fill_messages_per_s": (LARGEST + IN_OTHERS * (CONVERSATIONS - 1)) / filled,
        "store_p50_ms": percentile(stored, 0.5),
        "deliver_p50_ms": percentile(delivered, 0.5),
        "fan_out_deliver_p50_ms": percentile(fan_delivered, 0.5),
        "page_p50_ms": percentile(pages, 0.5),
    }
    return figures, beside


def main(json_output: bool) -> int:
    figures, beside = uvloop.run(measure())
    if json_output:
        print(json.dumps({one.name: one.value for one in figures} | beside))
    else:
        for one in figures:
            print(one)
        for name, value in beside.items():
            print(f"{name:26}{value:12.2f}")
    return 0 if all(one.reached for one in figures) else 1
