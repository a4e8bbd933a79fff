"""The watchdog: a MAD that blocks the loop or holds too much is made anew, and nobody else is blamed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.mad import Mad, Prompt
from cenoby.colony.tool import ToolContent, tool
from cenoby.colony.watchdog import Watchdog, resident_bytes
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.events import Event, name_of
from cenoby.kernel.settings import SupervisionSettings
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery
from cenoby.telemetry.metrics import Metrics

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
MIB = 1024 * 1024
LIMIT = 0.4


class Oaf(Mad):
    """Blocks the loop in every way that a MAD has."""

    name = "oaf"
    made = 0

    def __init__(self, *, slow_start: float = 0, holds: int | None = None) -> None:
        type(self).made += 1
        self.slow_start = slow_start
        self.holds = holds
        self.trouble: Callable[[], Any] = lambda: None

    async def start(self) -> None:
        time.sleep(self.slow_start)  # noqa: ASYNC251 - the fault that is tested

    def memory_bytes(self) -> int | None:
        return self.holds

    @tool("test:run", effect="reads")
    async def doze(self, call: Call) -> ToolContent:
        """Sleep on the loop."""
        time.sleep(3 * LIMIT)  # noqa: ASYNC251 - the fault that is tested
        return ToolContent([])

    @tool("test:run", effect="reads")
    async def ponder(self, call: Call) -> ToolContent:
        """Compute in C, which lets nobody else at the interpreter meanwhile."""
        began, length = time.monotonic(), 18
        while time.monotonic() - began < 2 * LIMIT:
            began, length = time.monotonic(), length + 1
            re.match(r"(a+)+$", "a" * length + "b")
        return ToolContent([])

    @tool("test:run", effect="reads")
    async def work_hard(self, call: Call) -> ToolContent:
        """Compute for long, in small steps."""
        ends = time.monotonic() + 4 * LIMIT
        while time.monotonic() < ends:
            time.sleep(LIMIT / 20)  # noqa: ASYNC251 - a small step
            await asyncio.sleep(0)
        return ToolContent([])

    @tool("test:run", effect="reads")
    async def doze_beside(self, call: Call) -> ToolContent:
        """Have work beside the calls sleep on the loop."""
        self.along.run(doze_outside(), "doze")
        return ToolContent([])

    @tool("test:run", effect="reads")
    async def wait(self, call: Call) -> ToolContent:
        """Wait as one should."""
        await asyncio.sleep(3 * LIMIT)
        return ToolContent([])

    def prompts(self) -> list[Prompt]:
        async def render(arguments: Any, client: Any = None) -> list[dict[str, Any]]:
            time.sleep(3 * LIMIT)  # noqa: ASYNC251 - the fault that is tested
            return []

        return [Prompt(name="yawn", description="Blocks.", action="test:run", render=render)]


class Bystander(Mad):
    """Does no harm."""

    name = "bystander"

    @tool("test:run", effect="reads")
    async def wait(self, call: Call) -> ToolContent:
        """Wait as one should."""
        await asyncio.sleep(LIMIT)
        return ToolContent([])


async def doze_outside() -> None:
    time.sleep(3 * LIMIT)  # noqa: ASYNC251 - the fault that is tested
    await asyncio.Event().wait()


@asynccontextmanager
async def colony_with(folder: Path, make: Callable[[], Mad] = Oaf, **supervision: Any) -> AsyncIterator[Colony]:
    Oaf.made = 0
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["grace"],
        "supervision": {"backoff": 0.01, "longest_backoff": 0.02, "longest_block": LIMIT} | supervision,
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        await colony.parts.supervisor.start(make)
        await colony.parts.supervisor.start(Bystander)
        yield colony


async def call(colony: Colony, name: str, who: Principal = ADA, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(name, arguments, who))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it can only be looked at
            await asyncio.sleep(0.01)


def restarted(colony: Colony, mad: str = "oaf") -> bool:
    supervisor = colony.parts.supervisor
    return supervisor.state(mad)[2] > 0 and supervisor.serves(mad)


async def reasons(colony: Colony, code: str = "mad_restarted") -> list[str]:
    """The reasons in all journalled events of that code, as soon as there is one."""
    found: list[str] = []
    journal, query = colony.parts.ports.journal, JournalQuery(code=code, kind="event", limit=100)
    async with asyncio.timeout(20):
        while not (page := await journal.page(query)).records:  # noqa: ASYNC110 - it can only be looked at
            await asyncio.sleep(0.01)
    for record in page.records:
        shown = await call(colony, "mads.grace.get_record", OLA, record_id=record.id)
        found.append(shown.value["payload"].get("notes", ""))
    return found


async def blocked_by(colony: Colony, tool_name: str) -> str:
    """The journalled reason of the restart that the call of that tool led to."""
    bystander = asyncio.create_task(call(colony, "mads.bystander.wait"))
    await asyncio.sleep(0)
    await call(colony, tool_name, **({"arguments": {}} if "/" in tool_name else {}))
    assert (await bystander).error is None
    await until(lambda: restarted(colony))
    assert colony.parts.supervisor.state("bystander")[2] == 0
    assert Oaf.made == 2
    (reason,) = await reasons(colony)
    return reason


async def test_a_tool_that_sleeps_on_the_loop(tmp_path: Path) -> None:
    """Its MAD is made anew with the tool's name in the journal; the MAD whose call waited meanwhile is not."""
    async with colony_with(tmp_path) as colony:
        reason = await blocked_by(colony, "mads.oaf.doze")
        assert re.fullmatch(r"blocked the loop for \d+\.\d s in mads\.oaf\.doze", reason)
        assert (await call(colony, "mads.oaf.wait")).error is None
        status = (await call(colony, "mads.grace.status", OLA)).value
        assert status["loop_lag_seconds"] > LIMIT
        rendered = colony.parts.ports.metrics.render().decode()
        assert 'cenoby_loop_blocked_total{mad="oaf"} 1.0' in rendered
        assert "cenoby_loop_lag_seconds " in rendered


