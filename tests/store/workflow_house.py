"""A store with workflows in it, opened and closed like a process would; its clock is the test's."""

from __future__ import annotations

from dataclasses import dataclass

from cenoby.kernel.clock import Clock
from cenoby.store.database import Database
from cenoby.store.engine import Connection, Engine
from cenoby.store.journal import Entry, Journal, JournalQuery
from cenoby.store.outbox import Item
from cenoby.store.workflow_types import Definitions, Instance, Step, Workflow
from cenoby.store.workflow_worker import LEASE_NS, WorkflowWorker
from cenoby.store.workflows import Workflows


@dataclass
class House:
    """What one process has open."""

    database: Database
    journal: Journal
    workflows: Workflows
    clock: Clock

    def worker(self, lease_ns: int = LEASE_NS, concurrency: int = 8) -> WorkflowWorker:
        return WorkflowWorker(self.workflows, self.journal, lease_ns=lease_ns, concurrency=concurrency)

    async def instance(self, identifier: str) -> Instance:
        instance = await self.workflows.get(identifier)
        assert instance is not None
        return instance

    async def marks(self) -> list[str]:
        """Names that `mark` wrote, in order."""
        rows = await self.database.read(
            lambda connection: connection.execute("SELECT name FROM flags ORDER BY name").fetchall()
        )
        return [name for (name,) in rows]

    async def codes(self) -> list[str]:
        return [
            record.code
            for record in (await self.journal.page(JournalQuery(kind="event", limit=500, newest_first=False))).records
        ]

    async def put(self) -> list[str]:
        """Ids in the outbox, in order."""
        rows = await self.database.read(
            lambda connection: connection.execute("SELECT id FROM outbox ORDER BY position").fetchall()
        )
        return [identifier for (identifier,) in rows]


async def opened(store: Engine, clock: Clock, *workflows: Workflow, node: str = "n1") -> House:
    """Open a store as a process that knows these workflows."""
    database = await Database.open(store, clock=clock)
    journal = Journal(database, node=node, clock=clock)
    await journal.start()
    return House(database, journal, Workflows(database, clock, Definitions(*workflows)), clock)


def mark(connection: Connection, name: str) -> None:
    """Write a row that can be there once only."""
    connection.execute(
        "INSERT INTO flags (tenant, name, percentage, agents, reason, set_by, set_ns)"
        " VALUES ('t', ?, 1, '', '', '', 0)",
        (name,),
    )


def event(instance: Instance, code: str) -> Entry:
    return Entry("event", "t", "ada", instance.id, code=code)


def effects(instance: Instance, state: str, **more: object) -> Step:
    """A step with one effect of each kind, named after the instance's key and the step's number."""
    name = f"{instance.key}:{instance.step}"
    seen = instance.data.get("seen", []) if isinstance(instance.data, dict) else []
    values = {
        "data": {"seen": [*seen, instance.state]},
        "events": (event(instance, f"step_{instance.step}"),),
        "put": (Item(name, "t", "work", name.encode()),),
        "write": lambda connection: mark(connection, name),
    }
    return Step(state=state, **(values | more))  # type: ignore[arg-type]
