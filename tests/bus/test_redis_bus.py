"""What is particular to the bus over Redis: several connections, crashed members, and what stays behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis

from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import BusUnavailable, MessageBus, check_subject, matches
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id
from cenoby.telemetry.recorder import Recorder
from tests.bus.redis_server import SHARED, needs_redis


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[MessageBus]:
    bus = await connect_bus(url)
    try:
        yield bus
    finally:
        await bus.close()


def envelope(recipient: str, payload: Any = None, *, seconds: float = 0) -> Envelope:
    deadline = SystemClock().now_ns() + round(seconds * 1e9) if seconds else 0
    return Envelope(
        id=new_id(), tenant="default", correlation="c1", sender="tester", recipient=recipient, event="greeting.v1",
        payload=payload, deadline_ns=deadline,
    )  # fmt: skip


async def echo(one: Envelope) -> Any:
    return one.payload


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - a broker has no event to wait for
            await asyncio.sleep(0.01)


def answers(bus: MessageBus, recipient: str) -> Callable[[], Awaitable[bool]]:
    """Whether a request to `recipient` is answered now; it may only fail as unavailable."""

    async def ask() -> bool:
        try:
            return await bus.request(envelope(recipient, "x", seconds=30)) == "x"
        except BusUnavailable as error:
            assert error.retry_after
            return False

    return ask


async def test_two_processes_worth_of_connections() -> None:
    """What one bus publishes or asks reaches the other's subscriptions, and only with the same prefix."""
    url = f"{needs_redis()}?prefix=test-{new_id()}"
    inbox = asyncio.Queue[Envelope]()

    async def collect(one: Envelope) -> None:
        inbox.put_nowait(one)

    async with connected(url) as here, connected(url) as there, connected(f"{SHARED}?prefix=other") as stranger:
        await there.subscribe("main.*.news", collect)
        await there.subscribe("main.mad.echo", echo, group="echo")
        sent = envelope("main.default.news", {"n": 1})
        await stranger.publish(sent)
        await here.publish(sent)
        assert await here.request(envelope("main.mad.echo", [1, 2], seconds=30)) == [1, 2]
        assert await asyncio.wait_for(inbox.get(), 30) == sent
        assert inbox.empty()
        with pytest.raises(BusUnavailable) as nobody:
            await stranger.request(envelope("main.mad.echo", seconds=30))
        assert nobody.value.code == "bus_no_responder"


async def test_group_is_shared_between_connections() -> None:
    """Each envelope for a group with members on two connections is delivered once, in order at each."""
    url = f"{needs_redis()}?prefix=test-{new_id()}"
    got: dict[str, list[int]] = {"a": [], "b": []}

    def member(name: str) -> Callable[[Envelope], Awaitable[None]]:
        async def collect(one: Envelope) -> None:
            got[name].append(one.payload)

        return collect

    async def complete() -> bool:
        return len(got["a"]) + len(got["b"]) >= 300

    async with connected(url) as first, connected(url) as second, connected(url) as sender:
        await first.subscribe("main.>", member("a"), group="g")
        await second.subscribe("main.>", member("b"), group="g")
        for number in range(300):
            await sender.publish(envelope("main.work", number))
        await until(complete)
    assert sorted(got["a"] + got["b"]) == list(range(300))
    assert all(found and found == sorted(found) for found in got.values())


PATTERNS = ["a", "*", ">", "a.b", "a.*", "*.b", "a.>", "*.>", "a.*.>", "*.*.a", "a.?", "a.[ab]", "a\\b.>"]
SUBJECTS = ["a", "b", "a.b", "a.a", "b.b", "a.a.a", "b.b.a", "a.b.a.b", "a.?", "a.[ab]", "a\\b.x", "ab.x"]


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_patterns_mean_the_same_everywhere(pattern: str) -> None:
    """Redis's globs and our Lua cover exactly the subjects that the contract's `matches` covers."""
    heard: set[str] = set()
    shared: set[str] = set()
    answered: set[str] = set()
    names, last = check_subject(pattern, pattern=True), "the.last.of.all.these"
    expected = {one for one in [*SUBJECTS, last] if matches(names, tuple(one.split(".")))}
    done = asyncio.Event()

    async def listen(one: Envelope) -> None:
        heard.add(one.recipient)

    async def answer(one: Envelope) -> None:
        (shared if one.payload == "published" else answered).add(one.recipient)

    async def finish(_: Envelope) -> None:
        done.set()

    async with connected(f"{needs_redis()}?prefix=test-{new_id()}") as bus:
        await bus.subscribe(pattern, listen)
        await bus.subscribe(pattern, answer, group="g")
        await bus.subscribe(last, finish)
        for recipient in SUBJECTS:
            await bus.publish(envelope(recipient, "published"))
            try:
                await bus.request(envelope(recipient, "asked", seconds=30))
            except BusUnavailable as error:
                assert error.code == "bus_no_responder"
        await bus.publish(envelope(last, "published"))
        await asyncio.wait_for(done.wait(), 30)

        async def complete() -> bool:
            return shared >= expected and heard >= expected

        await until(complete)
    assert answered == expected - {last}
    assert shared == expected
    assert heard == expected


