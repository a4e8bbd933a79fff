"""Limits that several processes share: each one's share of the rates, and what was given out of quotas.

Revision ID: 0010_shared_limits
Revises: 0009_leases
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0010_shared_limits"
down_revision = "0009_leases"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE limit_shares (
            tenant TEXT NOT NULL,
            node TEXT NOT NULL PRIMARY KEY,
            share BIGINT NOT NULL CHECK (share >= 0),
            expires_ns BIGINT NOT NULL
        )""",
            """CREATE TABLE quotas (
            tenant TEXT NOT NULL,
            day BIGINT NOT NULL,
            agent TEXT NOT NULL,
            namespace TEXT NOT NULL,
            given_out BIGINT NOT NULL CHECK (given_out >= 0),
            PRIMARY KEY (day, agent, namespace)
        )""",
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE quotas", "DROP TABLE limit_shares"])
