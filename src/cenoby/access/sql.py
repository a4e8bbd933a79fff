"""What `access` keeps, and all of its SQL. Every function runs inside one `Database.write` or `Database.read`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from cenoby.access.principals import Kind
from cenoby.kernel.clock import DAY_NS
from cenoby.kernel.codec import from_json, to_json
from cenoby.store.engine import Connection

ApprovalStatus = Literal["pending", "approved", "denied", "expired", "used"]


class Agent(msgspec.Struct, frozen=True):
    """A registered agent."""

    name: str
    tenant: str
    kind: Kind
    roles: tuple[str, ...]
    created_ns: int


class Token(msgspec.Struct, frozen=True):
    """A token of an agent, as kept: its SHA-256, never its text. Times are Unix nanoseconds."""

    id: str
    agent: str
    sha256: str
    purpose: str
    created_ns: int
    expires_ns: int | None
    revoked_ns: int | None


class Approval(msgspec.Struct, frozen=True):
    """A request that a person decides one call of one agent with exactly these arguments. Times are Unix nanoseconds.

    Attributes:
        summary: the arguments as a person may see them, plain JSON types.
        digest: SHA-256 of the exact arguments.
        status: `used` once the call it allowed has been let through; `expired` when its time ran out before that.
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


class Usage(msgspec.Struct, frozen=True):
    """Money of one agent on one UTC day, in micro-US-dollars. `held` is reserved and not settled; it counts as spent.

    `day` is in days since the Unix epoch.
    """

    agent: str
    tenant: str
    day: int
    held: int
    spent: int
    limit: int


def read_agents(connection: Connection) -> list[Agent]:
    """All agents."""
    rows = connection.execute("SELECT agent, tenant, kind, roles, created_ns FROM agents")
    return [Agent(name, tenant, kind, tuple(roles.split()), created) for name, tenant, kind, roles, created in rows]


def read_tokens(connection: Connection) -> list[Token]:
    """All tokens, revoked and expired ones too, oldest first."""
    rows = connection.execute(
        "SELECT id, agent, sha256, purpose, created_ns, expires_ns, revoked_ns FROM tokens ORDER BY created_ns, id"
    )
    return [Token(*row) for row in rows]


def add_token(connection: Connection, agent: Agent, token: Token) -> None:
    """Add a token; and its agent, or, where that is known, give it these roles, this kind and tenant."""
    connection.execute(
        "INSERT INTO agents (agent, tenant, kind, roles, created_ns) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (agent) DO UPDATE SET tenant = excluded.tenant, kind = excluded.kind, roles = excluded.roles",
        (agent.name, agent.tenant, agent.kind, " ".join(agent.roles), agent.created_ns),
    )

    connection.execute(
        "INSERT INTO tokens (id, tenant, agent, sha256, purpose, created_ns, expires_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (token.id, agent.tenant, token.agent, token.sha256, token.purpose, token.created_ns, token.expires_ns),
    )


def revoke_tokens(connection: Connection, identifiers: Iterable[str], now_ns: int) -> None:
    """Mark tokens as revoked; the first revocation's time stays."""
    connection.executemany(
        "UPDATE tokens SET revoked_ns = ? WHERE id = ? AND revoked_ns IS NULL", [(now_ns, i) for i in identifiers]
    )


_APPROVAL = (
    "SELECT id, tenant, agent, tool, action, digest, summary, status, created_ns, expires_ns, decided_by, decided_ns,"
    " reason, used_ns, used_by FROM approvals"
)


def open_approval(
    connection: Connection, tenant: str, agent: str, tool: str, digest: str, now_ns: int
) -> Approval | None:
    """The newest request for exactly this call whose time has not run out and which has not been used."""
    row = connection.execute(
        f"{_APPROVAL} WHERE agent = ? AND tool = ? AND digest = ? AND tenant = ? AND used_ns IS NULL AND expires_ns > ?"
        " ORDER BY id DESC LIMIT 1",
        (agent, tool, digest, tenant, now_ns),
    ).fetchone()
    return None if row is None else _approval(row, now_ns)


def count_pending(connection: Connection, tenant: str, now_ns: int, *, agent: str | None = None) -> int:
    """How many undecided requests there are: of one agent, or of all."""
    statement = "SELECT count(*) FROM approvals WHERE tenant = ? AND status = 'pending' AND expires_ns > ?"
    values: tuple[Any, ...] = (tenant, now_ns)
    if agent is not None:
        statement, values = f"{statement} AND agent = ?", (*values, agent)
    return connection.execute(statement, values).fetchone()[0]


def add_approval(connection: Connection, approval: Approval) -> None:
    """Add a pending request."""
    connection.execute(
        "INSERT INTO approvals (id, tenant, agent, tool, action, digest, summary, status, created_ns, expires_ns,"
        " decided_by, reason) VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, '', '')",
        (
            approval.id,
            approval.tenant,
            approval.agent,
            approval.tool,
            approval.action,
            approval.digest,
            to_json(approval.summary).decode(),
            approval.created_ns,
            approval.expires_ns,
        ),
    )


