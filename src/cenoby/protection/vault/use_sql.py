"""SQL of policies, uses and leases. Functions take a connection and run on the store's threads."""

from __future__ import annotations

from typing import Any

from cenoby.protection.secrets import LeaseInfo
from cenoby.store.engine import Connection

_LEASE = "id, tenant, name, version, holder, begun_ns, expires_ns, ends_ns, ended_ns, ended_why"


def read_policy(connection: Connection, tenant: str, name: str) -> tuple[str, str, int] | None:
    """The policy that was set, who set it, and when."""
    return connection.execute(
        "SELECT permits, set_by, set_ns FROM secret_policies WHERE tenant = ? AND name = ?", (tenant, name)
    ).fetchone()


def write_policy(connection: Connection, tenant: str, name: str, permits: str, agent: str, now_ns: int) -> None:
    """Put a policy in force."""
    connection.execute(
        "INSERT INTO secret_policies (tenant, name, permits, set_by, set_ns) VALUES (?, ?, ?, ?, ?) ON CONFLICT "
        "(tenant, name) DO UPDATE SET permits = excluded.permits, set_by = excluded.set_by, set_ns = excluded.set_ns",
        (tenant, name, permits, agent, now_ns),
    )


def remove_policy(connection: Connection, tenant: str, name: str) -> None:
    """Leave a secret without a policy."""
    connection.execute("DELETE FROM secret_policies WHERE tenant = ? AND name = ?", (tenant, name))


def uses_since(connection: Connection, tenant: str, name: str, permit: str, who: str, since_ns: int) -> tuple[int, int]:
    """How often somebody used a permit since then, and when the first of these was (0 for none)."""
    return connection.execute(
        "SELECT count(*), coalesce(min(used_ns), 0) FROM secret_uses "
        "WHERE tenant = ? AND name = ? AND permit = ? AND who = ? AND used_ns > ?",
        (tenant, name, permit, who, since_ns),
    ).fetchone()


def add_use(
    connection: Connection, identifier: str, tenant: str, name: str, permit: str, who: str, now_ns: int
) -> None:
    """Count a use."""
    connection.execute(
        "INSERT INTO secret_uses (id, tenant, name, permit, who, used_ns) VALUES (?, ?, ?, ?, ?, ?)",
        (identifier, tenant, name, permit, who, now_ns),
    )


def forget_uses(connection: Connection, before_ns: int) -> int:
    """Forget uses that no window reaches back to any more."""
    return connection.execute("DELETE FROM secret_uses WHERE used_ns <= ?", (before_ns,)).rowcount


def add_lease(connection: Connection, lease: LeaseInfo) -> None:
    """Begin a lease."""
    connection.execute(
        f"INSERT INTO secret_leases ({_LEASE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
        (
            lease.id, lease.tenant, lease.name, lease.version, lease.holder, lease.begun_ns, lease.expires_ns,
            lease.ends_ns, lease.ended_ns, lease.ended_why,
        ),
    )  # fmt: skip


def read_lease(connection: Connection, tenant: str, identifier: str) -> LeaseInfo | None:
    """One lease, over or not."""
    row = connection.execute(
        f"SELECT {_LEASE} FROM secret_leases WHERE tenant = ? AND id = ?",  # noqa: S608 - a constant
        (tenant, identifier),
    ).fetchone()
    return _lease(row) if row else None


def live_leases(
    connection: Connection, tenant: str, now_ns: int, *, holder: str = "", name: str = "", version: int = 0,
    after: str = "", limit: int = 1000,
) -> list[LeaseInfo]:  # fmt: skip
    """Leases of a tenant that are not over, by id; only of that holder, secret and version where they are given."""
    rows = connection.execute(
        f"SELECT {_LEASE} FROM secret_leases WHERE tenant = ? AND ended_ns IS NULL AND expires_ns > ? "  # noqa: S608
        "AND (CAST(? AS TEXT) = '' OR holder = ?) AND (CAST(? AS TEXT) = '' OR name = ?) "
        "AND (CAST(? AS BIGINT) = 0 OR version = ?) AND id > ? ORDER BY id LIMIT ?",
        (tenant, now_ns, holder, holder, name, name, version, version, after, limit),
    )
    return [_lease(row) for row in rows]


def expired_leases(connection: Connection, now_ns: int, limit: int) -> list[LeaseInfo]:
    """Leases of all tenants whose time ran out and that nobody has ended yet."""
    rows = connection.execute(
        f"SELECT {_LEASE} FROM secret_leases WHERE ended_ns IS NULL AND expires_ns <= ? "  # noqa: S608 - a constant
        "ORDER BY expires_ns LIMIT ?",
        (now_ns, limit),
    )
    return [_lease(row) for row in rows]


def renew_lease(connection: Connection, identifier: str, expires_ns: int, now_ns: int) -> bool:
    """Let a lease that is not over last until then; whether there was one."""
    return (
        connection.execute(
            "UPDATE secret_leases SET expires_ns = ? WHERE id = ? AND ended_ns IS NULL AND expires_ns > ?",
            (expires_ns, identifier, now_ns),
        ).rowcount
        == 1
    )


def end_lease(connection: Connection, identifier: str, why: str, now_ns: int) -> bool:
    """End a lease, and only once; whether it was this time."""
    return (
        connection.execute(
            "UPDATE secret_leases SET ended_ns = ?, ended_why = ? WHERE id = ? AND ended_ns IS NULL",
            (now_ns, why, identifier),
        ).rowcount
        == 1
    )


def forget_leases(connection: Connection, before_ns: int) -> int:
    """Forget leases that ended before then; the journal has them."""
    return connection.execute("DELETE FROM secret_leases WHERE ended_ns <= ?", (before_ns,)).rowcount


def _lease(row: tuple[Any, ...]) -> LeaseInfo:
    names = _LEASE.split(", ")
    return LeaseInfo(**dict(zip(names, row, strict=True)))
