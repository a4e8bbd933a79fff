"""What was parked by an older program goes on under a newer one, after its migration; both engines."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from parked_house import OLA, Node

from cenoby.access.actions import RiskTier
from cenoby.access.approvals.parked_flow import TYPE, ParkedFlow
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.journal import Journal
from cenoby.store.migrate import migrate
from cenoby.store.workflow_types import Definitions, Instance, Step, Workflow
from cenoby.store.workflows import Workflows
from tests.stores import Postgres

BEFORE = "0013_kill_switches"
OLD = (
    "INSERT INTO approvals (id, tenant, agent, tool, action, digest, summary, status, created_ns, expires_ns,"
    " decided_by, reason) VALUES ('old', 'default', 'ada', 'mads.hopper.deploy', 'deploy:staging', 'a', '{}',"
    f" 'pending', 0, {1 << 62}, '', '')"
)


async def node_on(store: Engine | Path, clock: ManualClock) -> tuple[Node, Database]:
    database = await Database.open(store, clock=clock)
    return Node(Journal(database, node="n", clock=clock), database, clock, ApprovalSettings(), RiskTier.HIGH), database


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_waited_before_the_migration_is_decided_after_it(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A request of the schema before, which kept no context: it is listed, decided, and lets its caller's call through,
    once."""
    store: Engine | Path = tmp_path / "old.db"
    if kind == "sqlite":
        migrate(tmp_path / "old.db", BEFORE)
        import sqlite3

        with sqlite3.connect(tmp_path / "old.db") as connection:
            connection.execute(OLD)
        connection.close()
    else:
        from cenoby.store import postgres_migrate

        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.new_url()
        postgres.script(postgres_migrate._script(None, BEFORE), url)
        postgres.script(OLD, url)
        store = engine_for(url, Path())
    node, database = await node_on(store, ManualClock(time.time_ns()))
    assert await node.call("a") == "approval_pending"
    (waiting,) = await node.approvals.list("default", pending=True)
    assert (waiting.id, waiting.needed, waiting.asks) == ("old", 1, ())
    await node.approvals.decide("old", OLA, True)
    assert [await node.call("a"), await node.call("a")] == ["ok", "approval_pending"]
    assert node.effects == [("old", "a")]
    await database.close()


class LaterFlow(ParkedFlow):
    """The next version of the state machine: other states, other data."""

    def definition(self) -> Workflow:
        def upgrade(state: str, data: Any) -> tuple[str, Any]:
            return f"v2_{state}", {"approval": data["approval"], "since": 2}

        async def wait(instance: Instance) -> Step:
            return _renamed(await self._wait(instance))

        async def resume(instance: Instance) -> Step:
            return _renamed(await self._resume(instance))

        handlers = {"v2_wait": wait, "v2_run": resume, "v2_kept": self._forget}
        return Workflow(TYPE, 2, "v2_wait", handlers, upgrades={1: upgrade})


def _renamed(step: Step) -> Step:
    from dataclasses import replace

    return replace(step, state=f"v2_{step.state}")


async def test_a_call_parked_by_one_version_is_run_by_the_next(store: Engine, clock: ManualClock) -> None:
    """The process stops with the call parked; the next program has another schema and another version of the workflow;
    the decision that comes then runs the call, once."""
    node, database = await node_on(store, clock)
    await node.call("a")
    await node.work()
    await database.close()
    later, database = await node_on(store, clock)
    await database.write(
        lambda connection: connection.execute("ALTER TABLE parked_calls ADD COLUMN later TEXT").rowcount
    )
    flow = later.approvals.flow
    flow.__class__ = LaterFlow
    flow.workflows = later.approvals._decisions._workflows = Workflows(database, clock, Definitions(flow.definition()))
    (waiting,) = await later.approvals.list("default", pending=True)
    await later.approvals.decide(waiting.id, OLA, True)
    await later.work()
    assert later.effects == [(waiting.id, "a")]
    _, row = await later.approvals.parked(waiting.id, "default")
    assert row is not None
    assert row.outcome == "ok"
    (instance,) = await flow.workflows.find(type_name=TYPE)
    assert (instance.version, instance.state) == (2, "v2_kept")
    await database.close()
