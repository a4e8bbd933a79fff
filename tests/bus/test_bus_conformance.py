"""What every bus transport promises; a new transport joins by its URL in `BUSES`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import (
    BusFault,
    BusInvalid,
    BusUnavailable,
    MessageBus,
    check_subject,
    matches,
    payload_as,
    subject,
)
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import InvalidInput, NotFound, Unavailable
from cenoby.kernel.ids import new_id
from tests.bus.nats_server import needs_nats
from tests.bus.redis_server import needs_redis

BUSES = ["memory://", "memory://?codec=msgpack", "redis://127.0.0.1:6379/0", "nats://127.0.0.1:4222"]


class Greeting(msgspec.Struct, frozen=True):
    """A typed payload."""

    name: str
    times: int = 1


class ShopClosed(Unavailable):
    """An error of a responder."""

    codes = {"test_shop_closed": "The shop is closed."}


class OddMissing(NotFound):
    """An error whose constructor is not CenobyError's own."""

    codes = {"test_odd_missing": "Nothing there."}

    def __init__(self, name: str) -> None:
        super().__init__("test_odd_missing", f"{name} is missing.", details={"name": name})


@pytest.fixture(params=BUSES)
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[MessageBus]:
    url: str = request.param
    # Names of its own for each test: neither another run nor what a former test left can disturb it.
    if url.startswith("redis://"):
        url = f"{needs_redis(url)}?prefix=test-{new_id()}"
    if url.startswith("nats://"):
        url = f"{needs_nats(url)}?prefix=test-{new_id()}"
    bus = await connect_bus(url)
    yield bus
    await bus.close()


def envelope(recipient: str, payload: Any = None, *, sender: str = "tester", seconds: float = 0) -> Envelope:
    deadline = SystemClock().now_ns() + round(seconds * 1e9) if seconds else 0
    return Envelope(
        id=new_id(),
        tenant="default",
        correlation="c1",
        sender=sender,
        recipient=recipient,
        event="greeting.v1",
        payload=payload,
        deadline_ns=deadline,
    )


def collector(inbox: asyncio.Queue[Envelope]) -> Callable[[Envelope], Awaitable[None]]:
    async def collect(one: Envelope) -> None:
        inbox.put_nowait(one)

    return collect


