"""Durable workflows, on both engines: steps that are applied once and whole, signals, timers, takeovers, upgrades."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from workflow_house import House, effects, mark, opened

from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.store.connect import engine_for
from cenoby.store.database import StoreRefused
from cenoby.store.engine import Connection, Engine
from cenoby.store.journal import Entry, JournalQuery
from cenoby.store.workflow_types import Definitions, Handler, Instance, Signal, Step, Workflow
from tests.stores import Postgres

SECOND = 1_000_000_000
HOUR = 3600


def to(state: str, **more: Any) -> Handler:
    """A handler with one effect of each kind that goes on to `state`."""

    async def handler(instance: Instance) -> Step:
        return effects(instance, state, **more)

    return handler


def asking(clock: ManualClock, seconds: float | None = None, name: str = "ask") -> Workflow:
    """Waits for `answer`, at most so long, and ends as what it was told."""

    async def ask(instance: Instance) -> Step:
        wake_ns = None if seconds is None else clock.now_ns() + round(seconds * SECOND)
        return Step(state="decide", data=instance.data, wait=("answer",), wake_ns=wake_ns)

    async def decide(instance: Instance) -> Step:
        if instance.signal is None:
            return effects(instance, "expired", data="nobody")
        return effects(instance, "answered", data=[instance.data, instance.signal.payload])

    return Workflow(name, 1, "ask", {"ask": ask, "decide": decide}, frozenset({"answered", "expired"}))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_house(store: Engine, clock: ManualClock) -> Callable[..., Any]:
    @asynccontextmanager
    async def open_house(*workflows: Workflow, node: str = "n1") -> AsyncIterator[House]:
        house = await opened(store, clock, *workflows, node=node)
        try:
            yield house
        finally:
            await house.database.close()

    return open_house


async def test_a_machine_runs_to_its_end(open_house: Callable[..., Any]) -> None:
    """Each step leaves its state, its record, its outbox item and its write; the chain of the journal holds."""
    three = Workflow("three", 1, "a", {"a": to("b"), "b": to("c"), "c": to("done")})
    async with open_house(three) as house:
        started = await house.workflows.start("three", "k", None, tenant="t")
        assert started.new
        assert await house.worker().run_due() == 1
        instance = await house.instance(started.id)
        assert (instance.status, instance.state, instance.step, instance.owner) == ("done", "done", 3, "")
        assert instance.data == {"seen": ["a", "b", "c"]}
        assert instance.due_ns is None
        assert await house.codes() == ["step_0", "step_1", "step_2"]
        assert await house.put() == await house.marks() == ["k:0", "k:1", "k:2"]
        assert (await house.journal.verify()).ok
        assert await house.worker().run_due() == 0


async def test_a_step_is_applied_whole_or_not_at_all(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """Where the last write of a step fails, neither its state nor its record nor its outbox item is there."""
    fails = [True]

    async def a(instance: Instance) -> Step:
        def write(connection: Connection) -> None:
            mark(connection, "k")
            if fails:
                raise ArithmeticError("after all else was written")

        return effects(instance, "done", write=write)

    async with open_house(Workflow("w", 1, "a", {"a": a})) as house:
        started = await house.workflows.start("w", "k", {"seen": []})
        await house.worker().run_due()
        assert (await house.codes(), await house.put(), await house.marks()) == ([], [], [])
        instance = await house.instance(started.id)
        assert (instance.state, instance.step, instance.attempts, instance.status) == ("a", 0, 1, "open")
        assert "after all else was written" in instance.error
        fails.clear()
        clock.advance(1)
        await house.worker().run_due()
        instance = await house.instance(started.id)
        assert (instance.status, instance.error) == ("done", "")
        assert (await house.codes(), await house.put(), await house.marks()) == (["step_0"], ["k:0"], ["k"])
        assert (await house.journal.verify()).ok


async def test_records_go_with_their_transaction(open_house: Callable[..., Any]) -> None:
    """`Journal.write` in one batch with others: what raises leaves no record, the rest does, in the order of calls."""

    def refuse(connection: Connection) -> None:
        mark(connection, "refused")
        raise ArithmeticError

    def entry(code: str) -> Entry:
        return Entry("event", "t", "ada", "c", code=code)

    async with open_house() as house:
        done = await asyncio.gather(
            house.journal.append(entry("first")),
            house.journal.write(lambda connection: mark(connection, "second"), entry("second")),
            house.journal.write(refuse, entry("refused")),
            house.journal.write(lambda connection: 4, entry("fourth"), entry("fifth")),
            house.journal.write(lambda connection: mark(connection, "sixth")),
            house.journal.append(entry("seventh")),
            return_exceptions=True,
        )
        assert isinstance(done[2], ArithmeticError)
        assert done[3] == 4
        assert await house.codes() == ["first", "second", "fourth", "fifth", "seventh"]
        assert await house.marks() == ["second", "sixth"]
        verified = await house.journal.verify()
        assert verified.ok
        assert verified.records == 5


async def test_starting_twice_by_the_same_key_is_starting_once(open_house: Callable[..., Any]) -> None:
    """Also at the same time, and after the end; another tenant or type is another one."""
    one, two = Workflow("one", 1, "a", {"a": to("done")}), Workflow("two", 1, "a", {"a": to("done")})
    async with open_house(one, two) as house:
        found = await asyncio.gather(*(house.workflows.start("one", "k", {"n": n}) for n in range(5)))
        assert len({started.id for started in found}) == 1
        assert sorted(started.new for started in found) == [False] * 4 + [True]
        assert (await house.workflows.start("two", "k", None)).new
        assert (await house.workflows.start("one", "k", None, tenant="other")).new
        with pytest.raises(ValueError, match="three"):
            await house.workflows.start("three", "k", None)


async def test_a_start_can_be_part_of_a_transaction(open_house: Callable[..., Any]) -> None:
    """It is there if and only if the rest of the transaction is."""

    async with open_house(Workflow("w", 1, "a", {"a": to("done")})) as house:
        workflows = house.workflows
        instance = workflows.new_instance("w", "k", None)

        def fails(connection: Connection) -> None:
            assert workflows.start_in(connection, instance).new
            raise ArithmeticError

        with pytest.raises(ArithmeticError):
            await house.database.write(fails)
        assert await workflows.find() == []
        assert (await house.database.write(lambda connection: workflows.start_in(connection, instance))).new


async def test_a_signal_may_come_before_the_wait(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """It is kept until a step waits for it; the first one is used, and once."""
    async with open_house(asking(clock)) as house:
        started = await house.workflows.start("ask", "k", "q")
        assert await house.workflows.signal(started.id, Signal("s0", "other", 0)) == "kept"
        assert await house.workflows.signal(started.id, Signal("s1", "answer", 1)) == "kept"
        assert await house.workflows.signal(started.id, Signal("s2", "answer", 2)) == "kept"
        await house.worker().run_due()
        instance = await house.instance(started.id)
        assert (instance.status, instance.state, instance.data) == ("done", "answered", ["q", 1])


async def test_a_signal_may_come_after_the_wait_and_twice(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """It wakes what is parked, and only by the name waited for; the same id again is nothing new, also after its use
    and after the end; what has ended takes no other."""
    async with open_house(asking(clock)) as house:
        started = await house.workflows.start("ask", "k", "q")
        worker = house.worker()
        await worker.run_due()
        parked = await house.instance(started.id)
        assert (parked.state, parked.waits_for, parked.due_ns, parked.owner) == ("decide", ("answer",), None, "")
        clock.advance(1000 * HOUR)
        assert await house.workflows.signal(started.id, Signal("s0", "answers", 0)) == "kept"
        assert await worker.run_due() == 0
        assert await house.workflows.signal(started.id, Signal("s1", "answer", "yes")) == "kept"
        assert await house.workflows.signal(started.id, Signal("s1", "answer", "no")) == "duplicate"
        assert await worker.run_due() == 1
        assert (await house.instance(started.id)).data == ["q", "yes"]
        assert await house.workflows.signal(started.id, Signal("s1", "answer", "no")) == "duplicate"
        assert await house.workflows.signal(started.id, Signal("s2", "answer", "no")) == "ended"
        assert await house.workflows.signal("nobody", Signal("s2", "answer", "no")) == "unknown"


async def test_a_used_signal_is_not_used_again(open_house: Callable[..., Any]) -> None:
    """A machine that waits for the same name twice gets two signals, in the order in which they were sent."""

    async def ask(instance: Instance) -> Step:
        got = [*instance.data, *([instance.signal.payload] if instance.signal else [])]
        return Step(state="done", data=got) if len(got) == 2 else Step(state="ask", data=got, wait=("n",))

    async with open_house(Workflow("w", 1, "ask", {"ask": ask})) as house:
        started = await house.workflows.start("w", "k", [])
        worker = house.worker()
        await house.workflows.signal(started.id, Signal("1", "n", 1))
        await worker.run_due()
        assert (await house.instance(started.id)).data == [1]
        await house.workflows.signal(started.id, Signal("2", "n", 2))
        await worker.run_due()
        assert (await house.instance(started.id)).data == [1, 2]


async def test_a_timer_ends_a_wait(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """Not before its time; then the handler runs without a signal."""
    async with open_house(asking(clock, 60)) as house:
        started = await house.workflows.start("ask", "k", "q")
        worker = house.worker()
        await worker.run_due()
        clock.advance(59.9)
        assert await worker.run_due() == 0
        clock.advance(0.1)
        assert await worker.run_due() == 1
        assert (await house.instance(started.id)).state == "expired"


async def test_a_timer_alone_is_a_pause(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """A step that waits for no signal goes on at its time, and not before."""
    pause = Workflow("w", 1, "a", {"a": to("b", wake_ns=clock.now_ns() + 60 * SECOND), "b": to("done")})
    async with open_house(pause) as house:
        started = await house.workflows.start("w", "k", None)
        worker = house.worker()
        await worker.run_due()
        assert (await house.instance(started.id)).state == "b"
        clock.advance(60)
        await worker.run_due()
        assert (await house.instance(started.id)).status == "done"


async def test_a_signal_that_was_kept_in_time_is_never_overrun(
    open_house: Callable[..., Any], clock: ManualClock
) -> None:
    """It comes while the handler already believes that time is up: that step is refused, and made with the signal."""
    seen: list[Any] = []
    plain = asking(clock, 60)

    async with open_house(plain) as house:

        async def decide(instance: Instance) -> Step:
            seen.append(instance.signal)
            if instance.signal is None:
                assert await house.workflows.signal(instance.id, Signal("s", "answer", "yes")) == "kept"
            return await plain.handlers["decide"](instance)

        late = Workflow("ask", 1, "ask", {**plain.handlers, "decide": decide}, plain.ends)
        house.workflows.definitions = Definitions(late)
        started = await house.workflows.start("ask", "k", "q")
        worker = house.worker()
        await worker.run_due()
        clock.advance(61)
        await worker.run_due()
        assert seen == [None, Signal("s", "answer", "yes")]
        assert (await house.instance(started.id)).data == ["q", "yes"]
        assert await house.codes() == ["step_1"]


async def test_parked_work_outlives_the_process(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """Waits and timers hold over a restart, however long nobody was there."""
    async with open_house(asking(clock, 60), asking(clock, None, "forever")) as house:
        timed = await house.workflows.start("ask", "k", "q")
        parked = await house.workflows.start("forever", "p", "q")
        await house.worker().run_due()
    clock.advance(2 * HOUR)
    async with open_house(asking(clock, 60), asking(clock, None, "forever"), node="n2") as house:
        assert await house.worker().run_due() == 1
        assert (await house.instance(timed.id)).state == "expired"
        await house.workflows.signal(parked.id, Signal("s", "answer", "yes"))
        await house.worker().run_due()
        assert (await house.instance(parked.id)).state == "answered"


async def test_a_failing_handler_is_tried_again_ever_later(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """Pauses double from 100 ms to 30 s; after the last attempt the instance is failed, on the record, with its error;
    a person may retry it."""
    broken = [True]

    async def a(instance: Instance) -> Step:
        if broken:
            raise ArithmeticError("no such thing")
        return effects(instance, "done")

    async with open_house(Workflow("w", 1, "a", {"a": a}, most_attempts=12)) as house:
        started = await house.workflows.start("w", "k", None, tenant="t")
        worker, pauses = house.worker(), list[float]()
        while await worker.run_due():
            instance = await house.instance(started.id)
            if instance.due_ns is None:
                break
            pauses.append((instance.due_ns - clock.now_ns()) / SECOND)
            clock.advance(pauses[-1] - 0.001)
            assert await worker.run_due() == 0
            clock.advance(0.001)
        assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
        assert (instance.status, instance.attempts, instance.state) == ("failed", 12, "a")
        assert "ArithmeticError: no such thing" in instance.error
        (record,) = (await house.journal.page(JournalQuery(code="workflow_failed"))).records
        assert (record.tenant, record.correlation) == ("t", started.id)
        assert [one.id for one in await house.workflows.find(status="failed")] == [started.id]
        broken.clear()
        assert await house.workflows.retry(started.id)
        assert not await house.workflows.retry(started.id)
        await worker.run_due()
        assert (await house.instance(started.id)).status == "done"


@pytest.mark.parametrize("wrong", ["nowhere", "wait", "name", "data"])
async def test_a_step_that_cannot_be_is_a_failure(wrong: str, open_house: Callable[..., Any]) -> None:
    """It leads nowhere, an end waits, a name has a space, data is no JSON: nothing is applied, the error says why."""
    steps = {
        "nowhere": Step(state="b"),
        "wait": Step(state="done", wait=("x",)),
        "name": Step(state="a", wait=("x y",)),
        "data": Step(state="done", data=object()),
    }

    async def a(instance: Instance) -> Step:
        return steps[wrong]

    async with open_house(Workflow("w", 1, "a", {"a": a}, most_attempts=1)) as house:
        started = await house.workflows.start("w", "k", None)
        await house.worker().run_due()
        instance = await house.instance(started.id)
        assert (instance.status, instance.step) == ("failed", 0)
        assert "Error: " in instance.error


async def test_a_step_that_kills_whoever_makes_it_is_given_up(
    open_house: Callable[..., Any], clock: ManualClock
) -> None:
    """Attempts are counted when they begin, so those that nobody survives are counted, too."""
    ran: list[str] = []

    async def a(instance: Instance) -> Step:
        ran.append(instance.id)
        return Step(state="done")

    async with open_house(Workflow("w", 1, "a", {"a": a}, most_attempts=3)) as house:
        started = await house.workflows.start("w", "k", None)
        for _ in range(3):
            assert len(await house.worker()._claim(8)) == 1  # and dies
            clock.advance(31)
        await house.worker().run_due()
        instance = await house.instance(started.id)
        assert (instance.status, ran) == ("failed", [])
        assert "3 times" in instance.error


async def test_a_stale_owner_changes_nothing(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """It froze, somebody took over and made the step: its own step, its failure and its giving back come to nothing."""
    frozen, thaw, runs = asyncio.Event(), asyncio.Event(), list[str]()

    async def a(instance: Instance) -> Step:
        runs.append(instance.owner)
        if len(runs) == 1:
            frozen.set()
            await thaw.wait()
        return effects(instance, "b", wait=("go",))

    async with open_house(Workflow("w", 1, "a", {"a": a, "b": to("done")})) as house:
        started = await house.workflows.start("w", "k", None)
        first, second = house.worker(), house.worker()
        task = asyncio.create_task(first.run_due())
        await frozen.wait()
        stale = await house.instance(started.id)
        assert await second.run_due() == 0
        clock.advance(30)
        assert await second.run_due() == 1
        thaw.set()
        await task
        instance = await house.instance(started.id)
        assert (instance.state, instance.step, instance.token, instance.attempts) == ("b", 1, stale.token + 1, 0)
        assert runs == [first.owner, second.owner]
        assert (await house.codes(), await house.put(), await house.marks()) == (["step_0"], ["k:0"], ["k:0"])
        with pytest.raises(StoreRefused) as lost:
            await first._apply(stale, Step(state="done"), ended=True)
        assert lost.value.code == "lease_lost"
        await first._fail(stale, "late", last=True)
        await first._give_back(stale)
        assert await house.instance(started.id) == instance
        assert await house.codes() == ["step_0"]


async def test_a_stale_owner_is_refused_while_its_successor_still_works(
    open_house: Callable[..., Any], clock: ManualClock
) -> None:
    """The row is at the same step, so that it is the token alone that tells them apart."""
    gates = {"first": asyncio.Event(), "second": asyncio.Event()}
    begun = {"first": asyncio.Event(), "second": asyncio.Event()}
    runs: list[str] = []

    async def a(instance: Instance) -> Step:
        name = "second" if runs else "first"
        runs.append(name)
        begun[name].set()
        await gates[name].wait()
        return effects(instance, "done", data=name)

    async with open_house(Workflow("w", 1, "a", {"a": a})) as house:
        started = await house.workflows.start("w", "k", None)
        first, second = house.worker(), house.worker()
        late = asyncio.create_task(first.run_due())
        await begun["first"].wait()
        stale = await house.instance(started.id)
        clock.advance(30)
        successor = asyncio.create_task(second.run_due())
        await begun["second"].wait()
        held = await house.instance(started.id)
        assert (held.step, held.owner, held.token) == (stale.step, second.owner, stale.token + 1)
        gates["first"].set()
        await late
        await first._fail(stale, "late", last=True)
        await first._give_back(stale)
        assert await house.instance(started.id) == held
        assert (await house.codes(), await house.put(), await house.marks()) == ([], [], [])
        gates["second"].set()
        await successor
        instance = await house.instance(started.id)
        assert (instance.status, instance.data) == ("done", "second")
        assert (await house.codes(), await house.put(), await house.marks()) == (["step_0"], ["k:0"], ["k:0"])


async def test_a_holder_that_lives_keeps_what_it_holds(store: Engine) -> None:
    """A handler that takes longer than the lease is not taken over: its worker renews it."""
    clock, runs = SystemClock(), list[str]()

    async def a(instance: Instance) -> Step:
        runs.append(instance.owner)
        await asyncio.sleep(1.0)
        return Step(state="done")

    house = await opened(store, clock, Workflow("w", 1, "a", {"a": a}))
    started = await house.workflows.start("w", "k", None)
    workers = [house.worker(lease_ns=SECOND // 3) for _ in range(2)]
    for worker in workers:
        await worker.start()
    await until(lambda: done(house, started.id))
    for worker in workers:
        await worker.close()
    assert len(runs) == 1
    assert (await house.instance(started.id)).token == 1
    await house.database.close()


async def test_a_worker_stops_what_it_has_lost(store: Engine) -> None:
    """Somebody else has the row: its handler here is cancelled when the lease is to be renewed."""
    clock, begun, cancelled = SystemClock(), asyncio.Event(), asyncio.Event()

    async def a(instance: Instance) -> Step:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Step(state="done")

    house = await opened(store, clock, Workflow("w", 1, "a", {"a": a}))
    await house.workflows.start("w", "k", None)
    worker = house.worker(lease_ns=SECOND // 3)
    await worker.start()
    await begun.wait()
    await house.database.write(
        lambda connection: connection.execute("UPDATE workflows SET token = token + 1, owner = 'thief'")
    )
    await asyncio.wait_for(cancelled.wait(), 10)
    await worker.close()
    (instance,) = await house.workflows.find()
    assert (instance.owner, instance.token) == ("thief", 2)
    await house.database.close()


async def test_a_worker_runs_what_comes_and_gives_back_what_it_cannot_end(
    store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts and signals wake it; at its close, a handler that does not end is cancelled as if it had not begun."""
    monkeypatch.setattr("cenoby.store.workflow_worker._CLOSE_SECONDS", 0.05)
    clock, hangs = SystemClock(), asyncio.Event()

    async def decide(instance: Instance) -> Step:
        if instance.key == "hangs":
            hangs.set()
            await asyncio.sleep(60)
        return Step(state="done")

    workflow = Workflow("w", 1, "a", {"a": to("decide", wait=("go",)), "decide": decide})
    house = await opened(store, clock, workflow)
    worker = house.worker()
    await worker.start()
    quick, slow = [await house.workflows.start("w", key, None) for key in ("quick", "hangs")]
    await house.workflows.signal(quick.id, Signal("s", "go"))
    await until(lambda: done(house, quick.id))
    await house.workflows.signal(slow.id, Signal("s", "go"))
    await hangs.wait()
    await worker.close()
    instance = await house.instance(slow.id)
    assert (instance.owner, instance.attempts, instance.state, instance.status) == ("", 0, "decide", "open")
    await house.database.close()


