"""Kill switches: what is stopped on every node.

Revision ID: 0013_kill_switches
Revises: 0012_nodes
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0013_kill_switches"
down_revision = "0012_nodes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE kill_switches (
            tenant TEXT NOT NULL,
            scope TEXT NOT NULL,
            name TEXT NOT NULL,
            reason TEXT NOT NULL,
            set_by TEXT NOT NULL,
            set_ns BIGINT NOT NULL,
            PRIMARY KEY (tenant, scope, name)
        )"""
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE kill_switches"])
