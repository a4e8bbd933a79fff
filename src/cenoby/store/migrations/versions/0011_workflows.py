"""Durable workflows: a row for each instance, and the signals that it was sent.

Revision ID: 0011_workflows
Revises: 0010_shared_limits
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0011_workflows"
down_revision = "0010_shared_limits"
branch_labels = None
depends_on = None


_UP = (
    """CREATE TABLE workflows (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        type TEXT NOT NULL,
        version BIGINT NOT NULL,
        key TEXT NOT NULL,
        state TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('open', 'done', 'failed')),
        data TEXT NOT NULL,
        step BIGINT NOT NULL DEFAULT 0,
        attempts BIGINT NOT NULL DEFAULT 0,
        due_ns BIGINT,
        waits_for TEXT NOT NULL DEFAULT '',
        owner TEXT NOT NULL DEFAULT '',
        token BIGINT NOT NULL DEFAULT 0,
        lease_until_ns BIGINT NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '',
        started_ns BIGINT NOT NULL,
        changed_ns BIGINT NOT NULL,
        UNIQUE (tenant, type, key)
    )""",
    "CREATE INDEX workflows_due ON workflows (due_ns, id) WHERE status = 'open'",
    "CREATE INDEX workflows_begun ON workflows (due_ns, id) WHERE status = 'open' AND attempts > 0",
    "CREATE INDEX workflows_done ON workflows (changed_ns) WHERE status = 'done'",
    # Used ones stay as long as their instance: they are what a second sending meets.
    """CREATE TABLE workflow_signals (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        workflow TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        payload TEXT NOT NULL,
        sent_ns BIGINT NOT NULL,
        used_by BIGINT,
        UNIQUE (workflow, id)
    )""",
)


def upgrade() -> None:
    run(_UP)


def downgrade() -> None:
    run(["DROP TABLE workflow_signals", "DROP TABLE workflows"])
