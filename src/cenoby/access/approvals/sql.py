"""The rows of approvals and of the calls parked under them. Every function runs inside one `Database.write` or `read`.

An approval is spent by the row's `used_by`, the id of one invocation: only a transaction that finds it empty sets it,
so of all who try, on any node, one wins. `begun_ns` is set in the transaction that records the intent of that call;
from then on nobody else may have the approval, whatever became of the call.
"""

# ruff: noqa: S608 - statements are put together from names in our own schema; values are always bound

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cenoby.access.verdicts import Ask
from cenoby.kernel.codec import from_json, to_json
from cenoby.store.engine import Connection

ApprovalStatus = Literal["pending", "approved", "denied", "expired", "used", "cancelled"]
Via = Literal["", "caller", "engine"]
"""Who spent an approval: nobody, its caller by calling again, or the engine that ran the parked call."""

NEVER_NS = 1 << 62
"""The expiry of what waits for a person however long that takes."""


class Approval(msgspec.Struct, frozen=True):
    """A request that a person decides one call of one agent with exactly these arguments. Times are Unix nanoseconds.

    Attributes:
        summary: the arguments as a person may see them, plain JSON types.
        digest: SHA-256 of the exact arguments.
        status: `used` once the call it allowed has been let through; `expired` when its time ran out before that.
        asks: why a person must decide.
        risk: the call's risk tier.
        needed: how many people must agree.
        conversation: the one that the caller named; empty for none.
        correlation: of the call that was parked.
        person: who the caller is, with all of its agents.
        seconded_by, seconded_person: the first of two who agreed.
        scope: for how much more than this call the person said yes (`approval_grants.py`).
        level: how many steps of the escalation chain were taken.
        used_via: who spent it.
        begun_ns: since when the call that spent it has had its intent on record.
    """

    id: str
    tenant: str
    agent: str
    tool: str
    action: str
    digest: str
    summary: Any
    status: ApprovalStatus
    created_ns: int
    expires_ns: int
    decided_by: str = ""
    decided_ns: int | None = None
    reason: str = ""
    used_ns: int | None = None
    used_by: str = ""
    asks: tuple[Ask, ...] = ()
    risk: int = 3
    needed: int = 1
    conversation: str = ""
    correlation: str = ""
    person: str = ""
    seconded_by: str = ""
    seconded_person: str = ""
    scope: str = "once"
    level: int = 0
    used_via: Via = ""
    begun_ns: int | None = None


class ParkedRow(msgspec.Struct, frozen=True):
    """What is kept of a call while it is parked, and of its end.

    Attributes:
        approval, tenant, agent: of the request it waits under.
        workflow: the instance that takes it on.
        context: the whole call, sealed; None once the call has ended.
        outcome: how it ended; empty until then.
        result: what it gave back, sealed; None before, and after its time.
        run: the invocation that ran it.
        ended_ns, collected_ns: since when it has ended, and since when its caller has had the result.
    """

    approval: str
    tenant: str
    agent: str
    workflow: str
    context: bytes | None
    outcome: str
    result: bytes | None
    run: str
    ended_ns: int | None
    collected_ns: int | None


def open_approval(
    connection: Connection, tenant: str, agent: str, tool: str, digest: str, now_ns: int
) -> Approval | None:
    """The newest request for exactly this call whose time has not run out and which has not been used."""
    row = connection.execute(
        f"{_SELECT} WHERE agent = ? AND tool = ? AND digest = ? AND tenant = ? AND used_ns IS NULL AND expires_ns > ?"
        " AND status <> 'cancelled' ORDER BY id DESC LIMIT 1",
        (agent, tool, digest, tenant, now_ns),
    ).fetchone()
    return None if row is None else _approval(row, now_ns)


def used_approval(
    connection: Connection, tenant: str, agent: str, tool: str, digest: str, now_ns: int
) -> tuple[Approval, ParkedRow] | None:
    """The newest request for exactly this call that the engine spent and whose result its caller has not had."""
    row = connection.execute(
        f"{_SELECT} WHERE agent = ? AND tool = ? AND digest = ? AND tenant = ? AND used_via = 'engine'"
        " AND EXISTS (SELECT 1 FROM parked_calls p WHERE p.approval = approvals.id AND p.collected_ns IS NULL"
        " AND (p.ended_ns IS NULL OR p.result IS NOT NULL)) ORDER BY id DESC LIMIT 1",
        (agent, tool, digest, tenant),
    ).fetchone()
    if row is None:
        return None
    found = _approval(row, now_ns)
    parked = read_parked(connection, tenant, found.id)
    return None if parked is None else (found, parked)


