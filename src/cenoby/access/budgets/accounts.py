"""What a call is charged to: its agent, and where the settings limit them, its tenant, its MAD and its task."""

from __future__ import annotations

from typing import Literal, NamedTuple

from cenoby.kernel.settings_budgets import BudgetSettings, SpendLimit

Unit = Literal["micro_usd", "tokens"]
_LARGEST = 10**18
"""A limit above, or an infinite one, is as good as none, and sums still fit 64 bits."""


class Cost(NamedTuple):
    """What a call costs, or may cost at most: micro-US-dollars, and tokens of language models."""

    micro_usd: int
    tokens: int = 0


class Payer(NamedTuple):
    """Who and what a call is charged to.

    Attributes:
        agent, tenant: who calls.
        mad: whose tool it is; empty for none.
        task: id of the conversation, or else the correlation, that it belongs to; empty for none.
    """

    agent: str
    tenant: str
    mad: str = ""
    task: str = ""


class Account(NamedTuple):
    """One budget in one unit. Budgets of tasks hold for the whole task, all others for one UTC day."""

    kind: Literal["agent", "tenant", "mad", "task"]
    name: str
    unit: Unit


class Part(NamedTuple):
    """What one account bears of a call, and its limit; both in its unit."""

    account: Account
    tenant: str
    amount: int
    limit: int

    @property
    def words(self) -> str:
        """The account, for people."""
        what = self.account.name.partition("/")[2] if self.account.kind == "task" else self.account.name
        return f"{self.account.kind} {what!r}"


class BudgetTable:
    """The limits of the settings, by account.

    Args:
        settings: where they stand.
    """

    def __init__(self, settings: BudgetSettings) -> None:
        self._usd = _micro(settings.usd_per_day)
        self._agent_usd = {name: _micro(usd) for name, usd in settings.agents.items()}
        self._tokens = settings.tokens_per_day
        self._agent_tokens = settings.agent_tokens
        self._tenants = {name: _pair(limit) for name, limit in settings.tenants.items()}
        self._mads = {name: _pair(limit) for name, limit in settings.mads.items()}
        self._task = _pair(settings.task)
        self._tasks_limited = any(one is not None for one in self._task)

    def limit(self, agent: str) -> int:
        """What an agent may spend on one UTC day, micro-US-dollars."""
        return self._agent_usd.get(agent, self._usd)

    def parts(self, payer: Payer, cost: Cost) -> list[Part]:
        """What each account bears: the whole cost. Always in the same order of accounts, the agent's money first."""
        agent, tenant, mad, task = payer
        found = [Part(Account("agent", agent, "micro_usd"), tenant, cost.micro_usd, self.limit(agent))]
        tokens = self._agent_tokens.get(agent, self._tokens)
        if tokens is not None:
            found.append(Part(Account("agent", agent, "tokens"), tenant, cost.tokens, tokens))
        if tenant in self._tenants:
            found += _limited(Account("tenant", tenant, "micro_usd"), tenant, cost, self._tenants[tenant])
        if mad in self._mads:
            # All tenants use the same MAD, so that its account is nobody's.
            found += _limited(Account("mad", mad, "micro_usd"), "", cost, self._mads[mad])
        if task and self._tasks_limited:
            found += _limited(Account("task", f"{tenant}/{task}", "micro_usd"), tenant, cost, self._task)
        return found


def _limited(account: Account, tenant: str, cost: Cost, limits: tuple[int | None, int | None]) -> list[Part]:
    usd, tokens = limits
    found = [] if usd is None else [Part(account, tenant, cost.micro_usd, usd)]
    if tokens is not None:
        found.append(Part(account._replace(unit="tokens"), tenant, cost.tokens, tokens))
    return found


def _pair(limit: SpendLimit) -> tuple[int | None, int | None]:
    return None if limit.usd is None else _micro(limit.usd), limit.tokens


def _micro(usd: float) -> int:
    return round(min(usd * 1_000_000, _LARGEST))
