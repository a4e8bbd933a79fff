"""Durable work over JetStream: the conformance suite of work queues, and what only a broker of one's own can show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import nats
import pytest

from cenoby.bus.connect import connect_work
from cenoby.bus.contract import BusInvalid, BusUnavailable
from cenoby.bus.nats_jetstream import judge
from cenoby.bus.work import Durability, WorkQueue
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id
from tests.bus import test_work_conformance as conformance
from tests.bus.nats_server import PrivateNats, needs_nats, private_nats
from tests.bus.test_work_conformance import Connect, Hands, empty, envelope, numbers, until

queue = conformance.queue
work = conformance.work
# The suite's own tests, run here against JetStream by the fixture `connect` below.
globals().update({name: found for name, found in vars(conformance).items() if name.startswith("test_")})


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[WorkQueue]:
    found = await connect_work(url)
    assert found is not None
    try:
        yield found
    finally:
        await found.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connections to the shared server, with streams of this test's own."""
    url, prefix = needs_nats(), f"test-{new_id()}"

    def one() -> AbstractAsyncContextManager[WorkQueue]:
        return connected(f"{url}?prefix={prefix}")

    yield one
    client = await nats.connect(url)
    for name in ("work", "dead"):
        await client.request(f"$JS.API.STREAM.DELETE.{prefix}_{name}", timeout=5)
    await client.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateNats]:
    with private_nats(tmp_path) as running:
        yield running


