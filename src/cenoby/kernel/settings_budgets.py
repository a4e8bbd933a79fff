"""The settings of budgets: what agents, tenants, MADs and tasks may spend."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cenoby.kernel.settings_section import Section

Usd = Annotated[float, Field(ge=0)]
Tokens = Annotated[int, Field(ge=0)]


class SpendLimit(Section):
    """Money and tokens; what is left out has no limit."""

    usd: Usd | None = None
    """US dollars."""
    tokens: Tokens | None = None
    """Tokens of language models, of prompts and answers together."""


class BudgetSettings(Section):
    """Money in US dollars and tokens of models, reserved before a call and settled after; a call fits all or none."""

    usd_per_day: Usd = 5.0
    """Per UTC day, for every agent that `agents` does not name."""
    agents: dict[str, Usd] = {}
    """US dollars per UTC day for one agent by name."""
    tokens_per_day: Tokens | None = None
    """Tokens per UTC day, for every agent that `agent_tokens` does not name; no limit unless said."""
    agent_tokens: dict[str, Tokens] = {}
    """Tokens per UTC day for one agent by name."""
    tenants: dict[str, SpendLimit] = {}
    """Per UTC day, for all agents of a tenant together."""
    mads: dict[str, SpendLimit] = {}
    """Per UTC day, for all calls of one MAD's tools together."""
    lease_seconds: Annotated[float, Field(ge=0.2, le=300)] = 6.0
    """Seconds for which a process may spend its blocks of budgets without word from the store."""
    task: SpendLimit = SpendLimit()
    """For all calls of one task together, however long it lasts: one conversation, else what shares a correlation."""
