"""What `./dev bench bus` measures with: patterns done by us and by the raw client in turns, many callers at once."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from cenoby.bus.wire import encode_envelope
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id

T = TypeVar("T")

ROUNDS = 5
CALLERS = 32
"""Callers at once, on either side."""
TEXT = "One message of a conversation, about as long as what agents tell each other all day. " * 2


Rates = tuple[float, ...]
"""Messages a second, one for each name of the pattern."""


@dataclass(frozen=True)
class Compared:
    """What each side does in one turn, and the names of the rates that come of it."""

    names: tuple[str, ...]
    ours: Callable[[], Awaitable[Rates]]
    raw: Callable[[], Awaitable[Rates]]


@dataclass(frozen=True)
class Seen:
    """Medians of the rounds of one pattern; the ratio is the median of the rounds' own ratios."""

    name: str
    ours: float
    raw: float
    ratio: float


async def take_turns(pattern: Compared, rounds: int = ROUNDS) -> list[Seen]:
    """Both sides `rounds` times, one right after the other; who begins changes with each round."""
    ours: list[Rates] = []
    raw: list[Rates] = []
    for turn in range(rounds):
        for side, rates in ((pattern.ours, ours), (pattern.raw, raw))[:: 1 if turn % 2 else -1]:
            gc.collect()
            rates.append(await side())
    seen: list[Seen] = []
    for name, mine, theirs in zip(pattern.names, zip(*ours, strict=True), zip(*raw, strict=True), strict=True):
        ratio = statistics.median(one / other for one, other in zip(mine, theirs, strict=True))
        seen.append(Seen(name, statistics.median(mine), statistics.median(theirs), ratio))
    return seen


async def callers(items: Iterable[T], call: Callable[[T], Awaitable[object]], number: int = CALLERS) -> None:
    """Call with each of `items`, `number` at once."""
    left = iter(items)

    async def caller() -> None:
        for item in left:
            await call(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(caller())


async def one_caller(request: Callable[[int, int], Awaitable[Rates]], number: int) -> Rates:
    """The rate of `request` with one in flight; fewer are enough, because each of them takes long."""
    return await request(1, number // 3)


class Count:
    """Waits until so many were counted, and says how many a second that were since it was made."""

    def __init__(self, target: int) -> None:
        self._left = target
        self._target = target
        self._all = asyncio.Event()
        self._began = time.perf_counter()

    def one(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self._all.set()

    async def rate(self, seconds: float = 60) -> float:
        """Messages a second, once all were counted.

        Raises:
            TimeoutError: some never came.
        """
        async with asyncio.timeout(seconds):
            await self._all.wait()
        if self._left < 0:
            raise RuntimeError(f"{-self._left} came more than were sent")
        return self._target / (time.perf_counter() - self._began)


async def drained(left: Callable[[], Awaitable[int]], seconds: float = 5) -> None:
    """Wait until nothing is left: acknowledgements may still be on their way.

    Raises:
        RuntimeError: something is not acknowledged.
    """
    end = time.monotonic() + seconds
    while found := await left():
        if time.monotonic() > end:
            raise RuntimeError(f"{found} were not acknowledged")
        await asyncio.sleep(0.02)


def envelopes(recipient: str, number: int) -> list[Envelope]:
    """Envelopes as a MAD's are, each with an id of its own, and a deadline a minute from now."""
    correlation, deadline_ns = new_id(), time.time_ns() + 60_000_000_000
    return [
        Envelope(
            id=new_id(),
            tenant="default",
            correlation=correlation,
            sender="bench",
            recipient=recipient,
            event="message_posted.v1",
            payload={"conversation": correlation, "seq": seq, "text": TEXT},
            deadline_ns=deadline_ns,
        )
        for seq in range(number)
    ]


def encoded(number: int) -> list[bytes]:
    """The same as bytes, made beforehand: the raw clients get theirs for nothing."""
    return [encode_envelope(one) for one in envelopes("bench.default.bus", number)]
