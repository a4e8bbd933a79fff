"""What is particular to the bus over NATS: it outlasts its broker's restarts, and several processes share it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import BusFault, BusInvalid, BusUnavailable, MessageBus
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id
from cenoby.telemetry.recorder import Recorder
from tests.bus.nats_server import PrivateNats, needs_nats, private_nats

HERE = "main.default.mad.here"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateNats]:
    with private_nats(tmp_path) as running:
        yield running


@pytest.fixture
async def pair(server: PrivateNats) -> AsyncIterator[tuple[MessageBus, MessageBus]]:
    """Two connections, as of two processes."""
    first, second = await connect_bus(server.url), await connect_bus(server.url)
    yield first, second
    await first.close()
    await second.close()


def envelope(payload: Any = None, *, recipient: str = HERE, seconds: float = 0) -> Envelope:
    deadline = SystemClock().now_ns() + round(seconds * 1e9) if seconds else 0
    return Envelope(
        id=new_id(), tenant="default", correlation="c", sender="s", recipient=recipient, event="x.v1", payload=payload,
        deadline_ns=deadline,
    )  # fmt: skip


async def echo(one: Envelope) -> Any:
    return one.payload


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the other end has no event to wait for
            await asyncio.sleep(0.005)


async def answered(bus: MessageBus, payload: Any) -> Any:
    """The answer, asked for again while the broker or the responder is away."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await bus.request(envelope(payload, seconds=30))
            except BusUnavailable as error:
                assert error.retry_after
                await asyncio.sleep(0.01)


async def test_a_restart_under_load_is_latency_or_unavailable(
    server: PrivateNats, pair: tuple[MessageBus, MessageBus]
) -> None:
    """While the broker is killed and restarted twice, callers see answers or BusUnavailable, and then answers again."""
    asking, answering = pair
    await answering.subscribe(HERE, echo, group="here")
    good, unavailable, stopping = 0, list[str](), False

    async def ask(number: int) -> None:
        nonlocal good
        while not stopping:
            try:
                assert await asking.request(envelope(number, seconds=1)) == number
                good += 1
            except BusUnavailable as error:
                assert error.retry_after
                unavailable.append(error.code)
            await asyncio.sleep(0.001)

    callers = [asyncio.create_task(ask(number)) for number in range(8)]
    for _ in range(2):
        before = good
        await until(lambda before=before: good > before + 50)
        refused = len(unavailable)
        server.kill()
        await until(lambda refused=refused: len(unavailable) > refused)
        server.start()
    before = good
    await until(lambda: good > before + 50)
    stopping = True
    await asyncio.gather(*callers)
    assert set(unavailable) <= {"bus_deadline", "bus_disconnected", "bus_no_responder"}


async def test_subscriptions_come_back_once(server: PrivateNats, pair: tuple[MessageBus, MessageBus]) -> None:
    """After a restart each subscription gets each envelope exactly once, in order, as before."""
    sending, receiving = pair
    plain, grouped = list[Any](), list[Any]()

    async def into_plain(one: Envelope) -> None:
        plain.append(one.payload)

    async def into_grouped(one: Envelope) -> None:
        grouped.append(one.payload)

    await receiving.subscribe("main.default.>", into_plain)
    await receiving.subscribe(HERE, into_grouped, group="g")
    for _ in range(2):
        server.kill()
        server.start()
        plain.clear()
        grouped.clear()
        # The one comes back before the other: what is published in between is nobody's.
        while not (plain and grouped):
            try:
                await sending.publish(envelope("probe"))
            except BusUnavailable as error:
                assert error.code == "bus_disconnected"
            await asyncio.sleep(0.01)
    await sending.publish(envelope("back"))
    await until(lambda: plain[-1] == grouped[-1] == "back")
    plain.clear()
    grouped.clear()
    for number in range(500):
        await sending.publish(envelope(number))
    await until(lambda: len(plain) >= 500 and len(grouped) >= 500)
    assert await answered(sending, "done") is None
    assert [one for one in plain if one != "probe"] == list(range(500))
    assert [one for one in grouped if isinstance(one, int)] == list(range(500))


async def test_publishing_without_a_broker_ends_in_bounded_time(
    server: PrivateNats, pair: tuple[MessageBus, MessageBus]
) -> None:
    """Who publishes waits a moment for the broker and is then told where it was, since when, and when to try again."""
    bus, _ = pair
    server.kill()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(BusUnavailable) as caught:
        while True:
            await bus.publish(envelope("lost"))
            await asyncio.sleep(0.01)
    assert caught.value.code == "bus_disconnected"
    assert server.url in caught.value.message
    assert caught.value.retry_after
    assert loop.time() - begun < 5
    begun = loop.time()
    with pytest.raises(BusUnavailable) as asked:
        await bus.request(envelope(seconds=0.1))
    assert asked.value.code == "bus_disconnected"
    assert loop.time() - begun < 1
    server.start()
    async with asyncio.timeout(10):
        await bus.publish(envelope("through"))


