"""The worker of durable workflows: takes what is due under a workflow lease, runs its handlers, applies their steps."""

from __future__ import annotations

import asyncio
import logging
import traceback
from contextlib import suppress

from msgspec.structs import replace

from cenoby.kernel.ids import new_id
from cenoby.store import workflow_sql
from cenoby.store.database import StoreRefused, StoreUnavailable
from cenoby.store.events import WorkflowFailed
from cenoby.store.journal import Entry, Journal
from cenoby.store.workflow_types import Instance, Step, Workflow
from cenoby.store.workflows import Workflows

LEASE_NS = 30 * 1_000_000_000
_LOOK_SECONDS = 0.5
"""How often a worker looks for what became due by time, or in another process."""
_CLOSE_SECONDS = 5.0
_LATER_NS = 100_000_000
_LATEST_NS = 30_000_000_000
_LONGEST_ERROR = 16 * 1024
_log = logging.getLogger(__name__)


class WorkflowWorker:
    """Takes on what is due, so many instances at a time.

    Args:
        workflows: what it takes on.
        journal: of this process, in the same store.
        concurrency: instances at a time.
        lease_ns: nanoseconds until others may take an instance over whose holder says nothing.

    Raises:
        ValueError: the lease is longer than leases can be.
    """

    def __init__(
        self,
        workflows: Workflows,
        journal: Journal,
        *,
        concurrency: int = 8,
        lease_ns: int = LEASE_NS,
    ) -> None:
        if not 0 < lease_ns < workflow_sql.FARTHEST_NS:
            raise ValueError("a workflow lease is shorter than five minutes")
        self.owner = new_id()
        self._workflows = workflows
        self._journal = journal
        self._room = concurrency
        self._lease_ns = lease_ns
        self._wake = asyncio.Event()
        self._closing = False
        self._held: dict[asyncio.Task[None], Instance] = {}
        self._looking: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Report what nobody here takes on, then work until `close`.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        for type_name, version, state, count in await self._workflows.unhandled():
            _log.warning(
                "workflows are left alone: this program has no handler for them",
                extra={"type": type_name, "version": version, "state": state, "count": count},
            )
        self._workflows.wakes.add(self._wake)
        self._looking = asyncio.create_task(self._look(), name="workflows")
        self._keeping = asyncio.create_task(self._keep(), name="workflow-leases")

    async def close(self) -> None:
        """Let the steps that are under way end within some seconds, and give back what is not done by then."""
        self._closing = True
        self._workflows.wakes.discard(self._wake)
        self._wake.set()
        if self._looking is not None:
            await self._looking
        if self._held:
            await asyncio.wait(self._held, timeout=_CLOSE_SECONDS)
        left = [*self._held, *([self._keeping] if self._keeping else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def run_due(self) -> int:
        """Take on what is due now, until nothing more is; how many instances that were.

        Only a worker that was started renews its leases: here a step that takes longer than one may be made by others.

        Raises:
            StoreUnavailable: the store failed; what was begun is taken on again when its lease has run out.
        """
        count = 0
        while claimed := await self._claim(self._room):
            count += len(claimed)
            await asyncio.gather(*map(self._hold, claimed))
        return count

    async def _look(self) -> None:
        while not self._closing:
            self._wake.clear()
            room = self._room - len(self._held)
            claimed: list[Instance] = []
            if room:
                try:
                    claimed = await self._claim(room)
                except (StoreUnavailable, StoreRefused) as error:
                    _log.warning("workflows cannot be read", extra={"reason": error.message})
            for one in claimed:
                self._hold(one)
            if len(claimed) < room or not room:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS)

    async def _claim(self, most: int) -> list[Instance]:
        handled, now_ns = self._workflows.handled, self._workflows.clock.now_ns()
        return await self._workflows.database.write(
            lambda connection: workflow_sql.claim(
                connection, handled, self.owner, most, now_ns, now_ns + self._lease_ns
            )
        )

    def _hold(self, claimed: Instance) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(claimed), name=f"workflow:{claimed.type}:{claimed.id}")
        self._held[task] = claimed
        task.add_done_callback(self._let_go)
        return task

    def _let_go(self, task: asyncio.Task[None]) -> None:
        del self._held[task]
        self._wake.set()

    async def _run(self, instance: Instance | None) -> None:
        while instance is not None:
            instance = await self._advance(instance)

    async def _advance(self, claimed: Instance) -> Instance | None:
        """Make one step; the instance where it goes on at once."""
        workflow = self._workflows.definitions.taking(claimed.type, claimed.version)
        try:
            return await self._step(workflow, claimed)
        except asyncio.CancelledError:
            await self._give_back(claimed)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a step meets, it is made again or given up on the record
            code = error.code if isinstance(error, StoreRefused) else ""
            if code == "lease_lost":
                _log.warning("a step came too late", extra={"workflow": claimed.id, "reason": str(error)})
            elif code == "workflow_signalled":
                await self._give_back(claimed)
            else:
                trace = "".join(traceback.format_exception(error))[-_LONGEST_ERROR:]
                await self._fail(claimed, trace, last=claimed.attempts >= workflow.most_attempts)
        return None

    async def _step(self, workflow: Workflow, claimed: Instance) -> Instance | None:
        if claimed.attempts > workflow.most_attempts:
            raise TimeoutError(f"whoever made this step died before its end, {workflow.most_attempts} times")
        seen = claimed
        if seen.version != workflow.version:
            state, data = workflow.upgrades[seen.version](seen.state, seen.data)
            seen = replace(seen, version=workflow.version, state=state, data=data)
        step = await workflow.handlers[seen.state](seen)
        workflow.check(step)
        return await self._apply(seen, step, ended=step.state in workflow.ends)

    async def _apply(self, seen: Instance, step: Step, *, ended: bool) -> Instance | None:
        now_ns = self._workflows.clock.now_ns()
        lease_until_ns = None if self._closing else now_ns + self._lease_ns
        return await self._journal.write(
            lambda connection: workflow_sql.apply_step(
                connection, seen, step, ended=ended, now_ns=now_ns, lease_until_ns=lease_until_ns
            ),
            *step.events,
        )

    async def _fail(self, claimed: Instance, error: str, *, last: bool) -> None:
        """Try the step again later, or end the instance as failed, on the record."""
        now_ns = self._workflows.clock.now_ns()
        again_ns = None if last else now_ns + min(_LATER_NS << min(claimed.attempts - 1, 20), _LATEST_NS)
        entries = (_failed(claimed),) if last else ()
        try:
            await self._journal.write(
                lambda connection: workflow_sql.fail_step(connection, claimed, error, again_ns=again_ns, now_ns=now_ns),
                *entries,
            )
        except (StoreUnavailable, StoreRefused) as failure:
            # In other hands, or due again when its lease runs out.
            _log.warning("a failure is not recorded", extra={"workflow": claimed.id, "reason": failure.message})

    async def _give_back(self, claimed: Instance) -> None:
        try:
            await asyncio.shield(
                self._workflows.database.write(lambda connection: workflow_sql.release_claim(connection, claimed))
            )
        except StoreUnavailable as error:
            _log.warning("a workflow was not given back", extra={"workflow": claimed.id, "reason": error.message})

    async def _keep(self) -> None:
        """Hold what is under way; stop what is in other hands."""
        while True:
            await asyncio.sleep(self._lease_ns / 3e9)
            claims, until_ns = list(self._held.values()), self._workflows.clock.now_ns() + self._lease_ns
            if not claims:
                continue
            try:
                lost = await self._workflows.database.write(
                    lambda connection: workflow_sql.renew_claims(connection, claims, until_ns)  # noqa: B023 - run here
                )
            except StoreUnavailable as error:
                _log.warning("workflow leases not renewed", extra={"reason": error.message})
                continue
            for task, held in tuple(self._held.items()):
                if held.id in lost:
                    task.cancel()


def _failed(instance: Instance) -> Entry:
    failed = WorkflowFailed(
        type=instance.type,
        version=instance.version,
        state=instance.state,
        step=instance.step,
        attempts=instance.attempts,
    )
    return Entry.event(failed, tenant=instance.tenant, agent="colony", correlation=instance.id)
