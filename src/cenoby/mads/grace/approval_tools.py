"""Grace's tools for approvals: what waits for a person, deciding it, and what became of a call that was parked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from cenoby.access.actions import RiskTier
from cenoby.access.approvals.approvals import Approvals
from cenoby.access.approvals.decisions import Via
from cenoby.access.approvals.grants import Scope
from cenoby.access.approvals.refusals import denied, unknown
from cenoby.access.approvals.sql import NEVER_NS, Approval, ParkedRow
from cenoby.access.roles import RoleTable
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import Clock, iso_time
from cenoby.mads.grace.paging import Cursor, Limit

Reason = Annotated[str, Field(description="Why; the asking agent and the journal get it.", max_length=2000)]
ApprovalId = Annotated[str, Field(description="Id of the request, from list_approvals.", max_length=64)]
ParkedId = Annotated[str, Field(description="Id that the call was parked under.", max_length=64)]

State = Literal[
    "pending", "approved", "running", "used", "ok", "error", "refused", "denied", "expired", "cancelled", "repeated",
    "unknown",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class AskView:
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ApprovalView:
    id: str
    status: str
    agent: str
    tool: str
    action: str
    arguments: Any
    """What the agent asks to do, without secrets."""
    digest: str
    """SHA-256 of the exact arguments the decision holds for."""
    created: str
    expires: str | None
    """When time decides, or what was decided lapses; null where it waits for a person however long."""
    decided_by: str
    decided: str | None
    reason: str
    risk: str
    asks: list[AskView]
    """Why a person must decide."""
    people_needed: int
    seconded_by: str
    """Who agreed first, where two people must."""
    scope: str
    conversation: str
    escalations: int


@dataclass(frozen=True, slots=True)
class ApprovalList:
    approvals: list[ApprovalView]
    next_cursor: str | None
    """Give this as `cursor` for the next page; null on the last one."""


@dataclass(frozen=True, slots=True)
class ApprovalDetail:
    approval: ApprovalView
    outcome: str
    """How the parked call ended; empty while it has not."""
    run: str
    """The invocation that ran it."""
    conversation: Any
    """The conversation that the caller named, word for word; null where it named none, and once the call has ended."""
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ParkedView:
    """A call that was parked, for its caller.

    Attributes:
        state: pending, approved (it is about to run), running, or how it ended.
        result: what the tool gave back, where it gave a value.
        blocks: its content blocks, where it gave these.
        error: where it failed, was refused or denied; the words of the person who decided are in its details, as data.
    """

    approval_id: str
    state: State
    tool: str
    digest: str
    created: str
    expires: str | None
    ended: str | None
    decided_by: str
    result: Any
    blocks: list[dict[str, Any]] | None
    error: dict[str, Any] | None
    record: str


@dataclass(frozen=True, slots=True)
class GrantsRevoked:
    approval_id: str
    grants: int


class ApprovalTools:
    """The part of Grace by which people decide, and callers learn what became of what they asked."""

    _approvals: Approvals
    _roles: RoleTable
    _clock: Clock

    @tool("approval:read", effect="reads", title="List approvals")
    async def list_approvals(
        self,
        call: Call,
        pending: Annotated[bool, Field(description="Only those that can still be decided.")] = True,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> ApprovalList:
        """List calls that wait for a person's decision, newest first, with exactly what they would do."""
        found = await self._approvals.list(call.principal.tenant, pending=pending, before=cursor or "", limit=limit + 1)
        page = found[:limit]
        following = page[-1].id if len(found) > limit else None
        return ApprovalList([approval_view(one) for one in page], following)

    @tool("approval:decide", effect="reads", title="Show an approval")
    async def show_approval(self, call: Call, approval_id: ApprovalId) -> ApprovalDetail:
        """Show one request with its whole context: why a person must decide, and the conversation word for word."""
        request, row = await self._approvals.parked(approval_id, call.principal.tenant)
        context = None if row is None else await self._approvals.context(row)
        return ApprovalDetail(
            approval=approval_view(request),
            outcome=row.outcome if row is not None else "",
            run=row.run if row is not None else request.used_by,
            conversation=context.messages if context is not None else None,
            metadata=context.metadata if context is not None else {},
        )

    @tool("approval:decide", effect="writes", title="Approve a call")
    async def approve(
        self,
        call: Call,
        approval_id: ApprovalId,
        reason: Reason = "",
        scope: Annotated[
            Literal["once", "conversation", "time"],
            Field(description="This call; calls of this tool in its conversation; or such calls for a time."),
        ] = "once",
        minutes: Annotated[int, Field(ge=0, le=100_000, description="For how long, where it is for more calls.")] = 0,
        any_arguments: Annotated[bool, Field(description="Such calls with other arguments, too.")] = False,
    ) -> ApprovalView:
        """Let one call with exactly the shown arguments through, once, or more as said. Nobody approves a request of
        their own, and what is critical needs two people."""
        return await self._decide(call, approval_id, reason, Scope(scope, minutes, any_arguments), approve=True)

    @tool("approval:decide", effect="writes", title="Deny a call")
    async def deny(self, call: Call, approval_id: ApprovalId, reason: Reason = "") -> ApprovalView:
        """Say no to a call that waits for approval."""
        return await self._decide(call, approval_id, reason, Scope(), approve=False)

    @tool("approval:decide", effect="writes", idempotent=True, title="Revoke what was approved for more calls")
    async def revoke_approval(self, call: Call, approval_id: ApprovalId) -> GrantsRevoked:
        """End what a decision approved beyond its one call; calls are asked for again from now on."""
        request = await self._approvals.get(approval_id, call.principal.tenant)
        ended = await self._approvals.revoke_grants(request.id, call.principal, _via(call, "revoke_approval"))
        return GrantsRevoked(request.id, ended)

    @tool("colony:read", effect="reads", title="What became of a parked call", sensitive_result=True)
    async def get_parked(self, call: Call, approval_id: ParkedId) -> ParkedView:
        """Show what became of a call of the caller's own that was parked for approval, and its result once it is
        there."""
        request, row = await self._own(call, approval_id)
        return await self._parked_view(request, row)

    @tool("colony:read", effect="writes", title="Cancel a parked call")
    async def cancel_parked(self, call: Call, approval_id: ParkedId) -> ParkedView:
        """Let go of a call of the caller's own that is parked and not decided; it will not run."""
        await self._approvals.cancel(approval_id, call.principal)
        request, row = await self._own(call, approval_id)
        return await self._parked_view(request, row)

    async def _own(self, call: Call, approval_id: str) -> tuple[Approval, ParkedRow | None]:
        request, row = await self._approvals.parked(approval_id, call.principal.tenant)
        if request.agent != call.principal.agent:
            raise unknown(approval_id)
        return request, row

    async def _parked_view(self, request: Approval, row: ParkedRow | None) -> ParkedView:
        kept = None if row is None else await self._approvals.result(row, collect=True)
        error = kept.error if kept is not None else None
        if request.status == "denied":
            error = denied(request).to_wire()
        return ParkedView(
            approval_id=request.id,
            state=_state(request, row),
            tool=request.tool,
            digest=request.digest,
            created=iso_time(request.created_ns),
            expires=_expiry(request),
            ended=None if row is None or row.ended_ns is None else iso_time(row.ended_ns),
            decided_by=request.decided_by,
            result=kept.value if kept is not None else None,
            blocks=kept.blocks if kept is not None else None,
            error=error,
            record=kept.record if kept is not None else "",
        )

    async def _decide(self, call: Call, approval_id: str, reason: str, scope: Scope, *, approve: bool) -> ApprovalView:
        decided = await self._approvals.decide(
            approval_id, call.principal, approve, reason, scope=scope, via=_via(call, "approve" if approve else "deny")
        )
        return approval_view(decided)


