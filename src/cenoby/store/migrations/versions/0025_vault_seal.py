"""The master key of a vault that is sealed, closed.

Revision ID: 0025_vault_seal
Revises: 0024_secret_renewals
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0025_vault_seal"
down_revision = "0024_secret_renewals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    run(
        [
            """CREATE TABLE vault_seal (
            tenant TEXT PRIMARY KEY,
            facts TEXT NOT NULL,
            key_id TEXT NOT NULL,
            former TEXT NOT NULL,
            ciphertext BLOB NOT NULL,
            since_ns BIGINT NOT NULL
        )"""
        ]
    )


def downgrade() -> None:
    """Drop the table, and with it every secret of a vault that is sealed."""
    run(["DROP TABLE vault_seal"])
