"""Canaries: planted texts that are looked for on every node, by digest.

Revision ID: 0022_canaries
Revises: 0021_secret_use
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0022_canaries"
down_revision = "0021_secret_use"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE canaries (
            id TEXT NOT NULL PRIMARY KEY,
            tenant TEXT NOT NULL,
            label TEXT NOT NULL,
            kind TEXT NOT NULL,
            mark TEXT NOT NULL,
            mark_offset BIGINT NOT NULL,
            length BIGINT NOT NULL,
            digest TEXT NOT NULL,
            made_by TEXT NOT NULL,
            made_ns BIGINT NOT NULL
        )"""
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE canaries"])
