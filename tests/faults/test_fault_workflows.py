"""Workflows whose processes are killed at every point, and two processes that want the same rows; on both engines."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from workflow_process import PARKED, POINTS, RACING_STEPS, STEPS, LateClock, killed, racing

from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.journal import Journal, JournalQuery
from cenoby.store.workflow_types import Definitions, Signal, Workflow
from cenoby.store.workflows import Workflows
from tests.stores import ENGINES, Postgres

PROCESS = Path(__file__).with_name("workflow_process.py")


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of its own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'colony.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    postgres.new()
    return f"{postgres.url}?search_path={postgres.schemas[-1]}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await Database.open(engine_for(url, Path()), clock=LateClock(0))
    yield database
    await database.close()


def started(way: str, url: str, log: Path, hours: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROCESS), way, url, str(log), str(hours)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def column(database: Database, statement: str) -> list[str]:
    rows = await database.read(lambda connection: connection.execute(statement).fetchall())
    return [row[0] for row in rows]


def told(database: Database, workflow: Workflow) -> Workflows:
    return Workflows(database, LateClock(0), Definitions(workflow))


@pytest.mark.slow
async def test_killed_at_every_step_boundary(url: str, database: Database, tmp_path: Path) -> None:
    """kill -9 after each claim, before and after each handler, inside each transaction and after each commit: each
    step's row, record and outbox item are there once, and the machine reaches its end."""
    log = tmp_path / "deaths"
    workflows = told(database, killed(None, LateClock(0)))  # type: ignore[arg-type]
    machine = await workflows.start("killed", "k", [])
    ends: list[int] = []
    while not ends or ends[-1] != 0:
        process = started("killed", url, log, hours=len(ends))
        process.communicate(timeout=60)
        ends.append(process.returncode)
        assert ends[-1] in (0, PARKED, -signal.SIGKILL)
        if ends[-1] == PARKED:
            # The signal is sent again each time; it is one all the same.
            await workflows.signal(machine.id, Signal("s", "go", "yes"))
        assert len(ends) < 60
    deaths = log.read_text().split()
    assert sorted(deaths) == sorted(f"{point}:{step}" for point in POINTS for step in range(len(STEPS)))
    assert ends.count(-signal.SIGKILL) == len(deaths)
    instance = await workflows.get(machine.id)
    assert instance is not None
    assert (instance.status, instance.step) == ("done", len(STEPS))
    assert instance.data == ["reserve", "ask", "yes", "rest"]
    numbers = range(len(STEPS))
    assert await column(database, "SELECT name FROM flags ORDER BY name") == [f"step-{n}" for n in numbers]
    assert await column(database, "SELECT id FROM outbox ORDER BY position") == [f"item-{n}" for n in numbers]
    journal = Journal(database, node="n1", clock=LateClock(0))
    records = (await journal.page(JournalQuery(kind="event", newest_first=False))).records
    assert [record.code for record in records] == [f"step_{n}" for n in numbers]
    assert (await journal.verify()).ok


@pytest.mark.slow
async def test_two_processes_want_the_same_rows(url: str, database: Database, tmp_path: Path) -> None:
    """Each may take each row before each step: every step is run by exactly one of them, once, and both get some."""
    log = tmp_path / "runs"
    workflows = told(database, racing(log, LateClock(0)))
    ids = [(await workflows.start("racing", f"k{number}", 0)).id for number in range(10)]
    processes = [started("racing", url, log) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    runs = [line.split() for line in log.read_text().splitlines()]
    assert len({pid for pid, _, _ in runs}) == 2
    steps = [(identifier, str(step)) for identifier in ids for step in range(RACING_STEPS + 1)]
    assert Counter((identifier, step) for _, identifier, step in runs) == Counter(steps)
    done = await workflows.find(status="done")
    assert [(one.id, one.data, one.attempts) for one in reversed(done)] == [(one, RACING_STEPS, 0) for one in ids]
    assert len(await column(database, "SELECT id FROM outbox")) == 10 * RACING_STEPS
