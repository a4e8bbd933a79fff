"""The life of MADs: broken ones are made anew, and a person pauses, resumes, restarts and kills."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")


class Workshop:
    """What all instances of the worker share: how many were made, and how they shall behave."""

    def __init__(self) -> None:
        self.made = 0
        self.stopped = 0
        self.breaks = 0
        self.unstartable = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.begun = 0

    def make(self) -> Worker:
        self.made += 1
        return Worker(self)


class Worker(Mad):
    """Works, and has work of its own beside its calls that may break."""

    name = "worker"

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.number = shop.made
        self.broken = asyncio.Event()

    async def start(self) -> None:
        if self.shop.unstartable and self.number > 1:
            self.shop.unstartable -= 1
            raise OSError("no such device")
        self.along.run(self._beside(), "beside")

    async def stop(self) -> None:
        self.shop.stopped += 1

    async def _beside(self) -> None:
        if self.shop.breaks and self.number > 1:
            self.shop.breaks -= 1
            raise RuntimeError("broke again")
        await self.broken.wait()
        raise RuntimeError("broke")

    @tool("test:run", effect="reads")
    async def work(self, call: Call) -> ToolContent:
        """Say which instance works, once it may."""
        self.shop.begun += 1
        await self.shop.hold.wait()
        return ToolContent([{"type": "text", "text": str(self.number)}])

    @tool("test:run", effect="writes")
    async def shatter(self, call: Call) -> ToolContent:
        """Make the work beside the calls fail."""
        self.broken.set()
        return ToolContent([])


@asynccontextmanager
async def workshop(folder: Path, **supervision: Any) -> AsyncIterator[tuple[Colony, Workshop]]:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["grace"],
        "supervision": {"backoff": 0.01, "longest_backoff": 0.02} | supervision,
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        shop = Workshop()
        await colony.parts.supervisor.start(shop.make)
        yield colony, shop


async def call(colony: Colony, name: str, who: Principal = ADA, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(name, arguments, who))


async def worked_by(colony: Colony) -> str:
    """The number of the instance that answered, or the code of the error."""
    outcome = await call(colony, "mads.worker.work")
    return outcome.error.code if outcome.error else outcome.blocks[0]["text"] if outcome.blocks else ""


async def move(colony: Colony, verb: str, **arguments: Any) -> str:
    """The MAD's state after an operator's command, or the code of the error."""
    outcome = await call(colony, f"mads.grace.{verb}_mad", OLA, mad="worker", **arguments)
    return outcome.error.code if outcome.error else outcome.value["state"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it can only be looked at
            await asyncio.sleep(0.005)


def state(colony: Colony) -> str:
    return str(colony.parts.supervisor.state("worker")[0])


async def events(colony: Colony, code: str) -> int:
    page = await colony.parts.ports.journal.page(JournalQuery(code=code, kind="event", limit=100))
    return len(page.records)


async def test_a_mad_whose_own_work_breaks_is_made_anew(tmp_path: Path) -> None:
    """The next call is served by a new instance, the old one was stopped, and the journal has it; others go on."""
    async with workshop(tmp_path) as (colony, shop):
        assert await worked_by(colony) == "1"
        await call(colony, "mads.worker.shatter")
        await until(lambda: shop.made == 2)
        assert await worked_by(colony) == "2"
        assert (shop.stopped, state(colony)) == (1, "running")
        assert colony.parts.supervisor.state("worker")[2] == 1
        assert colony.parts.supervisor.state("grace")[2] == 0
        assert await events(colony, "mad_restarted") == 1
    assert shop.stopped == 2


async def test_calls_wait_for_the_new_instance(tmp_path: Path) -> None:
    """What comes while a MAD is down for a restart waits in its mailbox and is answered by the new one."""
    async with workshop(tmp_path, backoff=0.3, longest_backoff=0.3) as (colony, shop):
        await call(colony, "mads.worker.shatter")
        await until(lambda: state(colony) == "restarting")
        assert await asyncio.gather(*(worked_by(colony) for _ in range(5))) == ["2"] * 5
        assert shop.made == 2


async def test_one_that_keeps_breaking_is_given_up_until_a_person_restarts_it(tmp_path: Path) -> None:
    """After so many restarts in a row its tools refuse with the reason; restarted by hand it serves again."""
    async with workshop(tmp_path, restarts=3, within=60) as (colony, shop):
        shop.breaks = 100
        await call(colony, "mads.worker.shatter")
        await until(lambda: state(colony) == "failed")
        assert shop.made == 4
        outcome = await call(colony, "mads.worker.work")
        assert outcome.error is not None
        assert outcome.error.code == "mad_down"
        assert "broke more than 3 times" in outcome.error.message
        assert "RuntimeError: broke again" in outcome.error.message
        assert await events(colony, "mad_failed") == 1
        shop.breaks = 0
        assert await move(colony, "restart", reason="mended") == "running"
        assert await worked_by(colony) == "5"


async def test_one_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    """A start that fails counts as a break: it is tried again, and what waits is served in the end."""
    async with workshop(tmp_path) as (colony, shop):
        shop.unstartable = 2
        await call(colony, "mads.worker.shatter")
        await until(lambda: state(colony) != "running")
        await until(lambda: state(colony) == "running")
        assert await worked_by(colony) == str(shop.made) == "4"


async def test_a_paused_mad_lets_its_calls_wait(tmp_path: Path) -> None:
    """Calls under way end, new ones wait, and resuming serves them; the same instance does it all."""
    async with workshop(tmp_path) as (colony, shop):
        shop.hold.clear()
        under_way = asyncio.create_task(worked_by(colony))
        await until(lambda: shop.begun == 1)
        assert await move(colony, "pause", reason="a look") == "paused"
        waiting = [asyncio.create_task(worked_by(colony)) for _ in range(3)]
        shop.hold.set()
        assert await under_way == "1"
        await until(lambda: colony.parts.ports.host.mailbox_states()["worker"].waiting == 3)
        assert shop.begun == 1
        assert await move(colony, "resume") == "running"
        assert await asyncio.gather(*waiting) == ["1"] * 3
        assert await move(colony, "resume") == "running"


async def test_a_killed_mad_refuses_with_the_reason(tmp_path: Path) -> None:
    """Calls at work and waiting end at once, new ones are refused, the rest serves; a restart brings it back."""
    async with workshop(tmp_path) as (colony, shop):
        shop.hold.clear()
        at_work = asyncio.create_task(worked_by(colony))
        await until(lambda: shop.begun == 1)
        colony.parts.ports.host.hold("worker")
        waiting = asyncio.create_task(worked_by(colony))
        await until(lambda: colony.parts.ports.host.mailbox_states()["worker"].waiting == 1)
        assert await move(colony, "kill", reason="it misbehaves") == "killed"
        assert (await at_work, await waiting) == ("mad_stopped", "mad_down")
        outcome = await call(colony, "mads.worker.work")
        assert outcome.error is not None
        assert "it misbehaves (ola)" in outcome.error.message
        assert await move(colony, "pause", reason="x") == "mad_down"
        assert (await call(colony, "mads.grace.status", OLA)).status == "ok"
        assert shop.stopped == 1
        shop.hold.set()
        assert await move(colony, "restart", reason="again") == "running"
        assert await worked_by(colony) == "2"
        assert (await colony.parts.ports.journal.verify()).ok


async def test_a_restart_gives_up_what_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that outlasts the drain is told that its work may be done in part; who gave up themselves are not."""
    monkeypatch.setattr("cenoby.colony.host._DRAIN_SECONDS", 0.1)
    async with workshop(tmp_path) as (colony, shop):
        shop.hold.clear()
        left_alone, given_up = (asyncio.create_task(worked_by(colony)) for _ in range(2))
        await until(lambda: shop.begun == 2)
        moving = asyncio.create_task(move(colony, "restart", reason="new settings"))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await moving == "running"
        assert await left_alone == "mad_stopped"
        with pytest.raises(asyncio.CancelledError):
            await given_up


async def test_one_is_made_anew_when_its_time_is_up(tmp_path: Path) -> None:
    """`recycle_after` makes a MAD anew on purpose, again and again, without a failure."""
    async with workshop(tmp_path, recycle_after=0.05) as (colony, shop):
        await until(lambda: shop.made >= 3)
        assert int(await worked_by(colony)) >= 3
        assert await events(colony, "mad_failed") == 0


async def test_grace_does_not_stop_herself(tmp_path: Path) -> None:
    """Nobody could start anything again."""
    async with workshop(tmp_path) as (colony, _):
        outcome = await call(colony, "mads.grace.kill_mad", OLA, mad="grace", reason="x")
        assert outcome.error is not None
        assert outcome.error.code == "arguments_invalid"
        outcome = await call(colony, "mads.grace.kill_mad", OLA, mad="nobody", reason="x")
        assert outcome.error is not None
        assert "['grace', 'worker']" in outcome.error.message
