"""Renewals of secrets that failed: how often, and when they are tried again.

Revision ID: 0024_secret_renewals
Revises: 0023_pii_tokens
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0024_secret_renewals"
down_revision = "0023_pii_tokens"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    run(
        [
            """CREATE TABLE secret_renewals (
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            failures BIGINT NOT NULL,
            again_ns BIGINT NOT NULL,
            PRIMARY KEY (tenant, name)
        )"""
        ]
    )


def downgrade() -> None:
    """Drop it: what failed is tried again at once."""
    run(["DROP TABLE secret_renewals"])
