"""SQL of renewals that failed. Functions take a connection and run on the store's threads."""

from __future__ import annotations

from cenoby.store.engine import Connection


def read_failures(connection: Connection, tenant: str, name: str) -> tuple[int, int]:
    """How often in a row it failed, and when it is to be tried again; zeros where it did not."""
    row = connection.execute(
        "SELECT failures, again_ns FROM secret_renewals WHERE tenant = ? AND name = ?", (tenant, name)
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def write_failure(connection: Connection, tenant: str, name: str, failures: int, again_ns: int) -> None:
    """Remember a failure."""
    connection.execute(
        "INSERT INTO secret_renewals (tenant, name, failures, again_ns) VALUES (?, ?, ?, ?) ON CONFLICT (tenant, name) "
        "DO UPDATE SET failures = excluded.failures, again_ns = excluded.again_ns",
        (tenant, name, failures, again_ns),
    )


def forget_failures(connection: Connection, tenant: str, name: str) -> None:
    """It succeeded."""
    connection.execute("DELETE FROM secret_renewals WHERE tenant = ? AND name = ?", (tenant, name))
