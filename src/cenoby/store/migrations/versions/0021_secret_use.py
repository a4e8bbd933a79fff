"""What may be done with secrets: policies that people set, uses that are counted, and leases.

Revision ID: 0021_secret_use
Revises: 0020_autonomy_levels
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0021_secret_use"
down_revision = "0020_autonomy_levels"
branch_labels = None
depends_on = None

_UP = (
    """CREATE TABLE secret_policies (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        permits TEXT NOT NULL,
        set_by TEXT NOT NULL,
        set_ns BIGINT NOT NULL,
        PRIMARY KEY (tenant, name)
    )""",
    """CREATE TABLE secret_uses (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        permit TEXT NOT NULL,
        who TEXT NOT NULL,
        used_ns BIGINT NOT NULL
    )""",
    "CREATE INDEX secret_uses_by_permit ON secret_uses (tenant, name, permit, who, used_ns)",
    """CREATE TABLE secret_leases (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        version BIGINT NOT NULL,
        holder TEXT NOT NULL,
        begun_ns BIGINT NOT NULL,
        expires_ns BIGINT NOT NULL,
        ends_ns BIGINT NOT NULL,
        ended_ns BIGINT,
        ended_why TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX secret_leases_by_secret ON secret_leases (tenant, name, holder)",
    "CREATE INDEX secret_leases_by_expiry ON secret_leases (ended_ns, expires_ns)",
)
_TABLES = ("secret_leases", "secret_uses", "secret_policies")


def upgrade() -> None:
    """Make the tables."""
    run(_UP)


def downgrade() -> None:
    """Drop the tables: every policy that a person set is gone."""
    run([f"DROP TABLE {table}" for table in _TABLES])
