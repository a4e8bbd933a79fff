"""The outbox: work that outlasts who puts it and who takes it.

Revision ID: 0007_outbox
Revises: 0006_approval_use
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0007_outbox"
down_revision = "0006_approval_use"
branch_labels = None
depends_on = None


# Done work stays for a while: it is what replay shows, and what a second putting of the same id meets.
_UP = (
    """CREATE TABLE outbox (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        id TEXT NOT NULL UNIQUE,
        queue TEXT NOT NULL,
        body BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'done', 'dead')),
        deliveries BIGINT NOT NULL DEFAULT 0,
        due_ns BIGINT NOT NULL,
        error TEXT NOT NULL DEFAULT '',
        put_ns BIGINT NOT NULL,
        ended_ns BIGINT
    )""",
    "CREATE INDEX outbox_by_queue ON outbox (queue, state, position)",
    "CREATE INDEX outbox_by_end ON outbox (state, ended_ns)",
)


def upgrade() -> None:
    run(_UP)


def downgrade() -> None:
    run(["DROP TABLE outbox"])
