"""The vault: which master key is in force, and secrets as numbered versions, each under a data key of its own.

Revision ID: 0003_vault
Revises: 0002_access
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0003_vault"
down_revision = "0002_access"
branch_labels = None
depends_on = None

# A revoked version keeps its row, so that its number is never given again; key and ciphertext are gone.
_UP = (
    """CREATE TABLE vault_master_key (
        tenant TEXT PRIMARY KEY,
        key_id TEXT NOT NULL,
        check_value BLOB NOT NULL,
        since_ns BIGINT NOT NULL
    )""",
    """CREATE TABLE secret_versions (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        version BIGINT NOT NULL,
        readers TEXT NOT NULL,
        colony_only INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        created_ns BIGINT NOT NULL,
        key_id TEXT NOT NULL,
        wrapped_key BLOB,
        ciphertext BLOB,
        revoked_by TEXT NOT NULL DEFAULT '',
        revoked_ns BIGINT,
        PRIMARY KEY (tenant, name, version)
    )""",
)
_TABLES = ("secret_versions", "vault_master_key")


def upgrade() -> None:
    """Make the tables."""
    run(_UP)


def downgrade() -> None:
    """Drop the tables, and with them every secret."""
    run([f"DROP TABLE {table}" for table in _TABLES])
