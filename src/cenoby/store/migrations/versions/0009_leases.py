"""Leases: who alone may do something for now, and the number that tells it from those before.

Revision ID: 0009_leases
Revises: 0008_flags
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0009_leases"
down_revision = "0008_flags"
branch_labels = None
depends_on = None


# A row stays when its lease is given up: its token must never be handed out again.
_UP = """CREATE TABLE leases (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    token BIGINT NOT NULL,
    ttl_ns BIGINT NOT NULL,
    expires_ns BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
)"""


def upgrade() -> None:
    run([_UP])


def downgrade() -> None:
    run(["DROP TABLE leases"])
