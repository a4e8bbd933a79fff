"""Agents, tokens, approvals, budgets.

Revision ID: 0002_access
Revises: 0001_journal
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0002_access"
down_revision = "0001_journal"
branch_labels = None
depends_on = None

_UP = (
    """CREATE TABLE agents (
        agent TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        roles TEXT NOT NULL,
        created_ns BIGINT NOT NULL
    )""",
    """CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        agent TEXT NOT NULL REFERENCES agents (agent),
        sha256 TEXT NOT NULL UNIQUE,
        purpose TEXT NOT NULL,
        created_ns BIGINT NOT NULL,
        expires_ns BIGINT,
        revoked_ns BIGINT
    )""",
    """CREATE TABLE approvals (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        agent TEXT NOT NULL,
        tool TEXT NOT NULL,
        action TEXT NOT NULL,
        digest TEXT NOT NULL,
        summary TEXT NOT NULL,
        status TEXT NOT NULL,
        created_ns BIGINT NOT NULL,
        expires_ns BIGINT NOT NULL,
        decided_by TEXT NOT NULL,
        decided_ns BIGINT,
        reason TEXT NOT NULL,
        used_ns BIGINT
    )""",
    "CREATE INDEX approvals_by_call ON approvals (agent, tool, digest)",
    "CREATE INDEX approvals_by_status ON approvals (tenant, status)",
    """CREATE TABLE budgets (
        tenant TEXT NOT NULL,
        agent TEXT NOT NULL,
        day BIGINT NOT NULL,
        held_micro_usd BIGINT NOT NULL,
        spent_micro_usd BIGINT NOT NULL,
        PRIMARY KEY (agent, day)
    )""",
    """CREATE TABLE reservations (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        agent TEXT NOT NULL,
        day BIGINT NOT NULL,
        micro_usd BIGINT NOT NULL,
        created_ns BIGINT NOT NULL,
        spent_micro_usd BIGINT,
        settled_ns BIGINT
    )""",
)
_TABLES = ("reservations", "budgets", "approvals", "tokens", "agents")


def upgrade() -> None:
    """Make the tables."""
    run(_UP)


def downgrade() -> None:
    """Drop the tables; their indexes go with them."""
    run([f"DROP TABLE {table}" for table in _TABLES])