def count_pending(connection: Connection, tenant: str, now_ns: int, *, agent: str | None = None) -> int:
    """How many undecided requests there are: of one agent, or of all."""
    statement = "SELECT count(*) FROM approvals WHERE tenant = ? AND status = 'pending' AND expires_ns > ?"
    values: tuple[Any, ...] = (tenant, now_ns)
    if agent is not None:
        statement, values = f"{statement} AND agent = ?", (*values, agent)
    return connection.execute(statement, values).fetchone()[0]


def add_approval(connection: Connection, approval: Approval) -> None:
    """Add a pending request."""
    one = approval
    connection.execute(
        "INSERT INTO approvals (id, tenant, agent, tool, action, digest, summary, status, created_ns, expires_ns,"
        " decided_by, reason, asks, risk, needed, conversation, correlation, person)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, '', '', ?, ?, ?, ?, ?, ?)",
        (
            one.id, one.tenant, one.agent, one.tool, one.action, one.digest, to_json(one.summary).decode(),
            one.created_ns, one.expires_ns, to_json(one.asks).decode(), one.risk, one.needed, one.conversation,
            one.correlation, one.person,
        ),
    )  # fmt: skip


def use_approval(connection: Connection, identifier: str, invocation: str, via: Via, now_ns: int) -> bool:
    """Spend an approved request on an invocation; it never allows a second one. Whether it could be.

    The engine may spend again what it spent on a run that did not get as far as its intent.
    """
    cursor = connection.execute(
        "UPDATE approvals SET used_ns = ?, used_by = ?, used_via = ? WHERE id = ? AND status = 'approved'"
        " AND (used_ns IS NULL OR (used_via = 'engine' AND ? = 'engine' AND begun_ns IS NULL))",
        (now_ns, invocation, via, identifier, via),
    )
    return cursor.rowcount == 1


def begin_use(connection: Connection, identifier: str, invocation: str, now_ns: int) -> bool:
    """Mark that the call which spent a request goes on to its side effects; False where another has it by now."""
    cursor = connection.execute(
        "UPDATE approvals SET begun_ns = ? WHERE id = ? AND used_by = ? AND begun_ns IS NULL",
        (now_ns, identifier, invocation),
    )
    return cursor.rowcount == 1


def give_back_approval(connection: Connection, invocation: str) -> None:
    """Make the request that the invocation spent, if any, as good as unused."""
    connection.execute(
        "UPDATE approvals SET used_ns = NULL, used_by = '', used_via = '', begun_ns = NULL WHERE used_by = ?",
        (invocation,),
    )


def read_approval(connection: Connection, tenant: str, identifier: str, now_ns: int) -> Approval | None:
    """One request, as it stands at `now_ns`."""
    row = connection.execute(f"{_SELECT} WHERE id = ? AND tenant = ?", (identifier, tenant)).fetchone()
    return None if row is None else _approval(row, now_ns)


def read_approvals(
    connection: Connection, tenant: str, *, pending: bool, before: str, limit: int, now_ns: int
) -> list[Approval]:
    """Requests of a tenant, newest first; `before` is the id of the last one of the page before, or empty."""
    rows = connection.execute(
        f"{_SELECT} WHERE tenant = :tenant AND (NOT :pending OR (status = 'pending' AND expires_ns > :now))"
        " AND (:before = '' OR id < :before) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant, "pending": pending, "now": now_ns, "before": before, "limit": limit},
    )
    return [_approval(row, now_ns) for row in rows]


def decide_approval(connection: Connection, decided: Approval) -> bool:
    """Write the decision in `decided` if the request is still pending and in time, of another person than who decides,
    and not half decided by somebody else meanwhile; whether it was."""
    one = decided
    cursor = connection.execute(
        "UPDATE approvals SET status = ?, decided_by = ?, decided_ns = ?, reason = ?, expires_ns = ?, scope = ?"
        f" {_STILL_PENDING} AND agent <> ? AND seconded_by = ?",
        (
            one.status, one.decided_by, one.decided_ns, one.reason, one.expires_ns, one.scope, one.id, one.tenant,
            one.decided_ns, one.decided_by, one.seconded_by,
        ),
    )  # fmt: skip
    return cursor.rowcount == 1


