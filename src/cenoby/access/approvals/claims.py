"""Claiming an approval: a call that needs one uses it up, finds what its run gave back, or is parked.

Looking and using are one transaction, and all such transactions of all processes follow one another: of two runs of the
same call, whoever makes them, one gets the approval.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

from cenoby.access.actions import RiskTier
from cenoby.access.approvals import refusals, sql
from cenoby.access.approvals.events import CallParked
from cenoby.access.approvals.grants import matching_grant
from cenoby.access.approvals.parked_calls import ApprovalPorts, CallSeal, KeptResult, ParkedCall
from cenoby.access.approvals.parked_flow import BY_TIME, ParkedFlow
from cenoby.access.approvals.refusals import MAX_PENDING
from cenoby.access.approvals.sql import NEVER_NS, Approval, ParkedRow
from cenoby.access.approvals.times import ApprovalTimes
from cenoby.access.verdicts import Ask
from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.store.journal import Entry, Journal
from cenoby.store.outbox import put_item

_PATIENCE = 50
_LOOK_SECONDS = 0.1
"""A repeated call waits so many times so long for the run of the call that it repeats."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A call that needs a person's yes.

    Attributes:
        call: the whole call.
        action, risk: what policy decided on.
        digest: SHA-256 of the exact arguments.
        summary: what a person is shown of them, plain JSON types without secrets.
        asks: why a person must decide.
        resumes: the request under which the engine runs it; empty where its caller calls.
        people: how many must agree to this single call, whatever its tier; 0 where the tier says it.
    """

    call: ParkedCall
    action: str
    risk: RiskTier
    digest: str
    summary: Any
    asks: tuple[Ask, ...] = ()
    resumes: str = ""
    people: int = 0


class Passed(msgspec.Struct, frozen=True):
    """Why a call goes through.

    Attributes:
        approval: the request that it used up, or the grant under which it goes.
        granted: whether it is a grant.
        kept: what the engine's run of this very call gave back, where it ran before.
    """

    approval: str
    granted: bool = False
    kept: KeptResult | None = None


class _Found(msgspec.Struct, frozen=True):
    what: Literal["passed", "granted", "pending", "denied", "kept", "lost", "full", "nothing"]
    request: Approval
    parked: ParkedRow | None = None
    grant: str = ""


class ApprovalClaims:
    """Claims approvals for calls, and parks those that have none.

    Args:
        database, journal, clock: where requests last, and what is recorded of them.
        settings: how long things hold, and what two people must agree to.
        seal: closes contexts, opens results.
        flow: takes parked calls on.
        ports: what else `app` gives.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        settings: ApprovalSettings,
        seal: CallSeal,
        flow: ParkedFlow,
        ports: ApprovalPorts,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._seal = seal
        self._flow = flow
        self._ports = ports
        eyes = settings.four_eyes_from
        self._four_eyes_from = RiskTier.CRITICAL + 1 if eyes == "never" else RiskTier[eyes.upper()]
        self._times = ApprovalTimes(settings)

    async def check(self, wanted: Wanted) -> Passed:
        """Use up the approval of this very call, find what its run gave back, or park it.

        Raises:
            AccessRefused: `approval_pending` (with `approval_id` in the details) until somebody decides,
                `approval_running` while the engine runs it, `approval_denied` once they said no, until that lapses, and
                `approval_lost` where another run has the approval.
            LimitExceeded: `approvals_full`.
            AccessRefused: `seal_broken`: what is kept was changed.
            StoreUnavailable: it could not be made durable; the call does not go through.
        """
        request = self._request(wanted)
        found = await self._look(request, wanted)
        for _ in range(_PATIENCE):
            if found.what != "kept" or (found.parked is not None and found.parked.ended_ns is not None):
                return await self._answer(found)
            await asyncio.sleep(_LOOK_SECONDS)
            found = await self._look(request, wanted)
        raise refusals.running(found.request)

    async def _look(self, request: Approval, wanted: Wanted) -> _Found:
        found = await self._database.write(lambda connection: self._claim(connection, request, wanted))
        return await self._park(request, wanted) if found.what == "nothing" else found

    def _request(self, wanted: Wanted) -> Approval:
        call, now_ns = wanted.call, self._clock.now_ns()
        return Approval(
            id=new_id(),
            tenant=call.principal.tenant,
            agent=call.principal.agent,
            tool=call.tool,
            action=wanted.action,
            digest=wanted.digest,
            summary=wanted.summary,
            status="pending",
            created_ns=now_ns,
            expires_ns=self._times.expiry_ns(wanted.risk, now_ns),
            asks=wanted.asks,
            risk=wanted.risk,
            needed=max(wanted.people, 2 if wanted.risk >= self._four_eyes_from else 1),
            conversation=call.conversation,
            correlation=call.correlation,
            person=self._ports.person_of(call.principal),
        )

    def _claim(self, connection: Connection, request: Approval, wanted: Wanted) -> _Found:
        """What there is for this call: used up where it is a yes; runs inside one `Database.write`."""
        now_ns, run = request.created_ns, wanted.call.invocation
        if wanted.resumes:
            return self._resumed(connection, request, wanted)
        # What people must agree to call by call is not let through by what they said of another call.
        if not wanted.people and (grant := matching_grant(connection, request, now_ns)):
            return _Found("granted", request, grant=grant)
        found = sql.open_approval(connection, request.tenant, request.agent, request.tool, request.digest, now_ns)
        if found is not None and found.status == "approved" and not _suffices(found, request):
            # What it takes has become stricter since.
            found = None
        if found is not None and found.status == "approved":
            sql.use_approval(connection, found.id, run, "caller", now_ns)
            return _Found("passed", found)
        if found is not None:
            return _Found("denied" if found.status == "denied" else "pending", found)
        used = sql.used_approval(connection, request.tenant, request.agent, request.tool, request.digest, now_ns)
        if used is not None:
            if used[1].ended_ns is not None:
                sql.collect_parked(connection, used[0].id, now_ns)
            return _Found("kept", *used)
        if sql.count_pending(connection, request.tenant, now_ns, agent=request.agent) >= MAX_PENDING:
            return _Found("full", request)
        return _Found("nothing", request)

    def _resumed(self, connection: Connection, request: Approval, wanted: Wanted) -> _Found:
        now_ns = request.created_ns
        found = sql.read_approval(connection, request.tenant, wanted.resumes, now_ns)
        if found is None:
            return _Found("lost", request)
        same = (found.agent, found.tool, found.action, found.digest) == (
            request.agent, request.tool, request.action, request.digest,
        )  # fmt: skip
        enough = not wanted.asks or _suffices(found, request)
        if same and enough and sql.use_approval(connection, found.id, wanted.call.invocation, "engine", now_ns):
            return _Found("passed", found)
        return _Found("lost", found)

    async def _park(self, request: Approval, wanted: Wanted) -> _Found:
        call, ports = wanted.call, self._ports
        if call.conversation and ports.history is not None:
            messages = await ports.history(call.principal, call.conversation)
            call = msgspec.structs.replace(call, messages=messages)
        context = await self._seal.close_call(request.id, call)
        news = ports.news("parked", request)

        def park(connection: Connection) -> _Found:
            found = self._claim(connection, request, wanted)
            if found.what != "nothing":
                raise _Overtaken
            self._flow.park_in(connection, request, context)
            if news is not None:
                put_item(connection, news, request.created_ns)
            return _Found("pending", request)

        event = CallParked(
            approval_id=request.id,
            agent=request.agent,
            tool=request.tool,
            digest=request.digest,
            asked_by=tuple(ask.by for ask in request.asks),
            risk=str(RiskTier(request.risk)),
            people=request.needed,
            until=None if request.expires_ns == NEVER_NS else iso_time(request.expires_ns),
        )
        entry = Entry.event(event, tenant=request.tenant, agent=request.agent, correlation=request.correlation)
        try:
            parked = await self._journal.write(park, entry)
        except _Overtaken:
            # The same call came in twice at once, or somebody decided; what there is by now is looked at anew.
            return _Found("kept", request)
        self._flow.workflows.nudge()
        return parked

    async def _answer(self, found: _Found) -> Passed:
        request = found.request
        if found.what == "passed":
            return Passed(request.id)
        if found.what == "granted":
            return Passed(found.grant, granted=True)
        if found.what == "kept":
            assert found.parked is not None, "what is kept has a row"
            assert found.parked.result is not None, "only what has a result is found"
            return Passed(request.id, kept=await self._seal.open_result(request.id, found.parked.result))
        if found.what == "full":
            raise refusals.too_many(request.agent)
        if found.what == "lost":
            raise refusals.lost(request)
        raise refusals.denied(request) if found.what == "denied" else refusals.pending(request)


def _suffices(approved: Approval, request: Approval) -> bool:
    """Whether a yes is enough by now: one person's is not that of two, and time says yes to nothing of high risk."""
    by_time = approved.decided_by == BY_TIME and request.risk >= RiskTier.HIGH
    return approved.needed >= request.needed and not by_time


class _Overtaken(Exception):
    """Somebody else parked, or decided, the same call meanwhile."""