async def test_a_tool_that_keeps_the_interpreter_to_itself(tmp_path: Path) -> None:
    """Code in C stops the watching thread, too; it finds the step in the moment in which it ends."""
    async with colony_with(tmp_path) as colony:
        assert (await blocked_by(colony, "mads.oaf.ponder")).endswith("in mads.oaf.ponder")


async def test_work_beside_the_calls(tmp_path: Path) -> None:
    """A task of `along` is its MAD's, also where no frame of its own class is on the stack."""
    async with colony_with(tmp_path) as colony:
        assert (await blocked_by(colony, "mads.oaf.doze_beside")).endswith("in the work beside the calls of oaf")


async def test_a_prompt(tmp_path: Path) -> None:
    """A prompt is its MAD's, also where a plain function makes it."""
    async with colony_with(tmp_path) as colony:
        assert (await blocked_by(colony, "mads.oaf.prompt/yawn")).endswith("in mads.oaf.prompt/yawn")


async def test_long_work_in_small_steps_blocks_nobody(tmp_path: Path) -> None:
    """What lets the loop go on between its steps is left alone, however long it takes in all."""
    async with colony_with(tmp_path) as colony:
        assert (await call(colony, "mads.oaf.work_hard")).error is None
        assert (await call(colony, "mads.oaf.wait")).error is None
        assert Oaf.made == 1


async def test_a_slow_start_is_nobodys_crime(tmp_path: Path) -> None:
    """A MAD that blocks while it starts is not made anew for it, which would take as long again."""
    async with colony_with(tmp_path, lambda: Oaf(slow_start=3 * LIMIT)) as colony:
        assert (await call(colony, "mads.oaf.wait")).error is None
        assert Oaf.made == 1
        assert 'cenoby_loop_blocked_total{mad="none"} 1.0' in colony.parts.ports.metrics.render().decode()


async def test_blocking_again_and_again(tmp_path: Path) -> None:
    """Restarts for a limit count for the restart intensity: in the end the MAD stays down, with the reason."""
    async with colony_with(tmp_path, restarts=1) as colony:
        await call(colony, "mads.oaf.doze")
        await until(lambda: restarted(colony))
        await call(colony, "mads.oaf.doze")
        await until(lambda: colony.parts.supervisor.state("oaf")[0] == "failed")
        assert "in mads.oaf.doze" in (await reasons(colony, "mad_failed"))[0]