def approval_view(approval: Approval) -> ApprovalView:
    """A request for approval for people."""
    return ApprovalView(
        id=approval.id,
        status=approval.status,
        agent=approval.agent,
        tool=approval.tool,
        action=approval.action,
        arguments=approval.summary,
        digest=approval.digest,
        created=iso_time(approval.created_ns),
        expires=_expiry(approval),
        decided_by=approval.decided_by,
        decided=None if approval.decided_ns is None else iso_time(approval.decided_ns),
        reason=approval.reason,
        risk=str(RiskTier(approval.risk)),
        asks=[AskView(ask.by, ask.reason) for ask in approval.asks],
        people_needed=approval.needed,
        seconded_by=approval.seconded_by,
        scope=approval.scope,
        conversation=approval.conversation,
        escalations=approval.level,
    )


def _expiry(approval: Approval) -> str | None:
    return None if approval.expires_ns >= NEVER_NS else iso_time(approval.expires_ns)


def _state(request: Approval, row: ParkedRow | None) -> State:
    if row is not None and row.outcome:
        return row.outcome  # type: ignore[return-value] - the flow writes these words alone
    if request.status == "used":
        return "running" if request.used_via == "engine" else "repeated"
    return request.status


def _via(call: Call, verb: str) -> Via:
    return Via(call.correlation, call.invocation, "grace", f"mads.grace.{verb}", "approval:decide")
