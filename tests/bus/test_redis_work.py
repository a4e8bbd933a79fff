"""Durable work over Redis: what every work queue promises, and what is particular to this one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import redis

from cenoby.bus.connect import connect_work
from cenoby.bus.contract import BusInvalid, BusUnavailable
from cenoby.bus.work import Durability, WorkQueue
from cenoby.kernel.ids import new_id
from tests.bus.redis_server import SHARED, needs_redis, private_redis
from tests.bus.test_work_conformance import *  # noqa: F403 - the whole suite, with the fixtures below
from tests.bus.test_work_conformance import Hands, empty, envelope, numbers, until


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[WorkQueue]:
    work = await connect_work(url)
    assert work is not None
    try:
        yield work
    finally:
        await work.close()


@pytest.fixture
def url() -> Iterator[str]:
    """Names of this test's own at the shared server; work outlasts who puts it, so the test clears it away."""
    prefix = f"test-{new_id()}"
    yield f"{needs_redis()}?prefix={prefix}"
    with redis.Redis.from_url(SHARED) as store:
        for key in store.scan_iter(f"{prefix}:*", count=1000):
            store.delete(key)


@pytest.fixture
def connect(url: str):
    def open_one() -> AbstractAsyncContextManager[WorkQueue]:
        return connected(url)

    return open_one


WORKER = """
import asyncio, sys
from cenoby.bus.connect import connect_work

async def main():
    work = await connect_work(sys.argv[1])
    async def hang(one):
        print("taken", flush=True)
        await asyncio.Event().wait()
    await work.work(sys.argv[2], hang, ack_wait=1.0, max_deliveries=int(sys.argv[3]))
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def hanging_worker(url: str, queue: str, most: int = 5) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process that takes one envelope and never finishes it; killed at the end at the latest."""
    command = [sys.executable, "-c", WORKER, url, queue, str(most)]
    process = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert (await asyncio.to_thread(process.stdout.readline)).strip() == b"taken"
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


async def test_work_of_a_killed_process_goes_to_another(work: WorkQueue, url: str, queue: str) -> None:
    """While the process lives its work is its own, for longer than `ack_wait`; after kill -9 another does it."""
    sent, hands = envelope(queue), Hands()
    await work.put(sent)
    async with hanging_worker(url, queue) as process:
        await work.work(queue, hands, ack_wait=1.0)
        with pytest.raises(TimeoutError):
            await until(lambda: bool(hands.got), seconds=1.6)
        process.kill()
        await empty(work, queue)
    assert hands.got == [sent]


async def test_what_kills_its_worker_is_given_up(work: WorkQueue, url: str, queue: str) -> None:
    """Work that nobody lives to acknowledge is a dead letter after its last try, and says so."""
    sent, hands = envelope(queue), Hands()
    await work.put(sent)
    async with hanging_worker(url, queue, 1) as process:
        process.kill()
        await work.work(queue, hands, ack_wait=1.0, max_deliveries=1)
        await empty(work, queue)
    (letter,) = await work.dead_letters(queue)
    assert (letter.envelope, letter.deliveries, letter.error) == (sent, 1, "Nobody acknowledged it in time.")
    assert hands.got == []


async def test_done_work_is_trimmed_and_the_rest_never(work: WorkQueue, url: str, queue: str) -> None:
    """What is older than the retention goes with the next envelope, unless it is still to be done."""
    root = f"{url.split('prefix=')[1]}:0:work"
    with redis.Redis.from_url(SHARED) as store:
        for name, to_do in ((queue, False), (f"{queue}.kept", True)):
            for position in range(1, 501):
                store.xadd(f"{root}:q:{name}", {"i": "x", "d": "x", "a": "0"}, id=f"{position}-0")
            if to_do:
                store.zadd(f"{root}:open:{name}", {"1-0": 1})
            await work.put(envelope(name))
        assert store.xlen(f"{root}:q:{queue}") <= 101
        assert store.xlen(f"{root}:q:{queue}.kept") == 501


async def test_a_queue_without_work_vanishes_after_the_retention(work: WorkQueue, url: str, queue: str) -> None:
    """Once all is done every key expires by itself, and new work makes the queue stay again."""
    hands, prefix = Hands(), url.split("prefix=")[1]
    await work.put(envelope(queue))
    worker = await work.work(queue, hands)
    await empty(work, queue)
    await worker.close()
    with redis.Redis.from_url(SHARED) as store:
        left = list(store.scan_iter(f"{prefix}:*"))
        assert left and all(0 < store.ttl(key) <= 24 * 3600 for key in left)
        await work.put(envelope(queue))
        assert store.ttl(f"{prefix}:0:work:q:{queue}") == -1


async def test_positions_increase_though_a_clock_was_set_back(work: WorkQueue, url: str, queue: str) -> None:
    """What is put after an entry from the future has a later position, and is replayed from there."""
    root, future = f"{url.split('prefix=')[1]}:0:work", 2**52
    first, second = envelope(queue, 1), envelope(queue, 2)
    with redis.Redis.from_url(SHARED) as store:
        store.xadd(f"{root}:q:{queue}", {"i": "x", "d": "x", "a": "0"}, id=f"{future}-0")
    await work.put(first)
    await work.put(second)
    found = [one async for one in work.replay(queue, after=future)]
    assert found == [(future + 1, first), (future + 2, second)]


