"""What every work queue promises; a new one joins by its name in `WORK_QUEUES`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from cenoby.bus.contract import BusInvalid, BusUnavailable
from cenoby.bus.work import Durability, WorkQueue
from cenoby.colony.outbox_queue import OutboxQueue
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.outbox import Outbox

Connect = Callable[[], AbstractAsyncContextManager[WorkQueue]]
"""Opens one more process's view of the same queues."""


@asynccontextmanager
async def outbox(store: Engine) -> AsyncIterator[WorkQueue]:
    """The store's outbox; a second one on the same database stands for a second process."""
    database = await Database.open(store, clock=SystemClock())
    work = OutboxQueue(Outbox(database, SystemClock()), SystemClock())
    try:
        yield work
    finally:
        await work.close()
        await database.close()


WORK_QUEUES: dict[str, Callable[[Engine], AbstractAsyncContextManager[WorkQueue]]] = {"outbox": outbox}


@pytest.fixture(params=WORK_QUEUES)
def connect(request: pytest.FixtureRequest, store: Engine) -> Connect:
    return lambda: WORK_QUEUES[request.param](store)


@pytest.fixture
async def work(connect: Connect) -> AsyncIterator[WorkQueue]:
    async with connect() as queue:
        yield queue


@pytest.fixture
def queue() -> str:
    """A queue that no other test and no earlier run uses."""
    return f"test{new_id()}.work.reports"


def envelope(queue: str, number: int = 0, *, sender: str = "ada") -> Envelope:
    return Envelope(
        id=new_id(),
        tenant="default",
        correlation="c1",
        sender=sender,
        recipient=queue,
        event="report_wanted.v1",
        payload={"number": number},
    )


def numbers(found: list[Envelope]) -> list[int]:
    return [one.payload["number"] for one in found]


