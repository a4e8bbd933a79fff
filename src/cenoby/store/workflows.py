"""Durable workflows: what is started, told and asked here outlives the process; `WorkflowWorker` takes it on.

Instances are rows, so what is parked costs nothing and stays parked over restarts and upgrades. An instance of a
version that nobody here takes on is left as it is, and `unhandled` tells of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from cenoby.kernel.clock import Clock
from cenoby.kernel.ids import new_id
from cenoby.store import workflow_sql
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.store.workflow_sql import Sent
from cenoby.store.workflow_types import Definitions, Instance, Signal

__all__ = ["Sent", "Started", "Workflows"]


class Started(NamedTuple):
    """The id of an instance, and whether it is new."""

    id: str
    new: bool


class Workflows:
    """The instances of a store.

    Args:
        database: where they are.
        clock: of this process; wall clocks of all who share the store agree as `cenoby.store.leases` says.
        definitions: what this process can start and take on.
    """

    def __init__(self, database: Database, clock: Clock, definitions: Definitions) -> None:
        self.database = database
        self.clock = clock
        self.definitions = definitions
        self.handled = workflow_sql.Filter(definitions)
        self.wakes: set[asyncio.Event] = set()
        """Set whenever something here may have become due."""

    async def start(self, type_name: str, key: str, data: Any, *, tenant: str = "") -> Started:
        """Start an instance of the newest version; where `key` is taken in this tenant and type, find that one.

        Args:
            type_name: of the workflow.
            key: what makes starting it twice the same as once.
            data: plain JSON types.
            tenant: whose it is.

        Raises:
            ValueError: no such workflow is defined.
            StoreUnavailable: it was not started.
        """
        instance = self.new_instance(type_name, key, data, tenant=tenant)
        started = await self.database.write(lambda connection: workflow_sql.start_workflow(connection, instance))
        self.nudge()
        return Started(*started)

    def new_instance(self, type_name: str, key: str, data: Any, *, tenant: str = "") -> Instance:
        """What `start_in` starts; arguments as for `start`."""
        workflow, now_ns = self.definitions.newest(type_name), self.clock.now_ns()
        return Instance(
            new_id(), tenant, type_name, workflow.version, key, workflow.first, "open", data, step=0, attempts=0,
            due_ns=workflow_sql.AT_ONCE, waits_for=(), owner="", token=0, lease_until_ns=0, error="",
            started_ns=now_ns, changed_ns=now_ns,
        )  # fmt: skip

    def start_in(self, connection: Connection, instance: Instance) -> Started:
        """As `start`, inside a transaction of the caller's own; call `nudge` after it."""
        return Started(*workflow_sql.start_workflow(connection, instance))

    async def signal(self, identifier: str, signal: Signal) -> Sent:
        """Tell an instance something; durable when it returns, whether or not the instance waits for it yet.

        Returns:
            `kept`, `duplicate` where a signal of that id was sent before, `ended` or `unknown`.

        Raises:
            StoreUnavailable: it was not sent.
        """
        sent: Sent = await self.database.write(lambda connection: self.signal_in(connection, identifier, signal))
        self.nudge()
        return sent

    def signal_in(self, connection: Connection, identifier: str, signal: Signal) -> Sent:
        """As `signal`, inside a transaction of the caller's own; call `nudge` after it."""
        return workflow_sql.send_signal(connection, identifier, signal, self.clock.now_ns())

    def nudge(self) -> None:
        """Let this process's workers look at once; those of others look by themselves."""
        for wake in self.wakes:
            wake.set()

    async def get(self, identifier: str) -> Instance | None:
        """One instance as it stands."""
        return await self.database.read(lambda connection: workflow_sql.read_instance(connection, identifier))

    async def find(
        self, *, tenant: str = "", type_name: str = "", status: str = "", before: str = "", limit: int = 100
    ) -> list[Instance]:
        """Instances, newest first.

        Args:
            tenant, type_name, status: only those; all where empty.
            before: id of the last one of the page before, or empty.
            limit: how many at most.
        """
        return await self.database.read(
            lambda connection: workflow_sql.read_instances(
                connection, tenant=tenant, type_name=type_name, status=status, before=before, limit=limit
            )
        )

    async def unhandled(self) -> list[tuple[str, int, str, int]]:
        """Open instances that nobody in this process takes on: type, version, state, how many."""
        return await self.database.read(lambda connection: workflow_sql.count_unhandled(connection, self.handled))

    async def retry(self, identifier: str) -> bool:
        """Give a failed instance all its attempts again, from the step that failed; False where there is none."""
        now_ns = self.clock.now_ns()
        found = await self.database.write(lambda connection: workflow_sql.retry_failed(connection, identifier, now_ns))
        self.nudge()
        return found

    async def forget(self, before_ns: int, most: int = 500) -> int:
        """Remove instances that were done before a time, with their keys and signals; how many, at most `most`."""
        return await self.database.write(lambda connection: workflow_sql.forget_done(connection, before_ns, most))
