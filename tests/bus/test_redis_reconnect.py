"""The bus over Redis when connections break: latency or `bus_disconnected`, and afterwards all is as before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import BusUnavailable
from cenoby.kernel.envelope import Envelope
from tests.bus.redis_server import PrivateRedis, private_redis
from tests.bus.test_redis_bus import answers, connected, echo, envelope, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    with private_redis(tmp_path) as running:
        yield running


async def test_everything_goes_on_after_the_server_was_killed(
    server: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Subscriptions of every kind work again on a server that came back empty; meanwhile calls are unavailable."""
    got = asyncio.Queue[str]()

    async def collect(one: Envelope) -> None:
        got.put_nowait(f"{one.recipient} {one.payload}")

    async with connected(server.url) as bus, connected(server.url) as other:
        await other.subscribe("main.plain", collect)
        await other.subscribe("main.*.pattern", collect)
        await other.subscribe("main.group", collect, group="g")
        await other.subscribe("main.echo", echo, group="e")
        assert await bus.request(envelope("main.echo", "x", seconds=30)) == "x"
        server.kill()

        async def unreachable() -> bool:
            try:
                await bus.publish(envelope("main.plain"))
            except BusUnavailable as error:
                assert (error.code, error.retry_after) == ("bus_disconnected", 1.0)
                return "since" in error.message
            return False

        await until(unreachable)
        server.start()
        await until(answers(bus, "main.echo"))
        for recipient in ("main.plain", "main.a.pattern", "main.group"):

            async def arrived(recipient: str = recipient) -> bool:
                await bus.publish(envelope(recipient, "again"))
                await asyncio.sleep(0.05)
                return not got.empty()

            await until(arrived)
            assert {got.get_nowait() for _ in range(got.qsize())} == {f"{recipient} again"}
    assert "redis is lost" in caplog.text


async def test_request_under_way_ends_when_the_server_forgets_it(server: PrivateRedis) -> None:
    """Without a deadline too: a restart without what was held ends a request as unavailable."""
    begun = asyncio.Event()

    async def never(_: Envelope) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with connected(server.url) as bus:
        await bus.subscribe("main.never", never, group="n")
        asking = asyncio.create_task(bus.request(envelope("main.never")))
        await asyncio.wait_for(begun.wait(), 30)
        server.kill()
        server.start()
        with pytest.raises(BusUnavailable) as forgotten:
            await asyncio.wait_for(asking, 15)
        assert forgotten.value.code == "bus_disconnected"


async def test_broken_connections_cost_groups_and_requests_only_time(server: PrivateRedis) -> None:
    """While every connection is cut again and again, each shared envelope comes once and each request is answered."""
    got: list[int] = []
    control = redis.Redis.from_url(server.url)

    async def collect(one: Envelope) -> None:
        got.append(one.payload)

    async with connected(server.url) as bus, connected(server.url) as other:
        await other.subscribe("main.group", collect, group="g", depth=5000)
        await other.subscribe("main.echo", echo, group="e")
        sent: list[int] = []
        unsure: set[int] = set()
        for number in range(600):
            if number % 100 == 50:
                control.client_kill_filter(_type="normal", skipme=True)
            try:
                await bus.publish(envelope("main.group", number))
                sent.append(number)
            except BusUnavailable:
                unsure.add(number)

        async def complete() -> bool:
            return set(got) >= set(sent)

        await until(complete)
        await until(answers(bus, "main.echo"))
    assert len(got) == len(set(got))
    assert set(got) <= set(sent) | unsure
    assert len(unsure) < 30
    control.close()


async def test_frozen_server_is_as_one_that_is_gone(server: PrivateRedis) -> None:
    """A server that answers nothing makes calls unavailable instead of waiting for good, and is used again later."""
    async with connected(server.url) as bus:
        await bus.subscribe("main.echo", echo, group="e")
        server.freeze(True)
        with pytest.raises(BusUnavailable) as caught:
            await asyncio.wait_for(bus.publish(envelope("main.x")), 20)
        assert caught.value.code == "bus_disconnected"
        server.freeze(False)
        await until(answers(bus, "main.echo"))


async def test_close_while_the_server_is_away(server: PrivateRedis) -> None:
    """A bus without its server closes soon, and so does one whose server answers nothing."""
    for outage in (server.kill, lambda: server.freeze(True)):
        bus = await connect_bus(server.url)
        await bus.subscribe("main.x", echo, group="g")
        outage()
        await asyncio.wait_for(bus.close(), 6)
        if server.process is None:
            server.start()
        else:
            server.freeze(False)