async def test_no_limit(tmp_path: Path) -> None:
    """With longest_block null a MAD may block, and only the lag shows it."""
    async with colony_with(tmp_path, longest_block=None) as colony:
        await call(colony, "mads.oaf.doze")
        await asyncio.sleep(0.3)
        assert colony.parts.watchdog.lag().worst > LIMIT
        assert Oaf.made == 1


async def test_a_mad_that_says_it_holds_too_much(tmp_path: Path) -> None:
    """It is made anew; one below the limit and one that says nothing are not."""
    held = iter([300 * MIB, 1])
    async with colony_with(tmp_path, lambda: Oaf(holds=next(held)), max_mad_memory_mb=200) as colony:
        await until(lambda: restarted(colony))
        (reason,) = await reasons(colony)
        assert reason == "its memory, 300 MiB as it says, passed max_mad_memory_mb (200)"
        assert 'cenoby_mad_memory_bytes{mad="oaf"}' in colony.parts.ports.metrics.render().decode()


async def test_a_mad_that_cannot_say_what_it_holds(tmp_path: Path) -> None:
    """An error of its own code there breaks it, as any other does."""

    class Torn(Bystander):
        name = "torn"
        asked = 0

        def memory_bytes(self) -> int | None:
            Torn.asked += 1
            if Torn.asked == 1:
                raise KeyError("shelf")
            return 1

    async with colony_with(tmp_path, Torn, max_mad_memory_mb=200) as colony:
        await until(lambda: restarted(colony, "torn"))
        assert await reasons(colony) == ["it cannot say what it holds: KeyError: 'shelf'"]


def watchdog_of(colony: Colony, resident: Callable[[], int | None], limit: int) -> Watchdog:
    """A second watchdog over the same colony, for which the process is as large as it is told."""
    parts = colony.parts
    settings = SupervisionSettings(max_memory_mb=limit, backoff=0.01)
    notes: list[str] = []

    def note(event: Event) -> None:
        notes.append(name_of(event))

    made = Watchdog(settings, parts.ports.host, parts.supervisor, Metrics(), SystemClock(), note, resident=resident)
    vars(made)["notes"] = notes
    return made


async def test_a_process_over_its_limit(tmp_path: Path) -> None:
    """The MAD that reports most answers for it, once; again when it grew by a tenth, or was below meanwhile."""
    sizes = [90 * MIB, 120 * MIB, 125 * MIB, 140 * MIB, 50 * MIB, 101 * MIB]
    async with colony_with(tmp_path, lambda: Oaf(holds=7 * MIB)) as colony:
        watchdog = watchdog_of(colony, iter(sizes).__next__, 100)
        restarts: list[int] = []
        for _ in sizes:
            watchdog.look_at_memory()
            await until(lambda: colony.parts.supervisor.serves("oaf"))
            restarts.append(colony.parts.supervisor.state("oaf")[2])
        assert restarts == [0, 1, 1, 2, 2, 3]
        assert (
            "the memory of its process, 120 MiB, 7 MiB of it by this MAD as it says, passed max_memory_mb (100)"
            in await reasons(colony)
        )
        assert colony.parts.supervisor.state("bystander")[2] == 0


async def test_a_process_over_its_limit_whose_mads_say_nothing(tmp_path: Path) -> None:
    """Nobody is blamed among several; the only MAD of a process is."""
    async with colony_with(tmp_path) as colony:
        watchdog = watchdog_of(colony, lambda: 200 * MIB, 100)
        watchdog.look_at_memory()
        assert vars(watchdog)["notes"] == ["memory_limit_passed"]
        assert Oaf.made == 1
        for other in ("grace", "bystander"):
            await colony.parts.ports.host.remove(other)
        watchdog_of(colony, lambda: 200 * MIB, 100).look_at_memory()
        await until(lambda: restarted(colony))


async def test_the_real_memory_of_the_process_is_looked_at(tmp_path: Path) -> None:
    """A limit that any Python process passes is found passed by the colony itself, and journalled."""
    assert (resident_bytes() or 0) > MIB
    async with colony_with(tmp_path, max_memory_mb=1) as colony:
        assert len(await reasons(colony, "memory_limit_passed")) == 1
