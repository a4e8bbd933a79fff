"""Enrolled nodes: whose signature is believed.

Revision ID: 0012_nodes
Revises: 0011_workflows
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0012_nodes"
down_revision = "0011_workflows"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE nodes (
            name TEXT NOT NULL PRIMARY KEY,
            public_key TEXT NOT NULL,
            enrolled_by TEXT NOT NULL,
            enrolled_ns BIGINT NOT NULL,
            revoked_ns BIGINT
        )"""
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE nodes"])
