"""The durable workflow of a parked call: wait for a decision or for time, run it once, keep the result for its caller.

    wait ── decided: yes ──► run ──► kept ──► done
      │ └── time: tell the next in the chain, and wait on
      └──── decided: no, or time says no, or the caller wants it no more ──► kept

A step may be made again after a crash, by whoever has the workflow lease, on any node. What keeps a call from running
twice is its approval (`approval_sql.py`): a run that reached its intent is never followed by another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from cenoby.access.approvals import sql
from cenoby.access.approvals.decisions import DECIDED
from cenoby.access.approvals.events import (
    ApprovalEscalated,
    ApprovalTimedOut,
    ParkedCallEnded,
    ParkedCallResumed,
)
from cenoby.access.approvals.parked_calls import CallSeal, KeptResult, News, Outcome, Runner
from cenoby.access.approvals.sql import NEVER_NS, Approval, ParkedRow
from cenoby.access.approvals.times import ApprovalTimes, Due
from cenoby.access.roles import AccessRefused
from cenoby.kernel.clock import Clock
from cenoby.kernel.events import Event
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.store.journal import Entry, Journal, JournalQuery, Record
from cenoby.store.workflow_types import Definitions, Instance, Step, Workflow
from cenoby.store.workflow_worker import WorkflowWorker
from cenoby.store.workflows import Workflows

TYPE = "parked_call"
BY_TIME = "time"
"""Who decided what nobody did."""
_MINUTE_NS = 60_000_000_000
_MOST_TRIES = 6
"""Runs that do not get as far as the tool, because something is not there just now, before that is the result."""
_AT_ONCE = 16
_KEPT_FOREVER_NS = 30 * 24 * 60 * _MINUTE_NS
"""How long the rows of workflows that are done stay."""


class ParkedFlow:
    """Takes parked calls on.

    Args:
        database, journal, clock: of this process.
        settings: how long things last.
        seal: opens contexts, closes results.
        news: who else is told of escalations and ends.
    """

    def __init__(
        self, database: Database, journal: Journal, clock: Clock, settings: ApprovalSettings, seal: CallSeal, news: News
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._times = ApprovalTimes(settings)
        self._open_ns = settings.expire_minutes * _MINUTE_NS
        self._keep_ns = settings.keep_minutes * _MINUTE_NS
        self._seal = seal
        self._news = news
        self._run: Runner | None = None
        self._worker: WorkflowWorker | None = None
        self.workflows = Workflows(database, clock, Definitions(self.definition()))

    def definition(self) -> Workflow:
        """The state machine in its present version."""
        return Workflow(TYPE, 1, "wait", {"wait": self._wait, "run": self._resume, "kept": self._forget})

    async def start(self, run: Runner, lease_ns: int | None = None) -> WorkflowWorker:
        """Take on what is due until `stop`.

        Args:
            run: takes a call through the pipeline.
            lease_ns: nanoseconds until others take over what is in the hands of a process that says nothing.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        worker = self.worker(run, lease_ns)
        await self.workflows.forget(self._clock.now_ns() - _KEPT_FOREVER_NS)
        await worker.start()
        self._worker = worker
        return worker

    def worker(self, run: Runner, lease_ns: int | None = None) -> WorkflowWorker:
        """A worker that was not started; arguments as for `start`."""
        self._run = run
        more = {} if lease_ns is None else {"lease_ns": lease_ns}
        return WorkflowWorker(self.workflows, self._journal, concurrency=_AT_ONCE, **more)

    async def stop(self) -> None:
        """Take on no more; what is under way has some seconds to end."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            await worker.close()

    def park_in(self, connection: Connection, request: Approval, context: bytes) -> None:
        """Keep a call and begin its workflow, in the transaction of its request; call `workflows.nudge` after it."""
        sql.add_approval(connection, request)
        instance = self.workflows.new_instance(TYPE, request.id, {"approval": request.id}, tenant=request.tenant)
        self.workflows.start_in(connection, instance)
        sql.add_parked(connection, request, instance.id, context)

    async def _wait(self, instance: Instance) -> Step:
        request, _ = await self._read(instance)
        now_ns = self._clock.now_ns()
        if request.status == "approved" or (request.status == "used" and request.used_via == "engine"):
            return Step(state="run", data=instance.data)
        if request.status == "used":
            return self._end(instance, request, "repeated", run=request.used_by)
        if request.status in ("denied", "cancelled"):
            return self._end(instance, request, request.status)
        due, following_ns = self._due(request, now_ns)
        if due is None:
            return Step(state="wait", data=instance.data, wait=(DECIDED,), wake_ns=following_ns)
        if due.then == "escalate":
            return self._escalated(instance, request, due, following_ns)
        return self._timed_out(instance, request, due.then == "approve", now_ns)

    def _due(self, request: Approval, now_ns: int) -> tuple[Due | None, int | None]:
        """What time does to a request now, and when it does something next."""
        plan = [
            due
            for due in self._times.plan(request.risk, request.created_ns)
            if due.then != "escalate" or due.level > request.level
        ]
        if request.status == "expired":
            return Due(now_ns, "deny", request.level), None
        reached = [due for due in plan if due.at_ns <= now_ns]
        coming = [due.at_ns for due in plan if due.at_ns > now_ns]
        if request.expires_ns < NEVER_NS:
            coming.append(request.expires_ns)
        # A process that was away for long goes to where the chain is by now, and passes nobody over at its end.
        return (reached[-1] if reached else None), min(coming, default=None)

    def _escalated(self, instance: Instance, request: Approval, due: Due, following_ns: int | None) -> Step:
        raised = replace(request, level=due.level)
        return Step(
            state="wait",
            data=instance.data,
            wait=(DECIDED,),
            wake_ns=following_ns,
            events=(_entry(ApprovalEscalated(approval_id=request.id, level=due.level, to=due.to), request),),
            put=_items(self._news("escalated", raised)),
            write=lambda connection: sql.raise_level(connection, request.tenant, request.id, due.level),
        )

    def _timed_out(self, instance: Instance, request: Approval, approve: bool, now_ns: int) -> Step:
        verdict = "approve" if approve else "deny"
        ended = replace(
            request,
            status="approved" if approve else "denied",
            decided_by=BY_TIME,
            decided_ns=now_ns,
            reason="Nobody decided in time.",
            expires_ns=now_ns + self._open_ns,
        )

        def write(connection: Connection) -> None:
            if not sql.end_pending(connection, ended):
                raise RuntimeError(f"request {request.id} was decided while its time ran out")

        event = _entry(ApprovalTimedOut(approval_id=request.id, verdict=verdict), request)
        if approve:
            put = _items(self._news("approved", ended))
            return Step(state="run", data=instance.data, events=(event,), put=put, write=write)
        return self._end(instance, ended, "denied", events=(event,), write=write)

    async def _resume(self, instance: Instance) -> Step:
        request, parked = await self._read(instance)
        if request.status == "used" and request.used_via != "engine":
            return self._end(instance, request, "repeated", run=request.used_by)
        if parked is None or parked.context is None:
            return self._end(instance, request, "expired")
        if request.status == "used" and request.begun_ns is not None:
            return await self._recovered(instance, request)
        if request.status not in ("approved", "used"):
            return self._end(instance, request, "expired")
        return await self._through(instance, request, parked.context)

    async def _through(self, instance: Instance, request: Approval, context: bytes) -> Step:
        assert self._run is not None, "only a worker takes calls on, and it was given what runs them"
        try:
            call = await self._seal.open_call(request.id, context)
        except AccessRefused as error:
            kept = KeptResult("refused", error=error.to_wire())
            return await self._kept(instance, request, kept, "")

        async def announce(run: str) -> None:
            await self._journal.append(_entry(ParkedCallResumed(approval_id=request.id, run=run), request))

        ended = await self._run(call, request, announce)
        tries = int(instance.data.get("tries", 0)) + 1
        if ended.again_seconds is not None and tries < _MOST_TRIES:
            wake_ns = self._clock.now_ns() + round(ended.again_seconds * 1e9)
            return Step(state="run", data=instance.data | {"tries": tries}, wake_ns=wake_ns)
        return await self._kept(instance, request, ended.result, ended.run)

    async def _recovered(self, instance: Instance, request: Approval) -> Step:
        """The end of a run whose process died, or could not write it: what the journal has, else nobody knows."""
        record = await self._outcome_of(request)
        if record is None or record.status not in ("ok", "error"):
            return await self._kept(instance, request, _unknown(request), request.used_by)
        payload: dict[str, Any] = record.payload or {}
        result, error = payload.get("result"), payload.get("error")
        outcome: Outcome = "ok" if record.status == "ok" else "error"
        kept = KeptResult(outcome, value={"journalled": result}, error=error, record=record.id)
        return await self._kept(instance, request, kept, request.used_by)

    async def _outcome_of(self, request: Approval) -> Record | None:
        query = JournalQuery(correlation=request.correlation, limit=1000)
        while True:
            page = await self._journal.page(query)
            for record in page.records:
                if record.invocation == request.used_by and record.kind in ("outcome", "call"):
                    return await self._journal.get(record.id)
            if not page.next:
                return None
            query = replace(query, cursor=page.next)

    async def _kept(self, instance: Instance, request: Approval, kept: KeptResult, run: str) -> Step:
        sealed = await self._seal.close_result(request.id, kept)
        return self._end(instance, request, kept.outcome, run=run, result=sealed)

    def _end(
        self,
        instance: Instance,
        request: Approval,
        outcome: Outcome,
        *,
        run: str = "",
        result: bytes | None = None,
        events: tuple[Entry, ...] = (),
        write: Callable[[Connection], object] | None = None,
    ) -> Step:
        now_ns = self._clock.now_ns()

        def finish(connection: Connection) -> None:
            if write is not None:
                write(connection)
            sql.end_parked(connection, request.id, outcome, result, run, now_ns)

        event = ParkedCallEnded(approval_id=request.id, outcome=outcome, run=run)
        return Step(
            state="kept",
            data=instance.data,
            wake_ns=now_ns + self._keep_ns,
            events=(*events, _entry(event, request)),
            put=_items(self._news(f"ended:{outcome}", request)),
            write=finish,
        )

    async def _forget(self, instance: Instance) -> Step:
        approval: str = instance.data["approval"]
        return Step(
            state="done",
            data=instance.data,
            write=lambda connection: sql.forget_result(connection, approval),
        )

    async def _read(self, instance: Instance) -> tuple[Approval, ParkedRow | None]:
        approval, tenant, now_ns = instance.data["approval"], instance.tenant, self._clock.now_ns()

        def both(connection: Connection) -> tuple[Approval | None, ParkedRow | None]:
            found = sql.read_approval(connection, tenant, approval, now_ns)
            return found, sql.read_parked(connection, tenant, approval)

        request, parked = await self._database.read(both)
        if request is None:
            raise LookupError(f"the request {approval} of this parked call is gone")
        return request, parked


def _unknown(request: Approval) -> KeptResult:
    error = {
        "code": "outcome_unknown",
        "family": "fault",
        "message": f"The process that ran {request.tool} died in the midst of it. Nobody knows how far it came, and it "
        "was not run again: look at what it was to change, then decide anew.",
        "details": {"approval_id": request.id, "run": request.used_by},
    }
    return KeptResult("unknown", error=error)


def _items(item: Any) -> tuple[Any, ...]:
    return () if item is None else (item,)


def _entry(event: Event, request: Approval) -> Entry:
    return Entry.event(event, tenant=request.tenant, agent=request.agent, correlation=request.correlation)
