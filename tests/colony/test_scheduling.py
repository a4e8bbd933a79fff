"""Places of all mailboxes together: whose turn it is, what makes room, what is turned away, and what never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cenoby.colony.errors import ColonyUnavailable
from cenoby.colony.mailbox import Mailbox
from cenoby.colony.scheduler import Scheduler
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.envelope import Priority
from cenoby.kernel.settings import MailboxSettings


class Floor:
    """Mailboxes under one scheduler, and calls that end when told to."""

    def __init__(self, limit: int, **settings: Any) -> None:
        self.clock = ManualClock()
        self.scheduler = Scheduler(limit)
        self.settings = MailboxSettings(**settings)
        self.mailboxes: dict[str, Mailbox] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: list[str] = []
        self.cancelled: list[str] = []

    def mailbox(self, mad: str) -> Mailbox:
        if mad not in self.mailboxes:
            self.mailboxes[mad] = Mailbox(mad, self.settings, self.clock, self.scheduler)
        return self.mailboxes[mad]

    async def call(
        self,
        name: str,
        priority: Priority = Priority.INTERACTIVE,
        *,
        mad: str = "a",
        size: int = 0,
        again: bool = False,
        inside: Callable[[], Awaitable[Any]] | None = None,
    ) -> asyncio.Task[str]:
        gate = self.gates[name] = asyncio.Event()

        async def work() -> str:
            self.begun.append(name)
            try:
                if inside:
                    await inside()
                await gate.wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            return name

        task = asyncio.create_task(self.mailbox(mad).run(priority, work, size=size, again=again))
        await turns()
        return task

    async def end(self, name: str) -> None:
        self.gates[name].set()
        await turns()


async def turns() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def refused(task: asyncio.Task[str]) -> str:
    with pytest.raises(ColonyUnavailable) as error:
        await asyncio.wait_for(task, 30)
    return error.value.code


async def test_all_mailboxes_together_run_no_more_than_the_cap() -> None:
    """With two places for three MADs, the third call waits although its own mailbox is free, and runs when one ends."""
    floor = Floor(2)
    tasks = [await floor.call(mad, mad=mad) for mad in ("a", "b", "c")]
    assert floor.begun == ["a", "b"]
    await floor.end("b")
    assert floor.begun == ["a", "b", "c"]
    for mad in ("a", "c"):
        await floor.end(mad)
    assert [await task for task in tasks] == ["a", "b", "c"]


async def test_a_free_place_goes_to_the_most_urgent_of_all() -> None:
    """Of calls that wait in several mailboxes the most urgent is next, and waiting makes bulk work urgent at last."""
    floor = Floor(1)
    tasks = [await floor.call("first", mad="a")]
    tasks.append(await floor.call("old bulk", Priority.BULK, mad="b"))
    floor.clock.advance(7)
    tasks.append(await floor.call("normal", Priority.NORMAL, mad="c"))
    tasks.append(await floor.call("urgent", Priority.INTERACTIVE, mad="d"))
    tasks.append(await floor.call("new bulk", Priority.BULK, mad="e"))
    for _ in range(5):
        await floor.end(floor.begun[-1])
    assert floor.begun == ["first", "old bulk", "urgent", "normal", "new bulk"]
    await asyncio.gather(*tasks)


async def test_bulk_work_that_may_be_repeated_makes_room() -> None:
    """An interactive call interrupts it at once; it is done from its beginning afterwards, and answered once."""
    floor = Floor(1)
    bulk = await floor.call("bulk", Priority.BULK, mad="a", again=True)
    urgent = await floor.call("urgent", mad="b")
    assert floor.begun == ["bulk", "urgent"]
    assert floor.cancelled == ["bulk"]
    await floor.end("urgent")
    assert floor.begun == ["bulk", "urgent", "bulk"]
    await floor.end("bulk")
    assert (await bulk, await urgent) == ("bulk", "urgent")


@pytest.mark.parametrize(
    ("priority", "again"), [(Priority.BULK, False), (Priority.NORMAL, True), (Priority.INTERACTIVE, True)]
)
async def test_nothing_else_is_interrupted(priority: Priority, again: bool) -> None:
    """What may not be repeated, and what is no bulk work, runs to its end."""
    floor = Floor(1)
    running = await floor.call("running", priority, mad="a", again=again)
    waiting = await floor.call("waiting", Priority.SYSTEM, mad="b")
    assert floor.begun == ["running"]
    await floor.end("running")
    await floor.end("waiting")
    assert (await running, await waiting) == ("running", "waiting")
    assert floor.cancelled == []


async def test_interrupted_work_ends_at_last() -> None:
    """After three interruptions it runs to its end, however many urgent calls come."""
    floor = Floor(1)
    bulk = await floor.call("bulk", Priority.BULK, again=True)
    for number in range(5):
        urgent = await floor.call(f"urgent {number}", mad="b")
        if f"urgent {number}" not in floor.begun:
            break
        await floor.end(f"urgent {number}")
        assert await urgent == f"urgent {number}"
    assert floor.cancelled == ["bulk"] * 3
    await floor.end("bulk")
    assert await bulk == "bulk"
    await floor.end(f"urgent {number}")
    assert await urgent


async def test_a_caller_that_gives_up_on_interrupted_work_is_let_go() -> None:
    """Its cancellation is its own: it is not taken for an interruption, whether the work runs or waits again."""
    floor = Floor(1)
    bulk = await floor.call("bulk", Priority.BULK, again=True)
    urgent = await floor.call("urgent", mad="b")
    bulk.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bulk
    await floor.end("urgent")
    assert await urgent == "urgent"
    later = await floor.call("later")
    await floor.end("later")
    assert await later == "later"


async def test_work_that_swallows_its_interruption_counts_as_done() -> None:
    """A tool that catches the cancellation and answers has answered; the caller's task is as good as new."""
    floor = Floor(1)
    stubborn_began = asyncio.Event()

    async def stubborn() -> str:
        stubborn_began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "all the same"
        return "never"

    async def caller() -> tuple[str, int]:
        answer = await floor.mailbox("a").run(Priority.BULK, stubborn, again=True)
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return answer, task.cancelling()

    bulk = asyncio.create_task(caller())
    await stubborn_began.wait()
    urgent = await floor.call("urgent", mad="b")
    assert await bulk == ("all the same", 0)
    await floor.end("urgent")
    assert await urgent == "urgent"


