"""The one ledger of budgets: money is reserved before a call and settled after it, per agent and UTC day.

A reservation is one conditional UPDATE in the store, so no interleaving of callers and no crash can promise more than
the limit. What was reserved and never settled, because the process died, stays counted as spent on its day.
"""

from __future__ import annotations

import asyncio

from cenoby.access import sql
from cenoby.access.limits import LimitExceeded
from cenoby.access.roles import AccessRefused
from cenoby.access.sql import Usage
from cenoby.kernel.clock import DAY_NS, Clock
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import BudgetSettings
from cenoby.store.database import Database
from cenoby.store.engine import Connection

_LARGEST = 10**18
"""Micro-US-dollars; a limit above, or an infinite one, is as good as none, and sums still fit 64 bits."""


class Ledger:
    """Budgets in micro-US-dollars.

    Args:
        database: where they last.
        budgets: the limits.
        clock: its wall time says which UTC day a reservation belongs to.
    """

    def __init__(self, database: Database, budgets: BudgetSettings, clock: Clock) -> None:
        self._database = database
        self._budgets = budgets
        self._clock = clock
        self._abandoned: set[str] = set()

    def limit(self, agent: str) -> int:
        """What an agent may spend on one UTC day, micro-US-dollars."""
        return round(min(self._budgets.agents.get(agent, self._budgets.usd_per_day) * 1_000_000, _LARGEST))

    async def reserve(self, agent: str, tenant: str, micro_usd: int) -> str:
        """Set money aside for one call; durable when it returns.

        Args:
            agent, tenant: who pays.
            micro_usd: the most that the call can cost, not negative.

        Returns:
            The reservation's id, for `settle`.

        Raises:
            LimitExceeded: `budget_exhausted`; with `retry_after` where the next day's budget would cover the call.
            StoreUnavailable: it could not be made durable; nothing is reserved.
        """
        if micro_usd < 0:
            raise ValueError("a reservation is not negative")
        limit, now_ns, reservation = self.limit(agent), self._clock.now_ns(), new_id()
        if micro_usd > limit:
            raise _exhausted(agent, micro_usd, limit, None)
        abandoned = tuple(self._abandoned)

        def work(connection: Connection) -> bool:
            for earlier in abandoned:
                sql.settle_budget(connection, earlier, 0, now_ns)
            return sql.hold_budget(connection, reservation, agent, tenant, micro_usd, limit, now_ns)

        try:
            held = await self._database.write(work)
        except asyncio.CancelledError:
            # The write may still come to pass, and nobody will ever settle it: the next one gives the money back.
            self._abandoned.add(reservation)
            raise
        self._abandoned.difference_update(abandoned)
        if not held:
            raise _exhausted(agent, micro_usd, limit, (DAY_NS - now_ns % DAY_NS) / 1e9)
        return reservation

    async def settle(self, reservation: str, spent_micro_usd: int) -> None:
        """Say what a call really cost; the rest of its reservation is free again. Only the first time counts.

        More than was reserved is recorded as it is, because it is gone; the agent then gets so much less that day.

        Raises:
            AccessRefused: `reservation_unknown`.
            StoreUnavailable: it could not be made durable; the whole reservation stays counted as spent.
        """
        if spent_micro_usd < 0:
            raise ValueError("what was spent is not negative")
        now_ns = self._clock.now_ns()
        if not await self._database.write(
            lambda connection: sql.settle_budget(connection, reservation, spent_micro_usd, now_ns)
        ):
            raise AccessRefused("reservation_unknown", f"There is no reservation {reservation!r} to settle.")

    async def usage(self, tenant: str, *, agent: str | None = None, days: int = 1) -> list[Usage]:
        """What was held and spent, newest day first.

        Args:
            tenant: whose agents.
            agent: one of them; None means all that reserved anything.
            days: how many UTC days, today included.
        """
        first_day = self._clock.now_ns() // DAY_NS - days + 1
        rows = await self._database.read(lambda connection: sql.read_budgets(connection, tenant, agent, first_day))
        return [Usage(name, owner, day, held, spent, self.limit(name)) for name, owner, day, held, spent in rows]


def _exhausted(agent: str, micro_usd: int, limit: int, retry_after: float | None) -> LimitExceeded:
    remedy = "it never fits; ask for less" if retry_after is None else "ask for less, wait for the next UTC day"
    return LimitExceeded(
        "budget_exhausted",
        f"The call may cost {micro_usd / 1e6:.6f} USD, and today's budget of {agent!r} ({limit / 1e6:.6f} USD) does "
        f"not cover that: {remedy}, or have an operator raise it under `budgets` in the settings.",
        retry_after=retry_after,
        details={"micro_usd": micro_usd, "limit_micro_usd": limit},
    )
