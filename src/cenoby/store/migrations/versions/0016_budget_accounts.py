"""Budgets in money and tokens, of agents, tenants, MADs and tasks; a reservation names all that it was charged to.

Revision ID: 0016_budget_accounts
Revises: 0015_tool_pins
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0016_budget_accounts"
down_revision = "0015_tool_pins"
branch_labels = None
depends_on = None

_ACCOUNTS = """CREATE TABLE budget_accounts (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    unit TEXT NOT NULL,
    day BIGINT NOT NULL,
    held BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    PRIMARY KEY (kind, name, unit, day)
)"""
_BUDGETS = """CREATE TABLE budgets (
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    day BIGINT NOT NULL,
    held_micro_usd BIGINT NOT NULL,
    spent_micro_usd BIGINT NOT NULL,
    PRIMARY KEY (agent, day)
)"""
_COLUMNS = (
    ("tokens", "BIGINT NOT NULL DEFAULT 0"),
    ("spent_tokens", "BIGINT"),
    ("charged", "TEXT NOT NULL DEFAULT '[]'"),
)


def upgrade() -> None:
    run(
        [
            _ACCOUNTS,
            "INSERT INTO budget_accounts (tenant, kind, name, unit, day, held, spent)"
            " SELECT tenant, 'agent', agent, 'micro_usd', day, held_micro_usd, spent_micro_usd FROM budgets",
            "DROP TABLE budgets",
            *(f"ALTER TABLE reservations ADD COLUMN {name} {kind}" for name, kind in _COLUMNS),
        ]
    )


def downgrade() -> None:
    run(
        [
            _BUDGETS,
            "INSERT INTO budgets (tenant, agent, day, held_micro_usd, spent_micro_usd)"
            " SELECT tenant, name, day, held, spent FROM budget_accounts WHERE kind = 'agent' AND unit = 'micro_usd'",
            "DROP TABLE budget_accounts",
            *(f"ALTER TABLE reservations DROP COLUMN {name}" for name, _ in reversed(_COLUMNS)),
        ]
    )