async def test_workers_are_told_once_until_one_looks(work: WorkQueue, url: str, queue: str) -> None:
    """A burst names its queue on the channel once, not once for each envelope; after a look the next one does again."""
    channel = f"{url.rpartition('=')[2]}:0:work:nudge"
    with redis.Redis.from_url(SHARED) as store, store.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(channel)
        listener.get_message(timeout=5)

        def told() -> int:
            return len([one for one in iter(lambda: listener.get_message(timeout=0.2), None) if one])

        for number in range(100):
            await work.put(envelope(queue, number))
        assert 1 <= told() < 10  # once a second where nobody looks
        hands = Hands()
        await work.work(queue, hands, concurrency=200)
        await until(lambda: len(hands.got) == 100)
        await work.put(envelope(queue, 100))
        assert told() >= 1
        await until(lambda: len(hands.got) == 101)


async def test_dead_consumers_are_forgotten(work: WorkQueue, url: str, queue: str) -> None:
    """A closed worker leaves no consumer in the group."""
    await work.put(envelope(queue))
    worker = await work.work(queue, Hands())
    await empty(work, queue)
    key = f"{url.split('prefix=')[1]}:0:work:q:{queue}"
    with redis.Redis.from_url(SHARED) as store:
        assert len(store.xinfo_consumers(key, "w")) == 1
        await worker.close()
        assert store.xinfo_consumers(key, "w") == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--appendonly yes --appendfsync always", Durability.FSYNCED),
        ("--appendonly yes --appendfsync always --no-appendfsync-on-rewrite yes", Durability.FLUSHED_LATER),
        ("--appendonly yes --appendfsync everysec", Durability.FLUSHED_LATER),
        ("--appendonly no --appendfsync always", Durability.UNKNOWN),
        ("--appendonly yes --appendfsync always --user default on nopass ~* &* +@all -config", Durability.UNKNOWN),
    ],
)
async def test_durability_is_what_the_server_is_configured_for(
    tmp_path: Path, options: str, expected: Durability
) -> None:
    """Only a server that flushes before it answers, and lets us see it, makes work safe from a power cut."""
    with private_redis(tmp_path, *options.split()) as server:
        async with connected(server.url) as work:
            assert work.durability == expected


async def reachable(work: WorkQueue, queue: str) -> bool:
    try:
        await work.depth(queue)
    except BusUnavailable as error:
        assert error.retry_after
        return False
    return True


async def test_work_outlasts_a_killed_server(tmp_path: Path, queue: str) -> None:
    """With appendfsync always, what was acknowledged is done once the server is back, and what was done stays done."""
    hands, done = Hands(), Hands()
    with private_redis(tmp_path, *["--appendonly", "yes", "--appendfsync", "always"]) as server:
        async with connected(server.url) as work, connected(server.url) as other:
            await work.work(f"{queue}.done", done)
            await work.put(envelope(f"{queue}.done", 1))
            await empty(work, f"{queue}.done")
            await work.put(envelope(queue, 0))
            hands.open.clear()
            await other.work(queue, hands, ack_wait=30)
            await until(lambda: hands.running == 1)
            sent = [envelope(queue, number) for number in range(1, 50)]
            for one in sent:
                assert await work.put(one)
            server.kill()
            with pytest.raises(BusUnavailable) as lost:
                async with asyncio.timeout(10):
                    while True:
                        await work.put(sent[0])
            assert lost.value.code == "bus_disconnected"
            # It ends while the server is away; that is told when it is back.
            hands.open.set()
            server.start()
            await until(lambda: reachable(work, queue))
            await empty(work, queue)
            assert not await work.put(sent[0])
            assert await work.depth(f"{queue}.done") == 0
    assert numbers(hands.got) == list(range(50))
    assert len(done.got) == 1


async def test_work_goes_on_over_broken_connections(tmp_path: Path, queue: str) -> None:
    """While every connection is cut again and again, all that was put is done and each id is queued once."""
    hands = Hands()
    with private_redis(tmp_path) as server, redis.Redis.from_url(server.url) as control:
        async with connected(server.url) as work, connected(server.url) as other:
            await other.work(queue, hands, concurrency=8)
            for number in range(300):
                if number % 50 == 25:
                    for kind in ("normal", "pubsub"):
                        control.client_kill_filter(_type=kind, skipme=True)
                one = envelope(queue, number)
                while True:
                    try:
                        await work.put(one)
                        break
                    except BusUnavailable:
                        await asyncio.sleep(0.01)
            await empty(work, queue)
            assert len([one async for one in work.replay(queue)]) == 300
    assert set(numbers(hands.got)) == set(range(300))


async def test_work_needs_no_more_rights_than_the_bus(tmp_path: Path, queue: str) -> None:
    """The rights that the bus needs are enough, also without being told how durable it is; fewer are refused."""
    rights = "~cenoby:* &cenoby:* +@read +@write +@pubsub +@scripting +@connection +@stream +time"
    users = f"--user colony on >secret1 {rights} --user reader on >secret2 {rights} -@write"
    hands = Hands(failures=1)
    with private_redis(tmp_path, *users.split()) as server:
        async with connected(server.url.replace("//", "//colony:secret1@")) as work:
            assert work.durability == Durability.UNKNOWN
            await work.work(queue, hands)
            await work.put(envelope(queue))
            await empty(work, queue)
            assert len(hands.got) == 2
        async with connected(server.url.replace("//", "//reader:secret2@")) as work:
            with pytest.raises(BusInvalid) as refused:
                await work.put(envelope(queue))
            assert refused.value.code == "bus_refused"


async def test_a_server_without_room_makes_putting_unavailable(tmp_path: Path, queue: str) -> None:
    """A server that is out of memory says so at once and loses nothing that it has."""
    with private_redis(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as server:
        async with connected(server.url) as work:
            with pytest.raises(BusUnavailable) as full:
                for number in range(10_000):
                    await work.put(envelope(f"{queue}.{'x' * 2000}", number))
            assert full.value.code == "bus_disconnected"
            assert full.value.retry_after
            assert await work.depth(f"{queue}.{'x' * 2000}") > 0
