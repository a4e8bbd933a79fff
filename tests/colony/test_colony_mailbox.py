"""The mailbox of a MAD."""

from __future__ import annotations

import asyncio

import pytest

from cenoby.colony.errors import ColonyUnavailable
from cenoby.colony.mailbox import Mailbox
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.envelope import Priority
from cenoby.kernel.settings import MailboxSettings


class Work:
    """Calls that end when told to, and remember the order in which they began."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._gates: dict[str, asyncio.Event] = {}
        self.begun: list[str] = []

    async def send(self, name: str, priority: Priority = Priority.NORMAL) -> asyncio.Task[str]:
        async def work() -> str:
            self.begun.append(name)
            await self._gates[name].wait()
            return name

        self._gates[name] = asyncio.Event()
        task = asyncio.create_task(self._mailbox.run(priority, work))
        await asyncio.sleep(0)
        return task

    async def end(self, name: str) -> None:
        self._gates[name].set()
        for _ in range(5):
            await asyncio.sleep(0)


def make(concurrency: int = 1, depth: int = 10) -> tuple[Work, Mailbox, ManualClock]:
    clock = ManualClock()
    mailbox = Mailbox("echo", MailboxSettings(concurrency=concurrency, depth=depth), clock)
    return Work(mailbox), mailbox, clock


async def test_better_priorities_are_served_first() -> None:
    """Of the calls that wait, system goes before interactive and that before bulk, whatever came first."""
    work, _, _ = make()
    tasks = [await work.send("running")]
    for name, priority in (("bulk", Priority.BULK), ("interactive", Priority.INTERACTIVE), ("system", Priority.SYSTEM)):
        tasks.append(await work.send(name, priority))
    for name in ("running", "system", "interactive", "bulk"):
        await work.end(name)
    assert work.begun == ["running", "system", "interactive", "bulk"]
    await asyncio.gather(*tasks)


async def test_a_lane_that_waited_long_enough_overtakes() -> None:
    """Bulk work that waited ten seconds goes before interactive work that just came."""
    work, _, clock = make()
    tasks = [await work.send("running"), await work.send("old", Priority.BULK)]
    clock.advance(10)
    tasks.append(await work.send("new", Priority.INTERACTIVE))
    for name in ("running", "old", "new"):
        await work.end(name)
    assert work.begun == ["running", "old", "new"]
    await asyncio.gather(*tasks)


async def test_a_full_mailbox_refuses_and_says_when_to_come_back() -> None:
    """With one running and two waiting, the fourth call is refused with a waiting time; the others are served."""
    work, mailbox, _ = make(depth=2)
    tasks = [await work.send(name) for name in ("a", "b", "c")]
    with pytest.raises(ColonyUnavailable) as refused:
        await (await work.send("d"))
    assert refused.value.code == "mailbox_full"
    assert refused.value.retry_after == 1.0
    for name in ("a", "b", "c"):
        await work.end(name)
    assert await asyncio.gather(*tasks) == ["a", "b", "c"]
    assert mailbox.state().refused == 1


async def test_a_caller_that_gives_up_leaves_its_place_to_the_next() -> None:
    """Cancelled waiting calls never run, and no place is lost by them."""
    work, mailbox, _ = make()
    first, second, third = [await work.send(name) for name in ("a", "b", "c")]
    second.cancel()
    await work.end("a")
    await work.end("c")
    assert work.begun == ["a", "c"]
    assert (await first, await third) == ("a", "c")
    assert (mailbox.state().running, mailbox.state().waiting) == (0, 0)


async def test_a_place_handed_to_a_caller_in_the_moment_it_gives_up_is_passed_on() -> None:
    """The race between waking and cancelling leaks no place."""
    work, mailbox, _ = make()
    first, second, third = [await work.send(name) for name in ("a", "b", "c")]
    work._gates["a"].set()
    while not first.done():  # noqa: ASYNC110 - the race is in the turns of the loop
        await asyncio.sleep(0)
    second.cancel()
    await work.end("b")
    await work.end("c")
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert mailbox.state().running == 0
    assert third.result() == "c"


async def test_who_gives_up_in_the_turn_in_which_a_place_is_free_is_passed_over() -> None:
    """A cancellation and the end of a running call in one turn of the loop lose no place and break nothing."""
    mailbox = Mailbox("rogers", MailboxSettings(concurrency=1, depth=8), ManualClock())
    end = asyncio.Event()
    running = asyncio.create_task(mailbox.run(Priority.INTERACTIVE, end.wait))
    await asyncio.sleep(0)
    leaver, stayer = (asyncio.create_task(mailbox.run(Priority.INTERACTIVE, nothing)) for _ in range(2))
    await asyncio.sleep(0)
    end.set()
    leaver.cancel()
    await asyncio.wait((running, leaver, stayer), timeout=30)
    assert leaver.cancelled()
    assert stayer.done()
    assert stayer.exception() is None
    assert (mailbox.state().running, mailbox.state().waiting) == (0, 0)


async def nothing() -> None: ...
