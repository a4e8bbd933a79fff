"""The Merkle log over all node chains: its tiles, which records its leaves are, its checkpoints and where they went.

Revision ID: 0019_evidence
Revises: 0018_identities
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0019_evidence"
down_revision = "0018_identities"
branch_labels = None
depends_on = None

_TABLES = (
    """CREATE TABLE evidence_log (
        tenant TEXT NOT NULL PRIMARY KEY,
        origin TEXT NOT NULL,
        size BIGINT NOT NULL
    )""",
    """CREATE TABLE evidence_tile (
        tenant TEXT NOT NULL,
        level BIGINT NOT NULL,
        number BIGINT NOT NULL,
        hashes BLOB NOT NULL,
        PRIMARY KEY (tenant, level, number)
    )""",
    # Leaves of one node that follow each other in its chain and in the log: far less than a row for each leaf.
    """CREATE TABLE evidence_run (
        tenant TEXT NOT NULL,
        first BIGINT NOT NULL,
        node TEXT NOT NULL,
        first_seq BIGINT NOT NULL,
        leaves BIGINT NOT NULL,
        PRIMARY KEY (tenant, first)
    )""",
    "CREATE UNIQUE INDEX evidence_run_by_seq ON evidence_run (tenant, node, first_seq)",
    """CREATE TABLE evidence_checkpoint (
        tenant TEXT NOT NULL,
        size BIGINT NOT NULL,
        made_ns BIGINT NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (tenant, size)
    )""",
    """CREATE TABLE evidence_published (
        tenant TEXT NOT NULL,
        destination TEXT NOT NULL,
        size BIGINT NOT NULL,
        note TEXT NOT NULL,
        published_ns BIGINT NOT NULL,
        PRIMARY KEY (tenant, destination)
    )""",
)


def upgrade() -> None:
    run(_TABLES)


def downgrade() -> None:
    names = ("published", "checkpoint", "run", "tile", "log")
    run([f"DROP TABLE evidence_{name}" for name in names])
