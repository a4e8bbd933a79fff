"""Which call used an approval up, so that it can be given back where that call never ran.

Revision ID: 0006_approval_use
Revises: 0005_models
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0006_approval_use"
down_revision = "0005_models"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        (
            "ALTER TABLE approvals ADD COLUMN used_by TEXT NOT NULL DEFAULT ''",
            "CREATE INDEX approvals_by_use ON approvals (used_by)",
        )
    )


def downgrade() -> None:
    run(("DROP INDEX approvals_by_use", "ALTER TABLE approvals DROP COLUMN used_by"))