async def take(inbox: asyncio.Queue[Envelope], count: int) -> list[Envelope]:
    async with asyncio.timeout(30):
        return [await inbox.get() for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a remote transport has no event to wait for
            await asyncio.sleep(0.001)


async def settle(bus: MessageBus, inbox: asyncio.Queue[Envelope]) -> list[Envelope]:
    """Everything that has arrived once a last marker came through."""
    await bus.publish(envelope("test.marker"))
    found: list[Envelope] = []
    while (one := (await take(inbox, 1))[0]).recipient != "test.marker":
        found.append(one)
    return found


async def test_publish_reaches_every_plain_subscription(bus: MessageBus) -> None:
    """Each subscription without group gets its own copy with all fields."""
    first, second = asyncio.Queue[Envelope](), asyncio.Queue[Envelope]()
    await bus.subscribe("main.default.colony.tools", collector(first))
    await bus.subscribe("main.default.colony.tools", collector(second))
    sent = envelope("main.default.colony.tools", {"name": "x"})
    await bus.publish(sent)
    assert await take(first, 1) == [sent]
    assert await take(second, 1) == [sent]


async def test_publish_without_subscriber_is_no_error(bus: MessageBus) -> None:
    """Plain publish is at most once: nobody there means nothing is kept."""
    await bus.publish(envelope("main.default.nobody"))
    inbox = asyncio.Queue[Envelope]()
    await bus.subscribe("main.default.nobody", collector(inbox))
    await bus.subscribe("test.marker", collector(inbox))
    assert await settle(bus, inbox) == []


async def test_order_per_sender_and_subject(bus: MessageBus) -> None:
    """What two senders interleave arrives in each sender's own order."""
    inbox = asyncio.Queue[Envelope]()
    await bus.subscribe("main.default.order", collector(inbox))

    async def send(sender: str) -> None:
        for number in range(200):
            await bus.publish(envelope("main.default.order", number, sender=sender))
            if number % 7 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(send("a"), send("b"))
    got = await take(inbox, 400)
    for sender in "ab":
        assert [one.payload for one in got if one.sender == sender] == list(range(200))


async def test_group_shares_the_work(bus: MessageBus) -> None:
    """One member of a group gets each envelope, every member gets some, and a second group gets all again."""
    boxes = [asyncio.Queue[Envelope]() for _ in range(4)]
    for box, group in zip(boxes, ["blue", "blue", "green", "green"], strict=True):
        await bus.subscribe("main.default.work", collector(box), group=group)
    for number in range(40):
        await bus.publish(envelope("main.default.work", number))
    await until(lambda: sum(box.qsize() for box in boxes) == 80)
    taken = [await take(box, box.qsize()) for box in boxes]
    assert all(taken)
    for pair in (taken[:2], taken[2:]):
        assert sorted(one.payload for box in pair for one in box) == list(range(40))


async def test_patterns(bus: MessageBus) -> None:
    """`*` stands for one token and a last `>` for the rest."""
    star, rest = asyncio.Queue[Envelope](), asyncio.Queue[Envelope]()
    await bus.subscribe("main.*.resource", collector(star))
    await bus.subscribe("main.default.>", collector(rest))
    for box in (star, rest):
        await bus.subscribe("test.marker", collector(box))
    for recipient in ("main.default.resource", "main.other.resource", "main.default.mad.rogers", "main.default"):
        await bus.publish(envelope(recipient))
    seen = [{one.recipient for one in await settle(bus, star)}, {one.recipient for one in await settle(bus, rest)}]
    assert seen[0] == {"main.default.resource", "main.other.resource"}
    assert seen[1] - {"test.marker"} == {"main.default.resource", "main.default.mad.rogers"}


async def test_closed_subscription_gets_nothing(bus: MessageBus) -> None:
    """After `close` returns, the handler is not called again."""
    inbox = asyncio.Queue[Envelope]()
    gone = await bus.subscribe("main.default.gone", collector(inbox))
    await bus.subscribe("test.marker", collector(inbox))
    await bus.publish(envelope("main.default.gone"))
    assert len(await take(inbox, 1)) == 1
    await gone.close()
    await gone.close()
    await bus.publish(envelope("main.default.gone"))
    assert await settle(bus, inbox) == []


async def test_subscription_may_close_itself(bus: MessageBus) -> None:
    """A handler closes its own subscription without waiting for itself."""
    seen: list[Envelope] = []
    done = asyncio.Event()

    async def once(one: Envelope) -> None:
        seen.append(one)
        await mine.close()
        done.set()

    mine = await bus.subscribe("main.default.once", once)
    await bus.publish(envelope("main.default.once"))
    await bus.publish(envelope("main.default.once"))
    async with asyncio.timeout(30):
        await done.wait()
    await asyncio.sleep(0.01)
    assert len(seen) == 1


async def test_full_queue_drops_the_newest_and_counts(bus: MessageBus) -> None:
    """A stuck consumer costs itself `dropped` envelopes; the publisher and others go on."""
    release, inbox, other = asyncio.Event(), asyncio.Queue[Envelope](), asyncio.Queue[Envelope]()

    async def stuck(one: Envelope) -> None:
        await release.wait()
        inbox.put_nowait(one)

    slow = await bus.subscribe("main.default.flood", stuck, depth=10)
    await bus.subscribe("main.default.flood", collector(other), depth=200)
    await bus.publish(envelope("main.default.flood", 0))
    await until(lambda: not slow.waiting)
    for number in range(1, 101):
        await bus.publish(envelope("main.default.flood", number))
    assert [one.payload for one in await take(other, 101)] == list(range(101))
    # A remote transport may hand over to one subscription a moment before the other.
    await until(lambda: slow.dropped == 90)
    release.set()
    assert [one.payload for one in await take(inbox, 11)] == list(range(11))


async def test_quick_consumer_loses_nothing_of_a_burst(bus: MessageBus) -> None:
    """A publisher that never pauses gives a consumer with a small queue its turns."""
    inbox = asyncio.Queue[Envelope]()
    quick = await bus.subscribe("main.default.burst", collector(inbox), depth=16)
    for number in range(2000):
        await bus.publish(envelope("main.default.burst", number))
    assert [one.payload for one in await take(inbox, 2000)] == list(range(2000))
    assert quick.dropped == 0


async def test_failing_handler_gets_the_next_envelope(bus: MessageBus, caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a subscriber is logged and ends nothing."""
    inbox = asyncio.Queue[Envelope]()

    async def fails_once(one: Envelope) -> None:
        if one.payload == "bad":
            raise RuntimeError("boom")
        inbox.put_nowait(one)

    await bus.subscribe("main.default.shaky", fails_once)
    await bus.publish(envelope("main.default.shaky", "bad"))
    await bus.publish(envelope("main.default.shaky", "good"))
    assert (await take(inbox, 1))[0].payload == "good"
    assert "bus handler failed" in caplog.text


async def test_request_is_answered(bus: MessageBus) -> None:
    """The responder's value comes back, and typed payloads read the same by reference and in plain form."""

    async def greet(one: Envelope) -> Greeting:
        asked = payload_as(one, Greeting)
        return Greeting(asked.name * asked.times)

    await bus.subscribe("main.default.mad.greeter", greet, group="greeter")
    answer = await bus.request(envelope("main.default.mad.greeter", Greeting("ho", 3), seconds=30))
    assert msgspec.convert(answer, Greeting) == Greeting("hohoho")


async def test_request_reaches_one_member_and_no_listener(bus: MessageBus) -> None:
    """Exactly one grouped subscription handles a request, over all groups; each member gets some; listeners see none.

    NATS draws the member at random, so how many requests it takes until each has had one is not fixed; 300 in a row
    that pass one of three by happen once in 10^52.
    """
    calls: list[str] = []

    def member(name: str) -> Callable[[Envelope], Awaitable[str]]:
        async def answer(_: Envelope) -> str:
            calls.append(name)
            return name

        return answer

    await bus.subscribe("main.default.mad.x", member("listener"))
    for name in ("a", "b"):
        await bus.subscribe("main.default.mad.x", member(name), group="x")
    await bus.subscribe("main.default.mad.x", member("c"), group="other")
    answers = [await bus.request(envelope("main.default.mad.x")) for _ in range(9)]
    while set(answers) != {"a", "b", "c"} and len(answers) < 300:
        answers.append(await bus.request(envelope("main.default.mad.x")))
    assert answers == calls
    assert set(calls) == {"a", "b", "c"}


async def test_requests_run_concurrently(bus: MessageBus) -> None:
    """A responder that waits in one request serves the next ones meanwhile."""
    arrived = asyncio.Barrier(5)

    async def meet(_: Envelope) -> bool:
        await arrived.wait()
        return True

    await bus.subscribe("main.default.mad.meet", meet, group="meet")
    async with asyncio.timeout(30):
        answers = await asyncio.gather(
            *(bus.request(envelope("main.default.mad.meet", seconds=30)) for _ in range(5)),
        )
    assert answers == [True] * 5


async def test_no_responder(bus: MessageBus) -> None:
    """A request that nobody can answer fails at once and says when to retry."""
    await bus.subscribe("main.default.mad.quiet", collector(asyncio.Queue()))
    with pytest.raises(BusUnavailable) as caught:
        await bus.request(envelope("main.default.mad.quiet", seconds=30))
    assert caught.value.code == "bus_no_responder"
    assert caught.value.retry_after


@pytest.mark.parametrize("seconds", [0.02, -1])
async def test_deadline(bus: MessageBus, seconds: float) -> None:
    """A responder that does not answer in time, or a deadline in the past, ends in `bus_deadline`."""

    async def never(_: Envelope) -> None:
        await asyncio.Event().wait()

    await bus.subscribe("main.default.mad.never", never, group="never")
    with pytest.raises(BusUnavailable) as caught:
        await bus.request(envelope("main.default.mad.never", seconds=seconds))
    assert caught.value.code == "bus_deadline"


async def test_several_waits_before_the_deadline(bus: MessageBus) -> None:
    """A responder that suspends many times within its deadline still answers, exceptions in between included."""

    async def wanders(_: Envelope) -> int:
        total = 0
        for number in range(5):
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(1)
            except TimeoutError:
                total += number
        return total

    await bus.subscribe("main.default.mad.wander", wanders, group="wander")
    assert await bus.request(envelope("main.default.mad.wander", seconds=30)) == 10


async def test_responders_own_timeout_is_not_the_deadline(bus: MessageBus) -> None:
    """A TimeoutError raised by the responder is its failure, not a passed deadline."""

    async def times_out(_: Envelope) -> None:
        await asyncio.sleep(0)
        raise TimeoutError

    await bus.subscribe("main.default.mad.late", times_out, group="late")
    with pytest.raises(BusFault):
        await bus.request(envelope("main.default.mad.late", seconds=30))


async def test_deadline_leaves_no_cancellation_behind(bus: MessageBus) -> None:
    """After a passed deadline the caller's task goes on as if nothing was, even where the responder swallowed it."""

    async def swallows(_: Envelope) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "late"

    await bus.subscribe("main.default.mad.swallow", swallows, group="swallow")
    try:
        answer = await bus.request(envelope("main.default.mad.swallow", seconds=0.02))
    except BusUnavailable as error:
        answer = error.code
    assert answer in ("late", "bus_deadline")
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0
    await asyncio.sleep(0)


async def test_callers_own_timeout_is_not_the_deadline(bus: MessageBus) -> None:
    """A caller that bounds its wait more tightly than the envelope gets its own TimeoutError."""

    async def never(_: Envelope) -> None:
        await asyncio.Event().wait()

    await bus.subscribe("main.default.mad.never", never, group="never")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await bus.request(envelope("main.default.mad.never", seconds=30))


async def test_caller_may_be_cancelled(bus: MessageBus) -> None:
    """Cancelling the caller ends its wait with CancelledError, and the responder answers the next request."""
    begun = asyncio.Event()

    async def slow_once(_: Envelope) -> str:
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return "here"

    await bus.subscribe("main.default.mad.slow", slow_once, group="slow")
    caller = asyncio.create_task(bus.request(envelope("main.default.mad.slow", seconds=30)))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await bus.request(envelope("main.default.mad.slow", seconds=30)) == "here"


async def test_errors_of_ours_pass_unchanged(bus: MessageBus) -> None:
    """Class, code, message, retry_after and details survive, also where the class has a constructor of its own."""

    async def refuses(one: Envelope) -> None:
        if one.payload == "odd":
            raise OddMissing("sock")
        raise ShopClosed("test_shop_closed", "Come back at nine.", retry_after=60.5, details={"opens": "09:00"})

    await bus.subscribe("main.default.mad.shop", refuses, group="shop")
    with pytest.raises(ShopClosed) as closed:
        await bus.request(envelope("main.default.mad.shop"))
    assert (closed.value.code, closed.value.message) == ("test_shop_closed", "Come back at nine.")
    assert (closed.value.retry_after, closed.value.details) == (60.5, {"opens": "09:00"})
    with pytest.raises(OddMissing, match="sock is missing") as odd:
        await bus.request(envelope("main.default.mad.shop", "odd"))
    assert odd.value.details == {"name": "sock"}


async def test_other_exceptions_become_a_fault(bus: MessageBus, caplog: pytest.LogCaptureFixture) -> None:
    """The caller learns the type and never the text, which may hold a secret; the log holds the cause."""

    async def breaks(_: Envelope) -> None:
        raise ValueError("hunter2")

    await bus.subscribe("main.default.mad.broken", breaks, group="broken")
    with pytest.raises(BusFault) as caught:
        await bus.request(envelope("main.default.mad.broken"))
    assert caught.value.code == "bus_responder_failed"
    assert "hunter2" not in caught.value.message
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("recipient", ["", ".", "a..b", "a b", "a.*", "a.>", "a.", "a%b", "a\x00"])
async def test_bad_recipient(bus: MessageBus, recipient: str) -> None:
    """Neither empty tokens nor wildcards nor spaces can be published to."""
    for operation in (bus.publish, bus.request):
        with pytest.raises(BusInvalid):
            await operation(envelope(recipient))


@pytest.mark.parametrize("pattern", ["", "a.>.b", "a*", "a..b", "a >"])
async def test_bad_pattern(bus: MessageBus, pattern: str) -> None:
    """`>` stands last and wildcards stand alone."""
    with pytest.raises(BusInvalid):
        await bus.subscribe(pattern, collector(asyncio.Queue()))


async def test_closed_bus(bus: MessageBus) -> None:
    """Everything on a closed bus says so, and closing twice is fine."""

    async def answer(_: Envelope) -> None: ...

    await bus.subscribe("main.default.mad.z", answer, group="z")
    await bus.close()
    await bus.close()
    attempts: list[Awaitable[Any]] = [
        bus.publish(envelope("main.default.mad.z")),
        bus.request(envelope("main.default.mad.z")),
        bus.subscribe("main.default.mad.z", answer),
    ]
    for attempt in attempts:
        with pytest.raises(BusUnavailable) as caught:
            await attempt
        assert caught.value.code == "bus_closed"


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=6))
@settings(max_examples=200)
def test_any_names_make_a_subject(names: list[str]) -> None:
    """Names with any characters become one valid subject with as many tokens, and different names differ."""
    built = subject(*names)
    assert len(check_subject(built, pattern=False)) == len(names)
    assert subject(*names[:-1], names[-1] + "x") != built


@given(st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4), st.lists(st.sampled_from("ab"), min_size=1))
def test_star_matches_exactly_one_token(pattern: list[str], tokens: list[str]) -> None:
    """A pattern covers a subject exactly where it has as many tokens and each is equal or `*`."""
    expected = len(pattern) == len(tokens) and all(p in ("*", t) for p, t in zip(pattern, tokens, strict=False))
    assert matches(tuple(pattern), tuple(tokens)) == expected
    longer = (*pattern, ">")
    assert matches(longer, (*tokens, "more")) == (
        len(tokens) >= len(pattern) and matches(longer[:-1], tuple(tokens[: len(pattern)]))
    )


def test_errors_invalid_input_family() -> None:
    """What no transport could carry is the caller's mistake."""
    assert issubclass(BusInvalid, InvalidInput)
