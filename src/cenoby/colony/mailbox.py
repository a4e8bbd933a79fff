"""The mailbox of a MAD: how many of its calls run at once, and in which order the others wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from cenoby.colony.errors import ColonyUnavailable
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import Priority
from cenoby.kernel.settings import MailboxSettings

T = TypeVar("T")

_AGEING_NS = 2_000_000_000
"""A message that waited this long counts as one lane better, so that bulk work is served at last."""


_LAST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class MailboxState:
    """What `status` shows of a mailbox: calls under way, calls waiting, and how many were turned away."""

    running: int
    waiting: int
    refused: int


class _Work:
    """A call at work, in whose task another one may cut it off."""

    __slots__ = ("_before", "_cut", "_task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "calls are made in tasks"
        self._task = task
        self._before = task.cancelling()
        self._cut = False

    def cut_off(self) -> None:
        if not self._cut:
            self._cut = True
            self._task.cancel()

    def was_cut_off(self) -> bool:
        """Whether it was us; False where the caller gave up as well."""
        return self._cut and self._task.uncancel() <= self._before


class Mailbox:
    """Priority lanes in front of a limited number of running calls.

    A call that finds a free place and nobody waiting runs at once, without a queue or a task in between; the others
    wait in the lane of their priority, and lanes age (`_AGEING_NS`).
    """

    def __init__(self, mad: str, settings: MailboxSettings, clock: Clock) -> None:
        self._mad = mad
        self._concurrency = settings.concurrency
        self._depth = settings.depth
        self._clock = clock
        self._lanes: dict[Priority, deque[tuple[int, asyncio.Future[None]]]] = {lane: deque() for lane in Priority}
        self._running = 0
        self._waiting = 0
        self._refused = 0
        self._open = True
        self._down = ""
        self._at_work: set[_Work] = set()
        self._idle: asyncio.Event | None = None

    def state(self) -> MailboxState:
        return MailboxState(self._running, self._waiting, self._refused)

    async def run(self, priority: Priority, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` when its turn comes.

        Raises:
            ColonyUnavailable: as many calls wait already as may; the MAD is down; or it was stopped under the call.
        """
        if self._open and self._running < self._concurrency and not self._waiting:
            self._running += 1
        else:
            await self._wait(priority)
        place = _Work()
        self._at_work.add(place)
        try:
            return await work()
        except asyncio.CancelledError:
            if place.was_cut_off():
                raise ColonyUnavailable(
                    "mad_stopped", f"{self._mad} was stopped during the call; its work may be done in part."
                ) from None
            raise
        finally:
            self._at_work.discard(place)
            self._running -= 1
            if self._idle is not None and not self._running:
                self._idle.set()
            self._wake()

    def hold(self) -> None:
        """Let calls wait, until `release`."""
        self._open = False

    def release(self) -> None:
        """Serve what waits, and what comes."""
        self._open, self._down = True, ""
        self._wake()

    async def empty(self, seconds: float) -> None:
        """Wait until no call is at work; what is after `seconds` is cut off. What waits goes on waiting."""
        await self._until_idle(seconds)
        for place in self._at_work:
            place.cut_off()
        await self._until_idle(_LAST_SECONDS)

    def take_down(self, reason: str) -> None:
        """Refuse what waits and what comes, until `release`."""
        self._open, self._down = False, reason
        for lane in self._lanes.values():
            for _, turn in lane:
                if not turn.done():
                    turn.set_exception(self._refusal())
            lane.clear()
        self._waiting = 0

    async def _until_idle(self, seconds: float) -> None:
        if self._running:
            self._idle = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)
            self._idle = None

    def _refusal(self) -> ColonyUnavailable:
        return ColonyUnavailable("mad_down", self._down)

    async def _wait(self, priority: Priority) -> None:
        if self._down:
            raise self._refusal()
        if self._waiting >= self._depth:
            self._refused += 1
            raise ColonyUnavailable(
                "mailbox_full",
                f"{self._waiting} calls wait for {self._mad} already; try again in a second.",
                retry_after=1.0,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (self._clock.monotonic_ns(), turn)
        self._lanes[priority].append(place)
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                if place in self._lanes[priority]:
                    self._lanes[priority].remove(place)
                    self._waiting -= 1
            else:
                # The place was handed over in the moment the caller gave up: pass it on.
                self._running -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self._open and self._waiting and self._running < self._concurrency:
            _, turn = self._best_lane().popleft()
            self._waiting -= 1
            # One that gave up in this very turn of the loop is passed over.
            if not turn.done():
                self._running += 1
                turn.set_result(None)

    def _best_lane(self) -> deque[tuple[int, asyncio.Future[None]]]:
        now = self._clock.monotonic_ns()
        heads = ((priority - (now - lane[0][0]) / _AGEING_NS, lane) for priority, lane in self._lanes.items() if lane)
        return min(heads, key=lambda head: head[0])[1]
