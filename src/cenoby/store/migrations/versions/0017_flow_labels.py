"""Labels that flow with data: who saw which, and when.

Revision ID: 0017_flow_labels
Revises: 0016_budget_accounts
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0017_flow_labels"
down_revision = "0016_budget_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE flow_labels (
            tenant TEXT NOT NULL,
            scope TEXT NOT NULL,
            subject TEXT NOT NULL,
            label TEXT NOT NULL,
            process TEXT NOT NULL,
            seen_ns BIGINT NOT NULL,
            PRIMARY KEY (tenant, scope, subject, label, process)
        )"""
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE flow_labels"])
