"""What models cost, per UTC day, agent and model.

Revision ID: 0005_models
Revises: 0004_conversations
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0005_models"
down_revision = "0004_conversations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        [
            """CREATE TABLE model_usage (
            tenant TEXT NOT NULL,
            day BIGINT NOT NULL,
            model TEXT NOT NULL,
            agent TEXT NOT NULL,
            calls BIGINT NOT NULL,
            estimated_calls BIGINT NOT NULL,
            input_tokens BIGINT NOT NULL,
            output_tokens BIGINT NOT NULL,
            micro_usd BIGINT NOT NULL,
            PRIMARY KEY (tenant, day, model, agent)
        ) WITHOUT ROWID"""
        ]
    )


def downgrade() -> None:
    run(["DROP TABLE model_usage"])
