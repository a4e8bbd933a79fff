"""Calls that wait for a person are kept whole, with how they ended; approvals that hold for more than one call.

Revision ID: 0014_parked_calls
Revises: 0013_kill_switches
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0014_parked_calls"
down_revision = "0013_kill_switches"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("asks", "TEXT NOT NULL DEFAULT '[]'"),
    ("risk", "BIGINT NOT NULL DEFAULT 3"),
    ("needed", "BIGINT NOT NULL DEFAULT 1"),
    ("conversation", "TEXT NOT NULL DEFAULT ''"),
    ("correlation", "TEXT NOT NULL DEFAULT ''"),
    ("person", "TEXT NOT NULL DEFAULT ''"),
    ("seconded_by", "TEXT NOT NULL DEFAULT ''"),
    ("seconded_person", "TEXT NOT NULL DEFAULT ''"),
    ("scope", "TEXT NOT NULL DEFAULT 'once'"),
    ("level", "BIGINT NOT NULL DEFAULT 0"),
    ("used_via", "TEXT NOT NULL DEFAULT ''"),
    ("begun_ns", "BIGINT"),
)
_TABLES = (
    """CREATE TABLE parked_calls (
        approval TEXT PRIMARY KEY REFERENCES approvals (id) ON DELETE CASCADE,
        tenant TEXT NOT NULL,
        agent TEXT NOT NULL,
        workflow TEXT NOT NULL,
        context BLOB,
        outcome TEXT NOT NULL DEFAULT '',
        result BLOB,
        run TEXT NOT NULL DEFAULT '',
        ended_ns BIGINT,
        collected_ns BIGINT
    )""",
    """CREATE TABLE approval_grants (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        approval TEXT NOT NULL,
        agent TEXT NOT NULL,
        tool TEXT NOT NULL,
        action TEXT NOT NULL,
        digest TEXT NOT NULL,
        conversation TEXT NOT NULL,
        risk BIGINT NOT NULL,
        granted_by TEXT NOT NULL,
        created_ns BIGINT NOT NULL,
        expires_ns BIGINT NOT NULL,
        revoked_ns BIGINT,
        revoked_by TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX approval_grants_by_call ON approval_grants (agent, tool, expires_ns)",
)


def upgrade() -> None:
    run([*(f"ALTER TABLE approvals ADD COLUMN {name} {kind}" for name, kind in _COLUMNS), *_TABLES])


def downgrade() -> None:
    run(
        [
            "DROP TABLE approval_grants",
            "DROP TABLE parked_calls",
            *(f"ALTER TABLE approvals DROP COLUMN {name}" for name, _ in reversed(_COLUMNS)),
        ]
    )
