"""Parked calls whose processes are killed with kill -9 at every boundary of the run; on both engines."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from workflow_process import LateClock

sys.path.append(str(Path(__file__).parent.parent / "access"))

from parked_house import OLA, POINTS, Node

from cenoby.access.actions import RiskTier
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.journal import Journal, JournalQuery
from tests.stores import ENGINES, Postgres

PROCESS = Path(__file__).with_name("parked_process.py")


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of its own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'colony.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    postgres.new()
    return f"{postgres.url}?search_path={postgres.schemas[-1]}"


class Here:
    """The caller's and the deciding person's side: opened for a moment, because a file has one owner at a time."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Node:
        clock = LateClock(0)
        self._database = await Database.open(engine_for(self._url, Path()), clock=clock)
        journal = Journal(self._database, node="here", clock=clock)
        return Node(journal, self._database, clock, ApprovalSettings(), RiskTier.HIGH)  # type: ignore[arg-type]

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()


@pytest.fixture
async def approved(url: str) -> AsyncIterator[str]:
    """The id of a parked call that a person approved."""
    async with Here(url) as node:
        assert await node.call("a") == "approval_pending"
        (request,) = await node.approvals.list("default", pending=True)
        await node.approvals.decide(request.id, OLA, True)
    yield request.id


def run(url: str, log: Path, point: str, hours: int) -> int:
    return subprocess.run([sys.executable, str(PROCESS), url, str(log), point, str(hours)], check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_every_boundary_of_the_run(url: str, approved: str, tmp_path: Path, point: str) -> None:
    """A process is killed there, one that comes later goes on: at most one effect, exactly one end, `unknown` where
    nobody can know, and the decision stands."""
    log = tmp_path / "world"
    assert run(url, log, point, 1) == -signal.SIGKILL
    assert run(url, log, "", 2) == 0
    assert run(url, log, "", 3) == 0
    effects = log.read_text().splitlines() if log.exists() else []
    assert effects == ([] if point == "intended" else [f"{approved} a"])
    async with Here(url) as node:
        request, row = await node.approvals.parked(approved, "default")
        assert row is not None
        unknown = point in ("intended", "acted")
        assert (request.status, row.outcome) == ("used", "unknown" if unknown else "ok")
        ends = await node.journal.page(JournalQuery(code="parked_call_ended"))
        assert len(ends.records) == 1
        assert await node.call("a") == "kept"
