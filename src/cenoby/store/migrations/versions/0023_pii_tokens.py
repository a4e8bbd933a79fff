"""Tokens that stand for personal data: what they stand for, sealed, until it expires.

Revision ID: 0023_pii_tokens
Revises: 0022_canaries
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0023_pii_tokens"
down_revision = "0022_canaries"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE pii_tokens (
            tenant TEXT NOT NULL,
            token TEXT NOT NULL,
            kind TEXT NOT NULL,
            subject TEXT NOT NULL,
            sealed BLOB NOT NULL,
            made_by TEXT NOT NULL,
            made_ns BIGINT NOT NULL,
            expires_ns BIGINT NOT NULL,
            PRIMARY KEY (tenant, token)
        )""",
            "CREATE INDEX pii_tokens_by_expiry ON pii_tokens (expires_ns)",
            "CREATE INDEX pii_tokens_by_subject ON pii_tokens (tenant, subject)",
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE pii_tokens"])