class Hands:
    """A handler that remembers, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.got: list[Envelope] = []
        self.failures = failures
        self.most = 0
        self.running = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, one: Envelope) -> None:
        self.got.append(one)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not today")


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


async def empty(work: WorkQueue, queue: str) -> None:
    async def is_empty() -> bool:
        return await work.depth(queue) == 0

    await until(is_empty)


async def test_work_is_done_once_and_in_order(work: WorkQueue, queue: str) -> None:
    """What is put before and after a worker comes reaches it once each, of one sender in the order of putting."""
    hands = Hands()
    for number in range(10):
        assert await work.put(envelope(queue, number))
    assert await work.depth(queue) == 10
    await work.work(queue, hands)
    for number in range(10, 20):
        assert await work.put(envelope(queue, number))
    await empty(work, queue)
    assert numbers(hands.got) == list(range(20))


async def test_an_envelope_comes_as_it_was_put(work: WorkQueue, queue: str) -> None:
    """All fields arrive; the payload in its plain form."""
    hands, sent = Hands(), envelope(queue, 7)
    await work.put(sent)
    await work.work(queue, hands)
    await empty(work, queue)
    assert hands.got == [sent]


async def test_the_same_id_is_queued_once(work: WorkQueue, queue: str) -> None:
    """A second putting, while it waits or once it is done, says so and queues nothing."""
    hands, sent = Hands(), envelope(queue)
    assert await work.put(sent)
    assert not await work.put(sent)
    await work.work(queue, hands)
    await empty(work, queue)
    assert not await work.put(sent)
    marker = envelope(queue, 1)
    assert await work.put(marker)
    await empty(work, queue)
    assert hands.got == [sent, marker]


async def test_queues_do_not_mix(work: WorkQueue, queue: str) -> None:
    """Work of one queue reaches no worker of another."""
    here, there = Hands(), Hands()
    await work.work(queue, here)
    await work.work(f"{queue}.other", there)
    await work.put(envelope(queue, 1))
    await work.put(envelope(f"{queue}.other", 2))
    await empty(work, queue)
    await empty(work, f"{queue}.other")
    assert (numbers(here.got), numbers(there.got)) == ([1], [2])


async def test_what_fails_is_tried_again(work: WorkQueue, queue: str) -> None:
    """A handler that raises gets the same envelope again until it returns."""
    hands, sent = Hands(failures=2), envelope(queue)
    await work.work(queue, hands)
    await work.put(sent)
    await empty(work, queue)
    assert hands.got == [sent] * 3
    assert await work.dead_letters(queue) == []


async def test_what_always_fails_becomes_a_dead_letter(work: WorkQueue, queue: str) -> None:
    """After so many tries it is put aside with its error; what comes after it is done."""
    hands, poison, sound = Hands(failures=3), envelope(queue, 1), envelope(queue, 2)
    await work.work(queue, hands, max_deliveries=3)
    await work.put(poison)
    await empty(work, queue)
    await work.put(sound)
    await empty(work, queue)
    assert hands.got == [poison] * 3 + [sound]
    (letter,) = await work.dead_letters(queue)
    assert (letter.id, letter.queue, letter.envelope, letter.deliveries) == (poison.id, queue, poison, 3)
    assert "RuntimeError: not today" in letter.error
    assert "Traceback" in letter.error
    assert letter.died_ns > 0
    assert letter in await work.dead_letters()


async def test_dead_letters_are_retried_or_dropped(work: WorkQueue, queue: str) -> None:
    """A retried letter gets all its tries again; a dropped one is gone; each only once."""
    hands = Hands(failures=4)
    worker = await work.work(queue, hands, max_deliveries=2)
    first, second = envelope(queue, 1), envelope(queue, 2)
    for one in (first, second):
        await work.put(one)
        await empty(work, queue)
    assert {one.id for one in await work.dead_letters(queue)} == {first.id, second.id}
    assert await work.retry(first.id)
    await empty(work, queue)
    assert hands.got[-1] == first
    assert await work.drop(second.id)
    assert not await work.drop(second.id)
    assert not await work.retry(second.id)
    assert not await work.retry(first.id)
    assert await work.dead_letters(queue) == []
    await worker.close()


async def test_a_worker_takes_only_what_it_can_hold(work: WorkQueue, queue: str) -> None:
    """With concurrency two, two run at once and never more, and the rest stays for others."""
    hands = Hands()
    hands.open.clear()
    for number in range(6):
        await work.put(envelope(queue, number))
    worker = await work.work(queue, hands, concurrency=2)
    await until(lambda: hands.running == 2)
    assert worker.running == 2
    other = Hands()
    await work.work(queue, other)
    await until(lambda: len(other.got) == 4)
    hands.open.set()
    await empty(work, queue)
    assert hands.most == 2
    assert sorted(numbers(hands.got + other.got)) == list(range(6))


async def test_long_work_stays_with_its_worker(work: WorkQueue, queue: str) -> None:
    """While its process lives, work that takes several times `ack_wait` is given to nobody else."""
    hands, other = Hands(), Hands()
    hands.open.clear()
    await work.work(queue, hands, ack_wait=0.6)
    await work.put(envelope(queue))
    await until(lambda: hands.running == 1)
    await work.work(queue, other, ack_wait=0.6)
    await asyncio.sleep(2.0)
    assert other.got == []
    hands.open.set()
    await empty(work, queue)
    assert len(hands.got) == 1


async def test_what_a_stopped_worker_held_goes_to_another(connect: Connect, queue: str) -> None:
    """Work in the hands of a worker that is closed before it is done is done by one in another process."""
    hands, other = Hands(), Hands()
    hands.open.clear()
    async with connect() as second:
        async with connect() as first:
            await first.put(envelope(queue, 5))
            await first.work(queue, hands, ack_wait=1.0)
            await until(lambda: hands.running == 1)
            await second.work(queue, other, ack_wait=1.0)
        await until(lambda: bool(other.got))
        await empty(second, queue)
    assert numbers(other.got) == [5]


async def test_work_outlasts_who_put_it(connect: Connect, queue: str) -> None:
    """What was acknowledged is there for a process that starts after the other one ended."""
    sent = envelope(queue, 3)
    async with connect() as first:
        await first.put(sent)
    hands = Hands()
    async with connect() as second:
        assert not await second.put(sent)
        await second.work(queue, hands)
        await empty(second, queue)
    assert hands.got == [sent]


async def test_two_processes_share_a_queue(connect: Connect, queue: str) -> None:
    """Each envelope is done by one of them, and both have work."""
    async with connect() as first, connect() as second:
        here, there = Hands(), Hands()
        here.open.clear()
        there.open.clear()
        await first.work(queue, here)
        await second.work(queue, there)
        for number in range(40):
            await first.put(envelope(queue, number))
        await until(lambda: here.running == 1 and there.running == 1)
        here.open.set()
        there.open.set()
        await empty(first, queue)
    assert sorted(numbers(here.got + there.got)) == list(range(40))
    assert here.got
    assert there.got


async def test_history_is_replayed_without_being_acknowledged(work: WorkQueue, queue: str) -> None:
    """All that was put, done or not, comes in order from any position on, and what was to be done stays so."""
    sent = [envelope(queue, number) for number in range(5)]
    hands = Hands()
    for one in sent[:3]:
        await work.put(one)
    worker = await work.work(queue, hands)
    await empty(work, queue)
    await worker.close()
    for one in sent[3:]:
        await work.put(one)
    found = [one async for one in work.replay(queue)]
    assert [one for _, one in found] == sent
    positions = [position for position, _ in found]
    assert positions == sorted(set(positions))
    assert [one async for one in work.replay(queue, after=positions[2])] == found[3:]
    assert [one async for one in work.replay(queue, after=positions[-1])] == []
    assert await work.depth(queue) == 2


async def test_what_cannot_be_put_is_refused(work: WorkQueue, queue: str) -> None:
    """A pattern is no queue, and a payload without plain form cannot leave the process."""
    with pytest.raises(BusInvalid):
        await work.put(envelope(f"{queue}.*"))
    with pytest.raises(BusInvalid):
        await work.work(f"{queue}.>", Hands())
    with pytest.raises(BusInvalid) as refused:
        await work.put(
            Envelope(id=new_id(), tenant="", correlation="", sender="", recipient=queue, event="x.v1", payload=object())
        )
    assert refused.value.code == "bus_payload_invalid"


async def test_a_closed_work_queue_says_so(connect: Connect, queue: str) -> None:
    """After `close`, everything raises bus_closed, and closing again is fine."""
    async with connect() as work:
        assert work.durability in Durability
        await work.close()
        for refused in (work.put(envelope(queue)), work.work(queue, Hands()), work.depth(queue)):
            with pytest.raises(BusUnavailable) as closed:
                await refused
            assert closed.value.code == "bus_closed"
        await work.close()