async def test_nothing_stays_behind() -> None:
    """A closed bus leaves no key in Redis, whatever its subscriptions and requests were."""
    prefix = f"test-{new_id()}"
    store = redis.Redis.from_url(needs_redis())
    async with connected(f"{SHARED}?prefix={prefix}") as bus:
        kept = await bus.subscribe("main.*.x", echo, group="g")
        await bus.subscribe("main.y", echo, group="g")
        await bus.request(envelope("main.y", seconds=30))
        await bus.publish(envelope("main.a.x"))
        await kept.close()
        assert not list(store.scan_iter(f"{prefix}:*wild*"))
        assert list(store.scan_iter(f"{prefix}:*"))
        assert all(0 < store.pttl(key) <= 16_000 for key in store.scan_iter(f"{prefix}:*"))
    assert not list(store.scan_iter(f"{prefix}:*"))
    store.close()


async def test_what_came_for_a_group_that_is_gone_is_not_kept() -> None:
    """A member that comes after the last one left gets nothing of what was published between."""
    url = f"{needs_redis()}?prefix=test-{new_id()}"
    got: list[Any] = []

    async def collect(one: Envelope) -> None:
        got.append(one.payload)

    async def arrived() -> bool:
        return bool(got)

    async with connected(url) as bus:
        for payload in ("before", "after"):
            await bus.publish(envelope("main.job", payload))
            member = await bus.subscribe("main.job", collect, group="g")
            if payload == "after":
                await bus.publish(envelope("main.job", "now"))
                await until(arrived)
            await member.close()
    assert got == ["now"]


RESPONDER = """
import asyncio, sys
from cenoby.bus.connect import connect_bus

async def main():
    bus = await connect_bus(sys.argv[1])
    async def answer(one):
        return one.payload
    await bus.subscribe("main.mad.x", answer, group="x")
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_crashed_responder_is_known_within_seconds() -> None:
    """After kill -9 of the one responder, requests are soon refused as unanswered; its keys expire by themselves."""
    prefix = f"test-{new_id()}"
    url = f"{needs_redis()}?prefix={prefix}"
    process = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-c", RESPONDER, url], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert (await asyncio.to_thread(process.stdout.readline)).strip() == b"ready"
        async with connected(url) as bus:
            assert await bus.request(envelope("main.mad.x", 7, seconds=30)) == 7
            os.kill(process.pid, signal.SIGKILL)

            async def refused() -> bool:
                with pytest.raises(BusUnavailable) as caught:
                    await bus.request(envelope("main.mad.x", seconds=0.2))
                return caught.value.code == "bus_no_responder"

            await until(refused, seconds=6)
        with redis.Redis.from_url(SHARED) as store:
            left = list(store.scan_iter(f"{prefix}:*"))
            assert all(0 < store.pttl(key) <= 16_000 for key in left)
            store.delete("none", *left)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


async def test_answer_that_no_wire_carries() -> None:
    """An answer without plain form comes back as the responder's mistake."""

    async def odd(_: Envelope) -> object:
        return object()

    async with connected(f"{needs_redis()}?prefix=test-{new_id()}") as bus:
        await bus.subscribe("main.odd", odd, group="o")
        with pytest.raises(Exception, match="cannot leave the process") as caught:
            await bus.request(envelope("main.odd", seconds=30))
        assert getattr(caught.value, "code", "") == "bus_payload_invalid"


async def test_what_others_publish_there_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no envelope are logged, and the next envelope is delivered."""
    prefix, got = f"test-{new_id()}", asyncio.Queue[Envelope]()

    async def collect(one: Envelope) -> None:
        got.put_nowait(one)

    async with connected(f"{needs_redis()}?prefix={prefix}") as bus:
        await bus.subscribe("main.x", collect)
        with redis.Redis.from_url(SHARED) as store, caplog.at_level(logging.ERROR):
            store.publish(f"{prefix}:0:bus:s:main.x", b"\xc1 rubbish")
        await bus.publish(envelope("main.x", 1))
        assert (await asyncio.wait_for(got.get(), 30)).payload == 1
    assert "bus handler failed" in caplog.text


async def test_close_waits_for_handlers_under_way() -> None:
    """A handler and an answer that have begun may finish."""
    begun, done = asyncio.Semaphore(0), []

    async def slow(one: Envelope) -> str:
        begun.release()
        await asyncio.sleep(0.2)
        done.append(one.recipient)
        return "late"

    url = f"{needs_redis()}?prefix=test-{new_id()}"
    async with connected(url) as caller:
        async with connected(url) as bus:
            await bus.subscribe("main.a", slow)
            await bus.subscribe("main.b", slow, group="g")
            await caller.publish(envelope("main.a"))
            asking = asyncio.create_task(caller.request(envelope("main.b", seconds=30)))
            for _ in range(2):
                await asyncio.wait_for(begun.acquire(), 30)
        assert sorted(done) == ["main.a", "main.b"]
        assert await asking == "late"


async def test_deliveries_are_recorded() -> None:
    """A published envelope leaves spans for its wait and its handling, under its correlation."""
    recorder, handled = Recorder(10), asyncio.Event()

    async def note(_: Envelope) -> None:
        handled.set()

    url = f"{needs_redis()}?prefix=test-{new_id()}"
    bus = await connect_bus(url, trace=recorder.record)
    await bus.subscribe("main.x", note)
    await bus.publish(envelope("main.x"))
    await asyncio.wait_for(handled.wait(), 30)
    await bus.close()
    assert sorted(span.name for span in recorder.spans("c1")) == ["bus main.x", "handle", "wait"]
