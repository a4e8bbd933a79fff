"""Feature flags: for whom a MAD or a tool is switched on.

Revision ID: 0008_flags
Revises: 0007_outbox
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0008_flags"
down_revision = "0007_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE flags (
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            percentage BIGINT NOT NULL,
            agents TEXT NOT NULL,
            reason TEXT NOT NULL,
            set_by TEXT NOT NULL,
            set_ns BIGINT NOT NULL,
            PRIMARY KEY (tenant, name)
        )"""
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE flags"])
