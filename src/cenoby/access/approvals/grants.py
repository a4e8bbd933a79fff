"""Grants: a person's yes that holds for more than one call, of one agent and one tool, until a time.

A grant is bound to the exact arguments, unless the person said `any arguments`; what is critical is never granted for
any arguments. A grant for a conversation holds for calls that name the same one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cenoby.access.actions import RiskTier
from cenoby.access.approvals.sql import Approval
from cenoby.access.roles import AccessRefused
from cenoby.kernel.ids import new_id
from cenoby.store.engine import Connection


class Scope(msgspec.Struct, frozen=True):
    """For how much a person says yes.

    Attributes:
        kind: this one call; calls in the conversation that it names; or calls for a time.
        minutes: for how long, where it is for more than one call.
        any_arguments: for other arguments, too.
    """

    kind: Literal["once", "conversation", "time"] = "once"
    minutes: int = 0
    any_arguments: bool = False

    def to_text(self) -> str:
        """As a row keeps it."""
        if self.kind == "once":
            return "once"
        return f"{self.kind}:{self.minutes}:{'any' if self.any_arguments else 'exact'}"


ONCE = Scope()


class Grant(msgspec.Struct, frozen=True):
    """A yes for more than one call. Times are Unix nanoseconds.

    Attributes:
        approval: the decision it came with.
        digest: of the arguments it is bound to; empty for any.
        conversation: in which it holds; empty for all.
        risk: the tier of the call that the person saw; a call of a higher one needs a decision of its own.
    """

    id: str
    tenant: str
    approval: str
    agent: str
    tool: str
    action: str
    digest: str
    conversation: str
    risk: int
    granted_by: str
    created_ns: int
    expires_ns: int


def check_scope(scope: Scope, request: Approval, longest_minutes: int) -> None:
    """Pass if a request can be approved for so much.

    Raises:
        AccessRefused: `approval_scope`.
    """
    if scope.kind == "once":
        problem = "one call is for exactly its arguments" if scope.any_arguments else ""
    elif scope.kind == "conversation" and not request.conversation:
        problem = "the call named no conversation"
    elif not 0 < scope.minutes <= longest_minutes:
        problem = f"it is for 1 to {longest_minutes} minutes (approvals.longest_grant_minutes)"
    elif scope.any_arguments and request.risk >= RiskTier.CRITICAL:
        problem = "what is critical is never approved for any arguments"
    else:
        problem = ""
    if problem:
        raise AccessRefused("approval_scope", f"Request {request.id} cannot be approved so: {problem}.")


def grant_of(request: Approval, scope: Scope, granted_by: str, now_ns: int) -> Grant | None:
    """What a yes brings beyond the one call; None where it is for that alone."""
    if scope.kind == "once":
        return None
    return Grant(
        id=new_id(),
        tenant=request.tenant,
        approval=request.id,
        agent=request.agent,
        tool=request.tool,
        action=request.action,
        digest="" if scope.any_arguments else request.digest,
        conversation=request.conversation if scope.kind == "conversation" else "",
        risk=request.risk,
        granted_by=granted_by,
        created_ns=now_ns,
        expires_ns=now_ns + scope.minutes * 60_000_000_000,
    )


def add_grant(connection: Connection, grant: Grant) -> None:
    """Keep a grant; runs inside one `Database.write`."""
    connection.execute(_ADD, msgspec.structs.astuple(grant))


def matching_grant(connection: Connection, request: Approval, now_ns: int) -> str:
    """The id of a grant under which the call of `request` goes through; empty where there is none.

    What is critical goes through only with the arguments that were approved, whatever the grant says.
    """
    row = connection.execute(
        _FIND,
        {
            "agent": request.agent,
            "tool": request.tool,
            "action": request.action,
            "tenant": request.tenant,
            "digest": request.digest,
            "conversation": request.conversation,
            "risk": request.risk,
            "exact": int(request.risk >= RiskTier.CRITICAL),
            "now": now_ns,
        },
    ).fetchone()
    return "" if row is None else row[0]


def revoke_grants(connection: Connection, tenant: str, approval: str, by: str, now_ns: int) -> int:
    """End the grants that came with a decision; how many there were that held."""
    return connection.execute(_REVOKE, (now_ns, by, approval, tenant, now_ns)).rowcount


_ADD = (
    f"INSERT INTO approval_grants ({', '.join(Grant.__struct_fields__)})"  # noqa: S608 - our own columns
    f" VALUES ({', '.join('?' * len(Grant.__struct_fields__))})"
)
_FIND = (
    "SELECT id FROM approval_grants WHERE agent = :agent AND tool = :tool AND action = :action AND tenant = :tenant"
    " AND (digest = :digest OR (digest = '' AND :exact = 0))"
    " AND (conversation = '' OR conversation = :conversation) AND risk >= :risk"
    " AND expires_ns > :now AND revoked_ns IS NULL ORDER BY id LIMIT 1"
)
_REVOKE = (
    "UPDATE approval_grants SET revoked_ns = ?, revoked_by = ?"
    " WHERE approval = ? AND tenant = ? AND revoked_ns IS NULL AND expires_ns > ?"
)