async def put(work: WorkQueue, one: Envelope) -> bool:
    """Put it again until the broker says that it has it."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await work.put(one)
            except BusUnavailable as error:
                assert error.retry_after
                await asyncio.sleep(0.02)


async def test_nothing_is_lost_when_the_broker_is_killed(server: PrivateNats, queue: str) -> None:
    """While the broker is killed and restarted twice under load, all that was put is done."""
    hands = Hands()
    async with connected(server.url) as putting, connected(server.url) as working:
        await working.work(queue, hands, concurrency=4, ack_wait=1.0)

        async def put_all(first: int) -> None:
            for number in range(first, first + 200):
                await put(putting, envelope(queue, number))

        putters = [asyncio.create_task(put_all(first)) for first in (0, 1000)]
        for share in (50, 150):
            await until(lambda share=share: len(hands.got) > share)
            server.kill()
            server.start()
        await asyncio.gather(*putters)
        wanted = {*range(200), *range(1000, 1200)}
        await until(lambda: set(numbers(hands.got)) >= wanted)

        async def done() -> bool:
            try:
                return await putting.depth(queue) == 0
            except BusUnavailable:
                return False

        await until(done)
        assert set(numbers(hands.got)) == wanted
        assert await putting.dead_letters() == []


async def test_an_idle_worker_hears_of_work_after_a_restart(server: PrivateNats, queue: str) -> None:
    """A worker that waited while the broker went away gets what is put later, at once."""
    hands = Hands()
    async with connected(server.url) as here:
        await here.work(queue, hands)
        server.kill()
        server.start()
        await put(here, envelope(queue, 7))
        await until(lambda: numbers(hands.got) == [7], seconds=10)


async def test_work_that_kills_its_worker_becomes_a_dead_letter(server: PrivateNats, queue: str) -> None:
    """A delivery that nobody ever answers for counts as a try."""
    async with connected(server.url) as here:
        sent = envelope(queue, 1)
        await here.put(sent)
        idle = await here.work(queue, Hands(), ack_wait=0.3, max_deliveries=2)
        await empty(here, queue)
        await idle.close()
        poison = envelope(queue, 2)
        await here.put(poison)
        stranger = await nats.connect(server.url)
        consumers = await stranger.jetstream().consumers_info("cenoby_work")
        pulled = await stranger.subscribe("taken.>")
        for number in range(2):
            # Takes it and is never heard of again.
            await stranger.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.cenoby_work.{consumers[0].name}", b'{"batch": 1}', reply=f"taken.{number}"
            )
            assert (await pulled.next_msg(timeout=5)).data
        hands = Hands()
        await here.work(queue, hands, ack_wait=0.3, max_deliveries=2)
        await empty(here, queue)
        (letter,) = await here.dead_letters(queue)
        assert (letter.id, letter.deliveries, hands.got) == (poison.id, 2, [])
        assert "Nobody acknowledged it" in letter.error
        await stranger.close()


async def test_bytes_that_are_no_envelope_are_put_away(server: PrivateNats, queue: str) -> None:
    """What a stranger puts into a queue of ours is logged, and the next envelope is done."""
    async with connected(server.url) as here:
        stranger = await nats.connect(server.url)
        await stranger.jetstream().publish(f"cenoby.w.{queue}", b"\xc1 nonsense")
        hands = Hands()
        await here.put(envelope(queue, 1))
        await here.work(queue, hands)
        await empty(here, queue)
        assert numbers(hands.got) == [1]
        await stranger.close()


async def test_replay_of_more_than_one_batch(server: PrivateNats, queue: str) -> None:
    """A long history comes whole and in order, from the position that was asked for, and leaves no reader behind."""
    async with connected(server.url) as here:
        for number in range(600):
            await here.put(envelope(queue, number))
        found = [pair async for pair in here.replay(queue)]
        assert numbers([one for _, one in found]) == list(range(600))
        later = [pair async for pair in here.replay(queue, after=found[299][0])]
        assert numbers([one for _, one in later]) == list(range(300, 600))
        async for _ in here.replay(queue):
            break
        stranger = await nats.connect(server.url)

        async def none_left() -> bool:
            return not await stranger.jetstream().consumers_info("cenoby_work")

        await until(none_left)
        await stranger.close()


async def test_many_dead_letters_newest_first(server: PrivateNats, queue: str) -> None:
    """The newest come first, and no more than were asked for."""
    hands = Hands(failures=5)
    async with connected(server.url) as here:
        await here.work(queue, hands, max_deliveries=1)
        for number in range(5):
            await here.put(envelope(queue, number))
        await empty(here, queue)
        assert [one.envelope.payload["number"] for one in await here.dead_letters(limit=3)] == [4, 3, 2]
        assert await here.dead_letters("nobody.there") == []


async def test_an_outage_is_said(server: PrivateNats, queue: str) -> None:
    """Without the broker `put` ends in bounded time and says when to try again; a payload too large is refused."""
    async with connected(server.url) as here:
        with pytest.raises(BusInvalid) as caught:
            await here.put(msgspec.structs.replace(envelope(queue), payload=b"x" * 1_040_000))
        assert caught.value.code == "bus_payload_invalid"
        server.kill()
        async with asyncio.timeout(10):
            with pytest.raises(BusUnavailable) as gone:
                await here.put(envelope(queue))
        assert gone.value.code in ("bus_disconnected", "bus_deadline")
        assert gone.value.retry_after


async def test_a_server_without_jetstream_is_refused(tmp_path: Path) -> None:
    """Durable work does not pretend."""
    with private_nats(tmp_path, jetstream=False) as server, pytest.raises(BusInvalid, match="JetStream") as caught:
        await connect_work(server.url)
    assert caught.value.code == "bus_url_invalid"


async def test_durability_is_what_the_server_says(server: PrivateNats) -> None:
    """A 2.9 server cannot sync before it acknowledges; one that says it does is believed."""
    async with connected(server.url) as here:
        assert here.durability is Durability.FLUSHED_LATER
    stranger = await nats.connect(server.url)

    async def settings(asked: nats.aio.msg.Msg) -> None:
        await asked.respond(b'{"data": {"config": {"sync_always": true}}}')

    # Stands for the system account of a newer server.
    await stranger.subscribe("$SYS.REQ.SERVER.*.JSZ", cb=settings)
    await stranger.flush()
    async with connected(server.url) as here:
        assert here.durability is Durability.FSYNCED
    await stranger.close()


@pytest.mark.parametrize(
    ("version", "told", "clustered", "expected"),
    [
        ("2.9.10", None, False, Durability.FLUSHED_LATER),
        ("2.10.0", None, False, Durability.UNKNOWN),
        ("2.11.4-beta.1", {"data": {"config": {"sync_interval": 120_000_000_000}}}, False, Durability.FLUSHED_LATER),
        ("2.11.4", {"data": {"config": {"sync_always": True}}}, False, Durability.FSYNCED),
        ("2.11.4", {"data": {"config": {"sync_always": True}}}, True, Durability.UNKNOWN),
        ("2.11.4", {"error": {"code": 403}}, False, Durability.UNKNOWN),
        ("", None, False, Durability.UNKNOWN),
        ("2.10.1", [], False, Durability.UNKNOWN),
    ],
)
def test_durability(version: str, told: object, clustered: bool, expected: Durability) -> None:
    """Only a server's own word, of one that is alone, makes it `fsynced`."""
    assert judge(version, told, clustered=clustered) is expected
