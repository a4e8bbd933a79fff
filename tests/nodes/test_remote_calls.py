"""Calls between nodes when messages, answers and nodes are lost: what must not be done twice is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cenoby.access.roles import AccessRefused
from cenoby.bus.contract import BusUnavailable
from cenoby.colony.errors import ToolFault
from cenoby.colony.nodes import incoming as incoming_calls
from cenoby.colony.nodes.events import CallNews, LeaveWanted, RemoteCall
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError
from cenoby.store.database import Database
from tests.nodes.rig import Rig, is_body
from tests.nodes.roamer import Roamer


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    database = await Database.open(tmp_path / "colony.db", clock=SystemClock())
    rig = Rig(tmp_path, database)
    await rig.start()
    yield rig
    await rig.stop()
    await database.close()


def done(rig: Rig) -> list[str]:
    """What was done, over all nodes."""
    file = rig.folder / "done.txt"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - looks at files and mailboxes, which tell nobody
        await asyncio.sleep(0.01)


class Once:
    """True for the first few envelopes of a kind."""

    def __init__(self, kind: type[msgspec.Struct], times: int = 1) -> None:
        self._is, self._left = is_body(kind), times

    def __call__(self, envelope: Envelope) -> bool:
        if not self._is(envelope) or not self._left:
            return False
        self._left -= 1
        return True


@pytest.mark.parametrize("lost", [CallNews, LeaveWanted, RemoteCall])
async def test_a_lost_message_costs_time_only(rig: Rig, lost: type[msgspec.Struct]) -> None:
    """Whichever message of a call is lost once, the call is answered, and its work is done once."""
    await rig.serve("two", Roamer(rig.folder))
    rig.bus.loses = Once(lost)
    assert (await rig.call("do_once", number=1)).value["number"] == 1
    assert (await rig.call("where", number=2)).value["number"] == 2
    assert done(rig) == ["1"]


async def test_what_the_broker_gives_to_a_silent_node_goes_to_a_living_one(rig: Rig) -> None:
    """A broker may give each request to a node whose network is cut; asked again, the call goes to a node by name."""
    await rig.serve("two", Roamer(rig.folder))
    rig.living = ["two"]
    rig.bus.loses = lambda envelope: is_body(RemoteCall)(envelope) and envelope.recipient == "t.mad.roamer"
    assert (await rig.call("do_once", seconds_given=20, number=1)).value["number"] == 1
    assert (await rig.call("where", seconds_given=20, number=2)).value["number"] == 2
    assert done(rig) == ["1"]


@pytest.mark.parametrize("lost", [LeaveWanted, RemoteCall])
async def test_a_lost_answer_is_asked_for_again(rig: Rig, lost: type[msgspec.Struct]) -> None:
    """The work was done, or had leave, and the answer did not arrive: asking again finds it and does nothing anew."""
    await rig.serve("two", Roamer(rig.folder))
    rig.bus.loses_answer = Once(lost)
    assert (await rig.call("do_once", number=1)).value["number"] == 1
    assert done(rig) == ["1"]


async def test_a_call_that_reached_two_nodes_is_done_by_one(rig: Rig) -> None:
    """A copy of a signed call that is brought to the second node as well gets no leave there."""
    await rig.serve("two", Roamer(rig.folder))
    call = asyncio.ensure_future(rig.call("do_once", number=1, seconds=1.0))
    await until(lambda: done(rig))
    copy = next(one for one in rig.bus.sent if is_body(RemoteCall)(one))
    await rig.serving["two"]._by_mad["roamer"].close(seconds=0)
    await rig.serve("three", Roamer(rig.folder))
    await rig.bus.request(copy)
    assert (await call).value["number"] == 1
    await asyncio.sleep(0)
    assert done(rig) == ["1"]


async def test_a_node_that_came_back_does_not_begin_anew(rig: Rig) -> None:
    """Killed at work and restarted under its name: what it had begun is not begun again, and the caller is told."""
    first = await rig.serve("two", Roamer(rig.folder))
    call = asyncio.ensure_future(rig.call("do_once", number=1, seconds=30))
    await until(lambda: done(rig))
    await rig.kill(first)
    await rig.serve("two", Roamer(rig.folder))
    await asyncio.sleep(2.5)
    assert (done(rig), call.done()) == (["1"], False)
    rig.calls.node_lost("two", ["roamer"])
    with pytest.raises(ToolFault) as lost:
        await call
    assert lost.value.code == "node_lost"
    assert done(rig) == ["1"]


async def test_what_no_node_began_is_given_to_another(rig: Rig) -> None:
    """A node that dies with a call in its mailbox: the call, which must not be done twice, is done by another."""
    first = await rig.serve("two", Roamer(rig.folder), concurrency=1)
    busy = asyncio.ensure_future(rig.call("do_once", number=1, seconds=30))
    await until(lambda: done(rig))
    waiting = asyncio.ensure_future(rig.call("do_once", number=2))
    await asyncio.sleep(0.7)
    await rig.kill(first)
    await rig.serve("three", Roamer(rig.folder))
    rig.calls.node_lost("two", ["roamer"])
    assert (await waiting).value["number"] == 2
    with pytest.raises(ToolFault, match="is gone"):
        await busy
    assert done(rig) == ["1", "2"]


async def test_an_unsigned_refusal_ends_no_call(rig: Rig) -> None:
    """Who can write to the broker can answer with any error: no call is parked or refused by it."""
    lies = 0

    async def lie(envelope: Envelope) -> Any:
        nonlocal lies
        lies += 1
        raise AccessRefused("action_not_allowed", "You may not.")

    liar = await rig.bus.subscribe("t.mad.roamer", lie, group="liar")
    await rig.serve("two", Roamer(rig.folder))
    call = asyncio.ensure_future(rig.call("where", number=1))
    await until(lambda: lies or call.done())
    await liar.close()
    assert (await call).value["number"] == 1


async def test_nobody_there_is_unavailable(rig: Rig) -> None:
    """A MAD that was known and that nobody hosts: the caller is told when to try again."""
    first = await rig.serve("two", Roamer(rig.folder))
    await rig.kill(first)
    with pytest.raises(BusUnavailable) as away:
        await rig.call("do_once", number=1)
    assert away.value.retry_after


@pytest.mark.parametrize("skew", [-4.0, 4.0])
async def test_clocks_that_differ(tmp_path: Path, skew: float) -> None:
    """A node whose clock is 4 s off has as much time for a call as the caller gives it, and no more."""
    database = await Database.open(tmp_path / "colony.db", clock=SystemClock())
    rig = Rig(tmp_path, database, skew)
    await rig.start()
    await rig.serve("two", Roamer(rig.folder))
    assert (await rig.call("do_once", number=1, seconds=0.1, seconds_given=3)).value["number"] == 1
    with pytest.raises(CenobyError) as late:
        await rig.call("do_once", number=2, seconds=30, seconds_given=1)
    assert late.value.code == "tool_timeout"
    await rig.stop()
    await database.close()


async def test_a_caller_that_gives_up_ends_the_work(rig: Rig) -> None:
    """Cancelled at the caller's node, the tool is cancelled on its own, and what waits there never begins."""
    await rig.serve("two", Roamer(rig.folder), concurrency=1)
    busy = asyncio.ensure_future(rig.call("do_once", number=1, seconds=30))
    await until(lambda: done(rig))
    waiting = asyncio.ensure_future(rig.call("do_once", number=2))
    await asyncio.sleep(0.05)
    waiting.cancel()
    busy.cancel()
    await asyncio.wait([busy, waiting])
    await until(lambda: not rig.hosts["two"].mailbox_states()["roamer"].running)
    assert (await rig.call("do_once", number=3)).value["number"] == 3
    assert done(rig) == ["1", "3"]


async def test_answers_are_not_kept_for_ever(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls are served, what is kept of them is bounded."""
    incoming = await rig.serve("two", Roamer(rig.folder))
    monkeypatch.setattr(incoming_calls, "_KEPT_BYTES", 20 * 3000)
    for number in range(60):
        await rig.call("where", number=number)
    assert len(incoming._served) <= 30


async def test_a_watch_goes_on_where_its_mad_went(rig: Rig) -> None:
    """Cut off because its MAD leaves a node, or is made anew there, a call that waits for news is made again."""
    first, second = Roamer(rig.folder), Roamer(rig.folder)
    await rig.serve("two", first)
    watch = asyncio.ensure_future(rig.call("watch"))
    await first.is_watched()
    third = Roamer(rig.folder)
    rig.hosts["two"].hold("roamer")
    await rig.hosts["two"].replace(second)
    rig.hosts["two"].release("roamer")
    await second.is_watched()
    await rig.serve("three", third)
    rig.hosts["two"].leave("roamer")
    await rig.hosts["two"].end_watches("roamer")
    await third.is_watched()
    (rig.folder / "news").touch()
    assert (await watch).value == {"text": "news"}