async def done(house: House, identifier: str) -> bool:
    return (await house.instance(identifier)).status == "done"


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(2000):
        if await look():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to pass")


def old_and_new() -> tuple[Workflow, Workflow, Workflow]:
    """A version, the next one with another state and other data, once without and once with an upgrade."""
    old = Workflow("w", 1, "ask", {"ask": to("decide", data="q", wait=("answer",)), "decide": to("done")})

    async def verdict(instance: Instance) -> Step:
        assert instance.signal is not None
        return Step(state="done", data={**instance.data, "answer": instance.signal.payload})

    handlers = {"ask": to("verdict", wait=("answer",)), "verdict": verdict}

    def upgrade(state: str, data: Any) -> tuple[str, Any]:
        return {"decide": "verdict"}.get(state, state), {"question": data}

    return old, Workflow("w", 2, "ask", handlers), Workflow("w", 2, "ask", handlers, upgrades={1: upgrade})


async def test_parked_work_goes_on_in_a_newer_version(open_house: Callable[..., Any]) -> None:
    """Without an upgrade it is left alone and told of, also when it is due; with one it goes on where it was."""
    old, new, upgrading = old_and_new()
    async with open_house(old) as house:
        parked = await house.workflows.start("w", "k", None)
        await house.worker().run_due()
    async with open_house(new, node="n2") as house:
        await house.workflows.signal(parked.id, Signal("s", "answer", "yes"))
        before = await house.instance(parked.id)
        assert await house.worker().run_due() == 0
        assert await house.instance(parked.id) == before
        assert await house.workflows.unhandled() == [("w", 1, "decide", 1)]
    async with open_house(upgrading, node="n3") as house:
        assert await house.workflows.unhandled() == []
        await house.worker().run_due()
        instance = await house.instance(parked.id)
        assert (instance.version, instance.status) == (2, "done")
        assert instance.data == {"question": "q", "answer": "yes"}


