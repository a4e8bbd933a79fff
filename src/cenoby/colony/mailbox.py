"""The mailbox of a MAD: how many of its calls run at once, in which order the others wait, and what happens when full.

Bulk work makes room: where a more urgent call finds no place, a running call of the bulk lane whose tool is idempotent
is interrupted at its next await, waits again at the head of its lane, and is done from its beginning. Nothing else is
ever interrupted (architecture: only tools declared idempotent are preempted).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from cenoby.colony.errors import ColonyUnavailable
from cenoby.colony.scheduler import Scheduler
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import Priority
from cenoby.kernel.settings import MailboxSettings

T = TypeVar("T")

_AGEING_NS = 2_000_000_000
"""A message that waited this long counts as one lane better, so that bulk work is served at last."""
_LAST_SECONDS = 2.0
_MOST_INTERRUPTIONS = 3
"""So often one call makes room; then it runs to its end."""


@dataclass(frozen=True, slots=True)
class MailboxState:
    """What `status` shows of a mailbox: calls under way, calls waiting, and how many were turned away."""

    running: int
    waiting: int
    refused: int


class _Work:
    """A call at work, in whose task another one may cut it off, or interrupt it to do it again later."""

    __slots__ = ("_before", "_cut", "_interrupted", "_task", "_was_cut_off", "at_work", "may_yield")

    def __init__(self, may_yield: bool) -> None:
        task = asyncio.current_task()
        assert task is not None, "calls are made in tasks"
        self._task = task
        self._before = task.cancelling()
        self._cut = self._interrupted = self._was_cut_off = False
        self.at_work = True
        self.may_yield = may_yield

    def cut_off(self) -> None:
        if not self._cut:
            self._cut = True
            if not self._interrupted:
                self._task.cancel()

    def interrupt(self) -> None:
        self.may_yield, self._interrupted = False, True
        self._task.cancel()

    def ours(self) -> bool:
        """Take our cancellation back; whether it was ours alone, and the caller did not give up, too."""
        if not (self._cut or self._interrupted):
            return False
        self._cut, cut = False, self._cut
        self._interrupted, self._was_cut_off = False, cut
        return self._task.uncancel() <= self._before

    @property
    def was_cut_off(self) -> bool:
        return self._was_cut_off


_within: ContextVar[_Work | None] = ContextVar("within", default=None)
"""The call at work in the present context: what that calls in turn must not wait for the place that it holds."""


@dataclass(eq=False, slots=True)
class _Place:
    """A call that waits: since when, how large, whether another call waits for it, and the future that is its turn."""

    since_ns: int
    size: int
    nested: bool
    turn: asyncio.Future[None]


class Mailbox:
    """Priority lanes in front of a limited number of running calls.

    A call that finds a free place and nobody waiting runs at once, without a queue or a task in between; the others
    wait in the lane of their priority, and lanes age (`_AGEING_NS`).

    Args:
        mad: whose.
        settings: limits.
        clock: the time.
        scheduler: the cap on the calls of all mailboxes; None for none.
    """

    def __init__(self, mad: str, settings: MailboxSettings, clock: Clock, scheduler: Scheduler | None = None) -> None:
        self._mad = mad
        self._settings = settings
        self._concurrency = settings.concurrency
        self._clock = clock
        self._scheduler = scheduler or Scheduler(settings.concurrency)
        self._scheduler.join(self)
        self._lanes: dict[Priority, deque[_Place]] = {lane: deque() for lane in Priority}
        self._running = 0
        self._waiting = 0
        self._bytes = 0
        self._refused = 0
        self._open = True
        self._down = ""
        self._at_work: set[_Work] = set()
        self._idle: asyncio.Event | None = None

    def state(self) -> MailboxState:
        return MailboxState(self._running, self._waiting, self._refused)

    async def run(
        self, priority: Priority, work: Callable[[], Awaitable[T]], *, size: int = 0, again: bool = False
    ) -> T:
        """Do `work` when its turn comes.

        Args:
            priority: the lane it waits in.
            work: what is done; called again from its beginning where it was interrupted.
            size: bytes that the call holds while it waits.
            again: doing it twice is the same as doing it once, so it may make room for more urgent calls.

        Raises:
            ColonyUnavailable: as much waits already as may; the MAD is down; or it was stopped under the call.
        """
        since_ns, interruptions = 0, 0
        while True:
            # A task that a call began, and that outlives it, is no part of it any more.
            nested = (outer := _within.get()) is not None and outer.at_work
            if self._open and self._running < self._concurrency and not self._waiting and self._take(nested):
                self._running += 1
            else:
                since_ns = since_ns or self._clock.monotonic_ns()
                await self._wait(priority, since_ns, size, nested, first=interruptions > 0)
            may_yield = again and priority is Priority.BULK and interruptions < _MOST_INTERRUPTIONS
            place = _Work(may_yield)
            self._at_work.add(place)
            within = _within.set(place)
            try:
                return await work()
            except asyncio.CancelledError:
                if not place.ours():
                    raise
                if place.was_cut_off:
                    raise ColonyUnavailable(
                        "mad_stopped", f"{self._mad} was stopped during the call; its work may be done in part."
                    ) from None
                interruptions += 1
                since_ns = since_ns or self._clock.monotonic_ns()
            finally:
                # A tool may have swallowed our cancellation and ended in its own way.
                place.ours()
                place.at_work = False
                _within.reset(within)
                self._at_work.discard(place)
                self._leave(nested)

    def hold(self) -> None:
        """Let calls wait, until `release`."""
        self._open = False

    def release(self) -> None:
        """Serve what waits, and what comes."""
        self._open, self._down = True, ""
        self.serve()

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
            for place in tuple(lane):
                self._turn_away(lane, place, self._refusal())

    def close(self) -> None:
        """Be no more: the scheduler forgets this mailbox."""
        self._scheduler.leave(self)

    def urgency(self) -> float:
        return self._best()[0]

    def serve(self) -> None:
        while self._open and self._waiting and self._running < self._concurrency:
            lane = self._best()[1]
            if lane[0].turn.done():
                # It gave up in this very turn of the loop.
                self._forget(lane.popleft())
                continue
            if not lane[0].nested and not self._scheduler.take():
                lane = self._lanes[Priority.SYSTEM]
                if not (lane and lane[0].nested):
                    return
            place = lane.popleft()
            self._forget(place)
            self._running += 1
            place.turn.set_result(None)

    def yield_place(self) -> bool:
        for place in self._at_work:
            if place.may_yield:
                place.interrupt()
                return True
        return False

    def _take(self, nested: bool) -> bool:
        return nested or self._scheduler.take()

    def _leave(self, nested: bool) -> None:
        self._running -= 1
        if self._idle is not None and not self._running:
            self._idle.set()
        if not nested:
            self._scheduler.give()
        self.serve()

    async def _wait(self, priority: Priority, since_ns: int, size: int, nested: bool, *, first: bool) -> None:
        if self._down:
            raise self._refusal()
        if not first:
            self._find_room(priority, size)
        place = _Place(since_ns, size, nested, asyncio.get_running_loop().create_future())
        # What another call waits for goes first, or the two might wait for each other.
        lane = self._lanes[Priority.SYSTEM if nested else priority]
        (lane.appendleft if first or nested else lane.append)(place)
        self._waiting += 1
        self._bytes += size
        self._scheduler.waits(self)
        if priority <= Priority.INTERACTIVE and self._open:
            if self._running >= self._concurrency:
                self.yield_place()
            else:
                self._scheduler.make_room()
        self.serve()
        try:
            await place.turn
        except asyncio.CancelledError:
            if place.turn.cancelled():
                if place in lane:
                    lane.remove(place)
                    self._forget(place)
            elif place.turn.exception() is None:
                # The place was handed over in the moment the caller gave up: pass it on.
                self._leave(nested)
            raise

    def _find_room(self, priority: Priority, size: int) -> None:
        settings = self._settings
        while self._waiting >= settings.depth or (self._waiting and self._bytes + size > settings.max_bytes):
            if settings.when_full == "refuse" or not self._shed(priority):
                self._refused += 1
                raise self._full()

    def _shed(self, priority: Priority) -> bool:
        for lane in sorted(self._lanes, reverse=True):
            if lane <= priority:
                return False
            if self._lanes[lane]:
                self._refused += 1
                self._turn_away(self._lanes[lane], self._lanes[lane][-1], self._full())
                return True
        return False

    def _turn_away(self, lane: deque[_Place], place: _Place, error: ColonyUnavailable) -> None:
        lane.remove(place)
        self._forget(place)
        if not place.turn.done():
            place.turn.set_exception(error)

    def _forget(self, place: _Place) -> None:
        self._waiting -= 1
        self._bytes -= place.size
        if not self._waiting:
            self._scheduler.waits_no_more(self)

    def _full(self) -> ColonyUnavailable:
        return ColonyUnavailable(
            "mailbox_full",
            f"{self._waiting} calls wait for {self._mad} already; try again in a second.",
            retry_after=1.0,
        )

    async def _until_idle(self, seconds: float) -> None:
        if self._running:
            self._idle = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)
            self._idle = None

    def _refusal(self) -> ColonyUnavailable:
        return ColonyUnavailable("mad_down", self._down)

    def _best(self) -> tuple[float, deque[_Place]]:
        now = self._clock.monotonic_ns()
        heads = (
            (priority - (now - lane[0].since_ns) / _AGEING_NS, lane) for priority, lane in self._lanes.items() if lane
        )
        return min(heads, key=lambda head: head[0])