async def test_a_call_within_a_call_does_not_wait_for_its_own_place() -> None:
    """With one place in all, a tool that calls another MAD's tool gets its answer."""
    floor = Floor(1)

    async def other() -> str:
        return "from b"

    answers: list[str] = []

    async def inside() -> None:
        answers.append(await floor.mailbox("b").run(Priority.BULK, other))

    outer = await floor.call("outer", inside=inside)
    queued = await floor.call("queued", mad="b")
    assert answers == ["from b"]
    await floor.end("outer")
    await floor.end("queued")
    assert (await outer, await queued) == ("outer", "queued")


async def test_a_call_within_a_call_goes_before_those_that_wait() -> None:
    """Where the inner MAD is full itself, the inner call is its next, though others came first."""
    floor = Floor(2, concurrency=1)
    holder = await floor.call("holder", mad="b")
    asked = asyncio.Event()

    async def other() -> str:
        return "inner"

    async def inside() -> None:
        await asked.wait()
        await floor.mailbox("b").run(Priority.BULK, other)
        floor.begun.append("inner done")

    outer = await floor.call("outer", mad="a", inside=inside)
    waiting = await floor.call("waiting", mad="b")
    asked.set()
    await turns()
    await floor.end("holder")
    assert floor.begun == ["holder", "outer", "inner done", "waiting"]
    await floor.end("outer")
    await floor.end("waiting")
    assert [await task for task in (holder, outer, waiting)] == ["holder", "outer", "waiting"]


async def test_a_task_that_outlives_its_call_waits_like_anybody() -> None:
    """What a call began beside itself is no part of it once it has ended: its own calls count against the cap."""
    floor = Floor(1)
    go, begun = asyncio.Event(), list[asyncio.Task[str]]()

    async def later() -> str:
        await go.wait()
        return await (await floor.call("later", mad="b"))

    async def inside() -> None:
        begun.append(asyncio.create_task(later()))

    outer = await floor.call("outer", inside=inside)
    await floor.end("outer")
    assert await outer == "outer"
    holder = await floor.call("holder", mad="c")
    go.set()
    await turns()
    await turns()
    assert floor.begun == ["outer", "holder"]
    await floor.end("holder")
    await floor.end("later")
    assert (await holder, await begun[0]) == ("holder", "later")


async def test_waiting_calls_are_bounded_in_bytes() -> None:
    """More bytes than may wait are refused with a time to come back; one call that is larger alone may wait."""
    floor = Floor(1, max_bytes=100)
    running = await floor.call("running", size=1000)
    waiting = await floor.call("waiting", size=80)
    assert await refused(await floor.call("too much", size=30)) == "mailbox_full"
    fits = await floor.call("fits", size=20)
    for name in ("running", "waiting"):
        await floor.end(name)
    large = await floor.call("large", size=5000)
    await floor.end("fits")
    await floor.end("large")
    assert [await task for task in (running, waiting, fits, large)] == ["running", "waiting", "fits", "large"]


async def test_a_full_mailbox_sheds_bulk_first_where_it_is_told_to() -> None:
    """The newest of the least urgent is turned away for a more urgent call; among equals the newcomer is refused."""
    floor = Floor(1, depth=2, when_full="shed")
    running = await floor.call("running")
    first, second = [await floor.call(name, Priority.BULK) for name in ("first", "second")]
    urgent = await floor.call("urgent")
    assert await refused(second) == "mailbox_full"
    assert await refused(await floor.call("third", Priority.BULK)) == "mailbox_full"
    for name in ("running", "urgent", "first"):
        await floor.end(name)
    assert [await task for task in (running, urgent, first)] == ["running", "urgent", "first"]
    assert floor.mailbox("a").state().refused == 2