async def test_versions_stand_side_by_side(open_house: Callable[..., Any]) -> None:
    """Old instances end under their own handlers, new ones begin under the newest."""
    old, new, _ = old_and_new()
    async with open_house(old) as house:
        parked = await house.workflows.start("w", "k", None)
        await house.worker().run_due()
    async with open_house(new, old, node="n2") as house:
        fresh = await house.workflows.start("w", "k2", None)
        for one in (parked, fresh):
            await house.workflows.signal(one.id, Signal("s", "answer", "yes"))
        await house.worker().run_due()
        ended = [await house.instance(one.id) for one in (parked, fresh)]
        assert [(one.version, one.status) for one in ended] == [(1, "done"), (2, "done")]


async def test_an_upgrade_that_fails_harms_nothing(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """It counts as a failed attempt; the row keeps its version, state and data."""
    old, _, upgrading = old_and_new()

    def upgrade(state: str, data: Any) -> tuple[str, Any]:
        raise KeyError("not thought of")

    broken = Workflow("w", 2, "ask", upgrading.handlers, upgrades={1: upgrade}, most_attempts=1)
    async with open_house(old) as house:
        parked = await house.workflows.start("w", "k", None)
        await house.worker().run_due()
        await house.workflows.signal(parked.id, Signal("s", "answer", "yes"))
    async with open_house(broken, node="n2") as house:
        await house.worker().run_due()
        instance = await house.instance(parked.id)
        assert (instance.status, instance.version, instance.state, instance.data) == ("failed", 1, "decide", "q")
        await house.workflows.retry(parked.id)
    async with open_house(upgrading, node="n3") as house:
        await house.worker().run_due()
        assert (await house.instance(parked.id)).data == {"question": "q", "answer": "yes"}


async def test_a_state_without_a_handler_is_left_alone_and_logged(
    open_house: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A version that lost a state does not touch the rows in it; a worker says so when it starts."""
    caplog.set_level(logging.WARNING)
    full = Workflow("w", 1, "a", {"a": to("b", wait=("go",)), "b": to("done")})
    async with open_house(full) as house:
        parked = await house.workflows.start("w", "k", None)
        await house.worker().run_due()
        await house.workflows.signal(parked.id, Signal("s", "go"))
    async with open_house(Workflow("w", 1, "a", {"a": to("done")}), node="n2") as house:
        worker = house.worker()
        await worker.start()
        assert await worker.run_due() == 0
        await worker.close()
        assert [(one.type, one.state, one.count) for one in caplog.records] == [("w", "b", 1)]  # type: ignore[attr-defined]


async def test_a_clock_that_steps_back(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """What is due at once stays so; a dead owner's lease and a pause between tries do not last for an hour more; a
    timer, which means wall time, waits for it."""
    tries: list[str] = []

    async def flaky(instance: Instance) -> Step:
        tries.append(instance.key)
        if len(tries) == 1:
            raise ArithmeticError
        return Step(state="done")

    machines = (Workflow("w", 1, "a", {"a": to("done")}), Workflow("f", 1, "a", {"a": flaky}), asking(clock, 60))
    async with open_house(*machines) as house:
        dead = await house.workflows.start("w", "dead", None)
        assert len(await house.worker()._claim(8)) == 1
        failing = await house.workflows.start("f", "k", None)
        timed = await house.workflows.start("ask", "k", "q")
        worker = house.worker()
        await worker.run_due()
        ready = await house.workflows.start("w", "ready", None)
        clock.jump(-HOUR)
        await worker.run_due()
        states = [(await house.instance(one.id)).status for one in (dead, failing, ready, timed)]
        assert states == ["done", "done", "done", "open"]
        clock.advance(HOUR + 59)
        assert await worker.run_due() == 0
        clock.advance(1)
        await worker.run_due()
        assert (await house.instance(timed.id)).state == "expired"


async def test_a_clock_that_steps_forward(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """Timers fire, and a live owner may lose its step to another; it is applied once all the same."""
    begun, go, runs = asyncio.Event(), asyncio.Event(), list[str]()

    async def a(instance: Instance) -> Step:
        runs.append(instance.owner)
        if len(runs) == 1:
            begun.set()
            await go.wait()
        return effects(instance, "done")

    async with open_house(Workflow("w", 1, "a", {"a": a}), asking(clock, 60)) as house:
        timed = await house.workflows.start("ask", "t", "q")
        worker = house.worker()
        await worker.run_due()
        await house.workflows.start("w", "k", None)
        live = asyncio.create_task(worker.run_due())
        await begun.wait()
        clock.jump(HOUR)
        await house.worker().run_due()
        go.set()
        await live
        assert (await house.instance(timed.id)).state == "expired"
        assert len(runs) == 2
        assert await house.marks() == ["k:0", "t:1"]


async def test_instances_are_listed_and_forgotten(open_house: Callable[..., Any], clock: ManualClock) -> None:
    """Newest first, page by page, by tenant, type and status; what was done long ago goes, with its signals."""
    machines = (Workflow("w", 1, "a", {"a": to("done")}), asking(clock))
    async with open_house(*machines) as house:
        workflows = house.workflows
        ids = [(await workflows.start("w", f"k{n}", None, tenant="t")).id for n in range(3)]
        parked = (await workflows.start("ask", "k", "q", tenant="u")).id
        assert await workflows.signal(ids[0], Signal("s", "x")) == "kept"
        await house.worker().run_due()
        page = await workflows.find(limit=2)
        assert [one.id for one in page] == [parked, ids[2]]
        assert [one.id for one in await workflows.find(before=page[-1].id)] == [ids[1], ids[0]]
        assert [one.id for one in await workflows.find(tenant="u")] == [parked]
        assert [one.id for one in await workflows.find(type_name="ask", status="open")] == [parked]
        assert await workflows.get("nobody") is None
        assert await workflows.forget(clock.now_ns()) == 0
        clock.advance(1)
        assert await workflows.forget(clock.now_ns(), most=2) == 2
        assert await workflows.forget(clock.now_ns()) == 1
        assert [one.id for one in await workflows.find()] == [parked]
        assert (await workflows.start("w", "k0", None, tenant="t")).new


def test_definitions_that_do_not_fit_are_refused() -> None:
    """A first state without a handler, an end with one, an upgrade from a newer version, the same version twice."""
    handlers = {"a": to("done")}
    for wrong in (
        lambda: Workflow("w", 1, "b", handlers),
        lambda: Workflow("w", 1, "a", handlers, frozenset({"a"})),
        lambda: Workflow("w", 1, "a", handlers, upgrades={1: lambda state, data: (state, data)}),
        lambda: Definitions(Workflow("w", 1, "a", handlers), Workflow("w", 1, "a", handlers)),
        lambda: Definitions().taking("w", 1),
    ):
        with pytest.raises(ValueError, match="w"):
            wrong()


async def test_a_process_without_definitions_takes_nothing(open_house: Callable[..., Any]) -> None:
    """It leaves all there is to others."""
    async with open_house(Workflow("w", 1, "a", {"a": to("done")})) as house:
        await house.workflows.start("w", "k", None)
    async with open_house(node="n2") as house:
        assert await house.worker().run_due() == 0
        assert await house.workflows.unhandled() == [("w", 1, "a", 1)]


async def test_a_lease_has_bounds(open_house: Callable[..., Any]) -> None:
    """One of five minutes could not be told from one of a clock that was set back."""
    async with open_house() as house:
        for lease_ns in (0, 300 * SECOND):
            with pytest.raises(ValueError, match="lease"):
                house.worker(lease_ns=lease_ns)


async def test_a_row_that_somebody_has_locked_is_passed_over(postgres: Postgres) -> None:
    """On PostgreSQL a claim takes the next row instead of waiting, and all writers with it."""
    engine: Any = postgres.new()
    house = await opened(engine, ManualClock(), Workflow("w", 1, "a", {"a": to("done")}))
    locked, free = [await house.workflows.start("w", key, None) for key in ("a", "b")]
    other: Any = engine_for(f"{postgres.url}?search_path={postgres.schemas[-1]}", Path())

    def hold() -> Any:
        connection = other._connect("")
        connection.script("BEGIN")
        connection.execute("SELECT 1 FROM workflows WHERE id = ? FOR UPDATE", (locked.id,))
        return connection

    connection = await asyncio.to_thread(hold)
    await house.worker().run_due()
    assert (await house.instance(free.id)).status == "done"
    await asyncio.to_thread(connection.close)
    await house.worker().run_due()
    assert (await house.instance(locked.id)).status == "done"
    await house.database.close()