def use_approval(connection: Connection, identifier: str, invocation: str, now_ns: int) -> None:
    """Spend an approved request on an invocation; it never allows a second one."""
    connection.execute("UPDATE approvals SET used_ns = ?, used_by = ? WHERE id = ?", (now_ns, invocation, identifier))


def give_back_approval(connection: Connection, invocation: str) -> None:
    """Make the request that the invocation spent, if any, as good as unused."""
    connection.execute("UPDATE approvals SET used_ns = NULL, used_by = '' WHERE used_by = ?", (invocation,))


def read_approval(connection: Connection, tenant: str, identifier: str, now_ns: int) -> Approval | None:
    """One request, as it stands at `now_ns`."""
    row = connection.execute(f"{_APPROVAL} WHERE id = ? AND tenant = ?", (identifier, tenant)).fetchone()
    return None if row is None else _approval(row, now_ns)


def read_approvals(
    connection: Connection, tenant: str, *, pending: bool, before: str, limit: int, now_ns: int
) -> list[Approval]:
    """Requests of a tenant, newest first; `before` is the id of the last one of the page before, or empty."""
    rows = connection.execute(
        f"{_APPROVAL} WHERE tenant = :tenant AND (NOT :pending OR (status = 'pending' AND expires_ns > :now))"
        " AND (:before = '' OR id < :before) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant, "pending": pending, "now": now_ns, "before": before, "limit": limit},
    )
    return [_approval(row, now_ns) for row in rows]


def decide_approval(connection: Connection, decided: Approval) -> bool:
    """Write the decision in `decided` if the request is still pending and in time; whether it was."""
    cursor = connection.execute(
        "UPDATE approvals SET status = ?, decided_by = ?, decided_ns = ?, reason = ?, expires_ns = ?"
        " WHERE id = ? AND tenant = ? AND status = 'pending' AND expires_ns > ? AND agent <> ?",
        (
            decided.status,
            decided.decided_by,
            decided.decided_ns,
            decided.reason,
            decided.expires_ns,
            decided.id,
            decided.tenant,
            decided.decided_ns,
            decided.decided_by,
        ),
    )
    return cursor.rowcount == 1


def _approval(row: tuple[Any, ...], now_ns: int) -> Approval:
    values = dict(zip(Approval.__struct_fields__, row, strict=True))
    found = Approval(**values | {"summary": from_json(values["summary"])})
    if found.used_ns is not None:
        return msgspec.structs.replace(found, status="used")
    if found.status != "denied" and found.expires_ns <= now_ns:
        return msgspec.structs.replace(found, status="expired")
    return found


def hold_budget(
    connection: Connection, reservation: str, agent: str, tenant: str, micro_usd: int, limit: int, now_ns: int
) -> bool:
    """Reserve money if the day's limit still covers it; whether it does. `now_ns` says which UTC day."""
    day = now_ns // DAY_NS
    connection.execute(
        "INSERT INTO budgets (tenant, agent, day, held_micro_usd, spent_micro_usd) VALUES (?, ?, ?, 0, 0)"
        " ON CONFLICT (agent, day) DO NOTHING",
        (tenant, agent, day),
    )
    cursor = connection.execute(
        "UPDATE budgets SET held_micro_usd = held_micro_usd + :cost"
        " WHERE agent = :agent AND day = :day AND spent_micro_usd + held_micro_usd + :cost <= :limit",
        {"cost": micro_usd, "agent": agent, "day": day, "limit": limit},
    )
    if cursor.rowcount != 1:
        return False
    connection.execute(
        "INSERT INTO reservations (id, tenant, agent, day, micro_usd, created_ns) VALUES (?, ?, ?, ?, ?, ?)",
        (reservation, tenant, agent, day, micro_usd, now_ns),
    )
    return True


def settle_budget(connection: Connection, reservation: str, spent: int, now_ns: int) -> bool:
    """Turn a reservation into what was spent, once; whether there is such a reservation."""
    row = connection.execute(
        "SELECT agent, day, micro_usd, settled_ns FROM reservations WHERE id = ?", (reservation,)
    ).fetchone()
    if row is None:
        return False
    agent, day, held, settled_ns = row
    if settled_ns is None:
        connection.execute(
            "UPDATE reservations SET spent_micro_usd = ?, settled_ns = ? WHERE id = ?", (spent, now_ns, reservation)
        )
        connection.execute(
            "UPDATE budgets SET held_micro_usd = held_micro_usd - ?, spent_micro_usd = spent_micro_usd + ?"
            " WHERE agent = ? AND day = ?",
            (held, spent, agent, day),
        )
    return True


def read_budgets(
    connection: Connection, tenant: str, agent: str | None, first_day: int
) -> list[tuple[str, str, int, int, int]]:
    """(agent, tenant, day, held, spent) of a tenant since a day, newest day first."""
    rows = connection.execute(
        "SELECT agent, tenant, day, held_micro_usd, spent_micro_usd FROM budgets"
        " WHERE tenant = :tenant AND day >= :day AND (CAST(:agent AS TEXT) IS NULL OR agent = :agent)"
        " ORDER BY day DESC, agent",
        {"tenant": tenant, "day": first_day, "agent": agent},
    )
    return rows.fetchall()
