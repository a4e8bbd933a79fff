"""Levels of autonomy that were set, and holds.

Revision ID: 0020_autonomy_levels
Revises: 0019_evidence
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0020_autonomy_levels"
down_revision = "0019_evidence"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE autonomy_levels (
            tenant TEXT NOT NULL,
            scope TEXT NOT NULL,
            name TEXT NOT NULL,
            level BIGINT NOT NULL,
            reason TEXT NOT NULL,
            set_by TEXT NOT NULL,
            set_ns BIGINT NOT NULL,
            PRIMARY KEY (tenant, scope, name)
        )"""
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE autonomy_levels"])