async def test_a_request_without_deadline_ends_with_its_connection(
    server: PrivateNats, pair: tuple[MessageBus, MessageBus]
) -> None:
    """An answer that was given while nobody could hear it would otherwise be waited for without end."""
    asking, answering = pair
    begun = asyncio.Event()

    async def never(_: Envelope) -> None:
        begun.set()
        await asyncio.Event().wait()

    await answering.subscribe(HERE, never, group="here")
    waiting = asyncio.create_task(asking.request(envelope()))
    await begun.wait()
    server.kill()
    with pytest.raises(BusUnavailable) as caught:
        async with asyncio.timeout(10):
            await waiting
    assert caught.value.code == "bus_disconnected"
    server.start()


async def test_a_long_answer_outlasts_a_restart(server: PrivateNats, pair: tuple[MessageBus, MessageBus]) -> None:
    """A request with a deadline whose responder is still at work when the broker comes back is answered."""
    asking, answering = pair
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(one: Envelope) -> Any:
        begun.set()
        await release.wait()
        return one.payload

    await answering.subscribe(HERE, slow, group="here")
    waiting = asyncio.create_task(asking.request(envelope("late", seconds=30)))
    await begun.wait()
    server.kill()
    server.start()
    probe = asyncio.Event()

    async def came(_: Envelope) -> None:
        probe.set()

    async with asyncio.timeout(10):
        await asking.subscribe("test.probe", came)
        while not probe.is_set():
            await answering.publish(envelope(recipient="test.probe"))
            await asyncio.sleep(0.01)
    release.set()
    async with asyncio.timeout(10):
        assert await waiting == "late"


@pytest.mark.slow
async def test_a_frozen_broker_is_noticed(server: PrivateNats, pair: tuple[MessageBus, MessageBus]) -> None:
    """A broker that neither answers nor closes is given up within half a minute, and used again once it goes on."""
    bus, other = pair
    await other.subscribe(HERE, echo, group="here")
    assert await answered(bus, 1) == 1
    server.freeze(True)
    try:
        with pytest.raises(BusUnavailable) as caught:
            async with asyncio.timeout(40):
                while True:
                    await bus.publish(envelope(b"x" * 500_000))
                    await asyncio.sleep(0.1)
        assert caught.value.code == "bus_disconnected"
    finally:
        server.freeze(False)
    assert await answered(bus, 2) == 2


async def test_close_in_the_middle_of_an_outage(server: PrivateNats) -> None:
    """A bus whose broker is gone still closes, at once, and whoever waits is told."""
    bus = await connect_bus(server.url)
    await bus.subscribe(HERE, echo, group="here")
    server.kill()
    publishing = asyncio.create_task(_publish_until_it_fails(bus))
    async with asyncio.timeout(8):
        await bus.close()
        assert await publishing in ("bus_closed", "bus_disconnected")


async def _publish_until_it_fails(bus: MessageBus) -> str:
    while True:
        try:
            await bus.publish(envelope())
        except BusUnavailable as error:
            return error.code
        await asyncio.sleep(0.001)


async def test_what_is_too_large(server: PrivateNats, pair: tuple[MessageBus, MessageBus]) -> None:
    """What exceeds the broker's limits is refused before it is sent, an answer too, and the connection stays."""
    bus, other = pair

    async def answers_much(_: Envelope) -> bytes:
        return b"x" * 2_000_000

    await other.subscribe(HERE, answers_much, group="here")
    for attempt in (bus.publish(envelope(b"x" * 2_000_000)), bus.request(envelope(seconds=30))):
        with pytest.raises(BusInvalid, match="max_payload") as caught:
            await attempt
        assert caught.value.code == "bus_payload_invalid"
    with pytest.raises(BusInvalid) as long_name:
        await bus.publish(envelope(recipient="main." + "x" * 5000))
    assert long_name.value.code == "bus_subject_invalid"
    await bus.publish(envelope())