def second_approval(connection: Connection, seconded: Approval, now_ns: int) -> bool:
    """Write the first of two agreements if the request is still pending and has none; whether it was."""
    one = seconded
    cursor = connection.execute(
        f"UPDATE approvals SET seconded_by = ?, seconded_person = ?, scope = ? {_STILL_PENDING} AND seconded_by = ''",
        (one.seconded_by, one.seconded_person, one.scope, one.id, one.tenant, now_ns),
    )
    return cursor.rowcount == 1


def end_pending(connection: Connection, ended: Approval) -> bool:
    """Write the end of a request that nobody decided, in `ended`, if it is still pending; whether it was."""
    cursor = connection.execute(
        "UPDATE approvals SET status = ?, decided_by = ?, decided_ns = ?, reason = ?, expires_ns = ?"
        " WHERE id = ? AND tenant = ? AND status = 'pending'",
        (ended.status, ended.decided_by, ended.decided_ns, ended.reason, ended.expires_ns, ended.id, ended.tenant),
    )
    return cursor.rowcount == 1


def raise_level(connection: Connection, tenant: str, identifier: str, level: int) -> None:
    """One more step of the escalation chain was taken."""
    connection.execute("UPDATE approvals SET level = ? WHERE id = ? AND tenant = ?", (level, identifier, tenant))


def add_parked(connection: Connection, approval: Approval, workflow: str, context: bytes) -> None:
    """Keep the whole call that waits under a request."""
    connection.execute(
        "INSERT INTO parked_calls (approval, tenant, agent, workflow, context) VALUES (?, ?, ?, ?, ?)",
        (approval.id, approval.tenant, approval.agent, workflow, context),
    )


def read_parked(connection: Connection, tenant: str, approval: str) -> ParkedRow | None:
    """What is kept of one parked call; None for requests from before calls were kept."""
    row = connection.execute(f"{_PARKED} WHERE approval = ? AND tenant = ?", (approval, tenant)).fetchone()
    return None if row is None else ParkedRow(*row)


def end_parked(
    connection: Connection, approval: str, outcome: str, result: bytes | None, run: str, now_ns: int
) -> None:
    """Keep how a parked call ended, once; its context is not needed any more."""
    connection.execute(
        "UPDATE parked_calls SET outcome = ?, result = ?, run = ?, ended_ns = ?, context = NULL"
        " WHERE approval = ? AND ended_ns IS NULL",
        (outcome, result, run, now_ns, approval),
    )


def collect_parked(connection: Connection, approval: str, now_ns: int) -> bool:
    """The caller has the result now; whether it had not before."""
    cursor = connection.execute(
        "UPDATE parked_calls SET collected_ns = ? WHERE approval = ? AND ended_ns IS NOT NULL AND collected_ns IS NULL",
        (now_ns, approval),
    )
    return cursor.rowcount == 1


def forget_result(connection: Connection, approval: str) -> None:
    """Remove a kept result whose time is over."""
    connection.execute("UPDATE parked_calls SET result = NULL, context = NULL WHERE approval = ?", (approval,))


def _approval(row: tuple[Any, ...], now_ns: int) -> Approval:
    values = dict(zip(_FIELDS, row, strict=True))
    values["summary"] = from_json(values["summary"])
    values["asks"] = tuple(Ask(one["by"], one["reason"]) for one in from_json(values["asks"]))
    found = Approval(**values)
    if found.used_ns is not None:
        return msgspec.structs.replace(found, status="used")
    if found.status in ("pending", "approved") and found.expires_ns <= now_ns:
        return msgspec.structs.replace(found, status="expired")
    return found


_FIELDS = Approval.__struct_fields__
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM approvals"
_PARKED = f"SELECT {', '.join(ParkedRow.__struct_fields__)} FROM parked_calls"
_STILL_PENDING = "WHERE id = ? AND tenant = ? AND status = 'pending' AND expires_ns > ?"
