"""Deciding a request: once and for all, by somebody else than who asks, and by two people where it is critical.

A decision, what it grants, its record in the journal and the signal to the parked call are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from cenoby.access.approvals import refusals, sql
from cenoby.access.approvals.events import (
    ApprovalApproved,
    ApprovalDenied,
    ApprovalGranted,
    ApprovalGrantRevoked,
    ApprovalSeconded,
    ParkedCallCancelled,
)
from cenoby.access.approvals.grants import ONCE, Grant, Scope, add_grant, check_scope, grant_of, revoke_grants
from cenoby.access.approvals.parked_calls import News, PersonOf
from cenoby.access.approvals.sql import Approval
from cenoby.access.principals import Principal
from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.events import Event, name_of, plain_event
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.store.journal import Entry, Journal
from cenoby.store.outbox import put_item
from cenoby.store.workflow_types import Signal
from cenoby.store.workflows import Workflows

LONGEST_REASON = 2000
"""Characters of a decision's reason that are kept."""
DECIDED = "decided"
"""The signal to a parked call that its request is not pending any more."""


class Via(NamedTuple):
    """The call by which somebody decides: what the journal names beside the decision."""

    correlation: str = ""
    invocation: str = ""
    mad: str = ""
    tool: str = ""
    action: str = ""


class _Moved(Exception):
    """The request changed between the look and the write; look again."""


class ApprovalDecisions:
    """Takes decisions.

    Args:
        database, journal, clock: where they last, and when they were.
        workflows: tells parked calls.
        settings: how long a yes and a no hold, and for how long at most more than one call is approved.
        person_of: who is behind a principal.
        news: who else is told.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        workflows: Workflows,
        settings: ApprovalSettings,
        person_of: PersonOf,
        news: News,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._workflows = workflows
        self._settings = settings
        self._person_of = person_of
        self._news = news
        self._open_ns = settings.expire_minutes * 60_000_000_000

    async def decide(
        self, approval_id: str, approver: Principal, approve: bool, reason: str, scope: Scope, via: Via
    ) -> Approval:
        """As `Approvals.decide`."""
        while True:
            now_ns = self._clock.now_ns()
            request = await self._database.read(
                lambda connection: sql.read_approval(connection, approver.tenant, approval_id, now_ns)  # noqa: B023
            )
            if request is None:
                raise refusals.unknown(approval_id)
            decided = self._decided(request, approver, approve, reason[:LONGEST_REASON], scope, now_ns)
            try:
                return await self._write(request, decided, scope, approver, via, now_ns)
            except _Moved:
                continue

    def _decided(
        self, request: Approval, approver: Principal, approve: bool, reason: str, scope: Scope, now_ns: int
    ) -> Approval:
        """The request as this decision leaves it; pending where another person must agree, too."""
        if request.status != "pending":
            raise refusals.decided(request)
        person = self._person_of(approver)
        if approver.agent == request.agent or person == request.person:
            raise refusals.own(approver.agent)
        if approve:
            check_scope(scope, request, self._settings.longest_grant_minutes)
        if approve and request.needed > 1:
            if approver.kind != "person":
                raise refusals.no_person(approver.agent)
            if not request.seconded_by:
                return replace(request, seconded_by=approver.agent, seconded_person=person, scope=scope.to_text())
            if person == request.seconded_person:
                raise refusals.seconded(request)
        return replace(
            request,
            status="approved" if approve else "denied",
            decided_by=approver.agent,
            decided_ns=now_ns,
            reason=reason,
            expires_ns=now_ns + self._open_ns,
            scope=_agreed(request, scope).to_text() if approve else request.scope,
        )

    async def _write(
        self, request: Approval, decided: Approval, scope: Scope, approver: Principal, via: Via, now_ns: int
    ) -> Approval:
        grant = None
        if decided.status == "approved":
            grant = grant_of(decided, _agreed(request, scope), approver.agent, now_ns)

        def work(connection: Connection) -> None:
            if decided.status == "pending":
                won = sql.second_approval(connection, decided, now_ns)
            else:
                won = sql.decide_approval(connection, decided)
            if not won:
                raise _Moved
            if grant is not None:
                add_grant(connection, grant)
            self._tell(connection, decided, now_ns)

        entries = [_entry(event, approver, via) for event in _events(decided, grant)]
        await self._journal.write(work, *entries)
        self._workflows.nudge()
        return decided

    async def cancel(self, approval_id: str, caller: Principal) -> Approval:
        """As `Approvals.cancel`."""
        now_ns = self._clock.now_ns()

        def work(connection: Connection) -> Approval:
            request = sql.read_approval(connection, caller.tenant, approval_id, now_ns)
            if request is None or request.agent != caller.agent:
                raise refusals.unknown(approval_id)
            ended = replace(request, status="cancelled", decided_by=caller.agent, decided_ns=now_ns, reason="")
            if request.status != "pending" or not sql.end_pending(connection, ended):
                raise refusals.decided(request)
            self._tell(connection, ended, now_ns)
            return ended

        entry = _entry(ParkedCallCancelled(approval_id=approval_id), caller, Via())
        ended = await self._journal.write(work, entry)
        self._workflows.nudge()
        return ended

    async def revoke(self, approval_id: str, by: Principal, via: Via) -> int:
        """As `Approvals.revoke_grants`."""
        now_ns = self._clock.now_ns()

        def count(connection: Connection) -> int:
            return revoke_grants(connection, by.tenant, approval_id, by.agent, now_ns)

        ended = await self._database.write(count)
        if ended:
            await self._journal.append(_entry(ApprovalGrantRevoked(approval_id=approval_id, grants=ended), by, via))
        return ended

    def _tell(self, connection: Connection, request: Approval, now_ns: int) -> None:
        """Wake the parked call where the request is not pending any more, and tell whoever else wants to know."""
        parked = sql.read_parked(connection, request.tenant, request.id)
        if parked is not None and request.status != "pending":
            self._workflows.signal_in(connection, parked.workflow, Signal(f"{DECIDED}:{request.id}", DECIDED))
        item = self._news("seconded" if request.status == "pending" else request.status, request)
        if item is not None:
            put_item(connection, item, now_ns)


def _agreed(request: Approval, scope: Scope) -> Scope:
    """For how much two people said yes: for what both said, else for the one call."""
    if request.needed > 1 and request.scope != scope.to_text():
        return ONCE
    return scope


def _events(decided: Approval, grant: Grant | None) -> list[Event]:
    kinds: dict[str, Callable[..., Event]] = {
        "pending": ApprovalSeconded,
        "approved": ApprovalApproved,
        "denied": ApprovalDenied,
    }
    named = {"approval_id": decided.id, "agent": decided.agent, "tool": decided.tool, "digest": decided.digest}
    events = [kinds[decided.status](**named, notes=decided.reason)]
    if grant is not None:
        until = iso_time(grant.expires_ns)
        told = named | {"digest": grant.digest, "conversation": grant.conversation, "until": until}
        events.append(ApprovalGranted(grant=grant.id, **told))
    return events


def _entry(event: Event, who: Principal, via: Via) -> Entry:
    return Entry(
        kind="event",
        tenant=who.tenant,
        agent=who.agent,
        correlation=via.correlation,
        mad=via.mad,
        tool=via.tool,
        action=via.action,
        code=name_of(event),
        invocation=via.invocation,
        payload=plain_event(event),
    )
