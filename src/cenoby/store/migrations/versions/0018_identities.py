"""Agents with department, seniority, autonomy and lineage; tokens bound to a key, and rotated; blocked subjects.

Revision ID: 0018_identities
Revises: 0017_flow_labels
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0018_identities"
down_revision = "0017_flow_labels"
branch_labels = None
depends_on = None

_AGENTS = ("department", "seniority", "autonomy", "parent", "reason")
_TOKENS = ("bound_to", "successor")


def upgrade() -> None:
    run(
        [
            *(f"ALTER TABLE agents ADD COLUMN {name} TEXT NOT NULL DEFAULT ''" for name in _AGENTS),
            "ALTER TABLE agents ADD COLUMN beyond_parent BIGINT NOT NULL DEFAULT 0",
            "CREATE INDEX agents_by_parent ON agents (parent)",
            *(f"ALTER TABLE tokens ADD COLUMN {name} TEXT NOT NULL DEFAULT ''" for name in _TOKENS),
            """CREATE TABLE blocked_subjects (
            tenant TEXT NOT NULL,
            agent TEXT NOT NULL,
            token TEXT NOT NULL,
            reason TEXT NOT NULL,
            blocked_by TEXT NOT NULL,
            blocked_ns BIGINT NOT NULL,
            PRIMARY KEY (tenant, agent, token)
        )""",
        ]
    )


def downgrade() -> None:
    run(
        [
            "DROP TABLE blocked_subjects",
            *(f"ALTER TABLE tokens DROP COLUMN {name}" for name in reversed(_TOKENS)),
            "DROP INDEX agents_by_parent",
            "ALTER TABLE agents DROP COLUMN beyond_parent",
            *(f"ALTER TABLE agents DROP COLUMN {name}" for name in reversed(_AGENTS)),
        ]
    )