async def test_a_responder_that_closes_answers_what_it_took(pair: tuple[MessageBus, MessageBus]) -> None:
    """Requests under way when a subscription closes are answered; later ones find nobody."""
    asking, answering = pair
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(one: Envelope) -> Any:
        begun.set()
        await release.wait()
        return one.payload

    subscription = await answering.subscribe(HERE, slow, group="here")
    waiting = asyncio.create_task(asking.request(envelope("taken", seconds=10)))
    await begun.wait()
    closing = asyncio.create_task(subscription.close())
    await asyncio.sleep(0)
    release.set()
    assert await waiting == "taken"
    await closing
    with pytest.raises(BusUnavailable) as caught:
        await asking.request(envelope(seconds=10))
    assert caught.value.code == "bus_no_responder"


async def test_overlapping_patterns_share_and_answer_once(pair: tuple[MessageBus, MessageBus]) -> None:
    """Groups of one name on different patterns are different groups, and a request still reaches one of them."""
    sending, receiving = pair
    counts = {"exact": 0, "star": 0}

    def member(name: str) -> Callable[[Envelope], Any]:
        async def handle(_: Envelope) -> str:
            counts[name] += 1
            return name

        return handle

    await receiving.subscribe(HERE, member("exact"), group="g")
    await receiving.subscribe("main.default.mad.*", member("star"), group="g")
    for _ in range(20):
        await sending.publish(envelope())
    await until(lambda: counts == {"exact": 20, "star": 20})
    answers = [await sending.request(envelope(seconds=30)) for _ in range(10)]
    assert counts == {"exact": 20 + answers.count("exact"), "star": 20 + answers.count("star")}


async def test_bytes_that_are_no_envelope(server: PrivateNats, caplog: pytest.LogCaptureFixture) -> None:
    """What somebody else sends on a subject of ours is logged and ends nothing."""
    import nats

    bus = await connect_bus(server.url)
    got = asyncio.Queue[Any]()

    async def collect(one: Envelope) -> Any:
        got.put_nowait(one.payload)
        return one.payload

    await bus.subscribe(HERE, collect, group="here")
    stranger = await nats.connect(server.url)
    for kind in "pr":
        await stranger.publish(f"cenoby.{kind}.{HERE}", b"\xc1 nonsense", reply="nowhere")
    await stranger.flush()
    await bus.publish(envelope("sound"))
    assert await asyncio.wait_for(got.get(), 30) == "sound"
    assert await bus.request(envelope("asked", seconds=30)) == "asked"
    assert "bus handler failed" in caplog.text
    await stranger.close()
    await bus.close()


async def test_denied_subjects_are_refused(tmp_path: Path) -> None:
    """A user that may not listen is told when it subscribes; the rest of the connection goes on."""
    rights = 'permissions: { publish: ">", subscribe: ["_INBOX.>", "cenoby.*.main.>"] }'
    with private_nats(tmp_path, f'authorization {{ users: [{{ user: "a", password: "b", {rights} }}] }}') as server:
        bus = await connect_bus(server.url.replace("//", "//a:b@"))
        await bus.subscribe(HERE, echo, group="here")
        with pytest.raises(BusInvalid) as caught:
            await bus.subscribe("other.default.Mad.here", echo)
        assert caught.value.code == "bus_refused"
        assert await bus.request(envelope(1, seconds=30)) == 1
        await bus.close()


async def test_deliveries_are_recorded() -> None:
    """A published envelope leaves a span for its wait here and one for its handling."""
    recorder = Recorder(10)
    bus = await connect_bus(f"{needs_nats()}?prefix=test-{new_id()}", trace=recorder.record)
    handled = asyncio.Event()

    async def handle(_: Envelope) -> None:
        handled.set()

    await bus.subscribe(HERE, handle)
    await bus.publish(envelope())
    await asyncio.wait_for(handled.wait(), 30)
    await bus.close()
    assert sorted(span.name for span in recorder.spans("c")) == [f"bus {HERE}", "handle", "wait"]


async def test_an_abandoned_responder_ends(pair: tuple[MessageBus, MessageBus]) -> None:
    """A responder whose caller's deadline passed long ago is cancelled: requests under way stay bounded."""
    asking, answering = pair
    ended = asyncio.Event()

    async def never(_: Envelope) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await answering.subscribe(HERE, never, group="here")
    with pytest.raises(BusUnavailable):
        await asking.request(envelope(seconds=0.05))
    async with asyncio.timeout(10):
        await ended.wait()


async def test_a_responders_fault_crosses(pair: tuple[MessageBus, MessageBus]) -> None:
    """An exception in the other process is a fault here that names its type alone."""
    asking, answering = pair

    async def breaks(_: Envelope) -> None:
        raise KeyError("hunter2")

    await answering.subscribe(HERE, breaks, group="here")
    with pytest.raises(BusFault, match="KeyError") as caught:
        await asking.request(envelope(seconds=30))
    assert "hunter2" not in caught.value.message
