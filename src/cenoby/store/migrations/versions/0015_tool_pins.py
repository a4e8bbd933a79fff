"""Pins of foreign tools: what each was when it was first seen, or accepted.

Revision ID: 0015_tool_pins
Revises: 0014_parked_calls
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0015_tool_pins"
down_revision = "0014_parked_calls"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE tool_pins (
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            server TEXT NOT NULL,
            digest TEXT NOT NULL,
            described TEXT NOT NULL,
            accepted_by TEXT NOT NULL,
            pinned_ns BIGINT NOT NULL,
            PRIMARY KEY (tenant, name)
        )"""
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE tool_pins"])
