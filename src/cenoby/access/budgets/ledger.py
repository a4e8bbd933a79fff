"""The one ledger of budgets: money and tokens are reserved before a call and settled after it.

A call is charged to several accounts at once (`access/budgets/accounts.py`), to all or to none: a reservation is one
transaction of conditional UPDATEs in the store, so no interleaving of callers and no crash can promise more than any of
the limits. What was reserved and never settled, because the process died, stays counted as spent.
"""

from __future__ import annotations

import asyncio

from cenoby.access.budgets import sql
from cenoby.access.budgets.accounts import Account, BudgetTable, Cost, Part, Payer
from cenoby.access.limits import LimitExceeded
from cenoby.access.roles import AccessRefused
from cenoby.access.sql import Usage
from cenoby.kernel.clock import DAY_NS, Clock
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings_budgets import BudgetSettings
from cenoby.store.database import Database
from cenoby.store.engine import Connection


class Ledger:
    """Budgets in micro-US-dollars and in tokens.

    Args:
        database: where they last.
        budgets: the limits.
        clock: its wall time says which UTC day a reservation belongs to.
    """

    def __init__(self, database: Database, budgets: BudgetSettings, clock: Clock) -> None:
        self._database = database
        self._table = BudgetTable(budgets)
        self._clock = clock
        self._abandoned: set[str] = set()

    def limit(self, agent: str) -> int:
        """What an agent may spend on one UTC day, micro-US-dollars."""
        return self._table.limit(agent)

    async def reserve(
        self, agent: str, tenant: str, micro_usd: int, *, tokens: int = 0, mad: str = "", task: str = ""
    ) -> str:
        """Set money and tokens aside for one call; durable when it returns.

        Args:
            agent, tenant, mad, task: who and what pays; see `Payer`.
            micro_usd, tokens: the most that the call can cost, not negative.

        Returns:
            The reservation's id, for `settle`.

        Raises:
            LimitExceeded: `budget_exhausted`; with `retry_after` where the next day's budget would cover the call.
            StoreUnavailable: it could not be made durable; nothing is reserved.
        """
        if micro_usd < 0 or tokens < 0:
            raise ValueError("a reservation is not negative")
        payer, cost = Payer(agent, tenant, mad, task), Cost(micro_usd, tokens)
        parts, now_ns = self._table.parts(payer, cost), self._clock.now_ns()
        for part in parts:
            if part.amount > part.limit:
                raise _exhausted(part, None)
        return await self._reserve(payer, cost, parts, now_ns)

    async def _reserve(self, payer: Payer, cost: Cost, parts: list[Part], now_ns: int) -> str:
        reservation, abandoned = new_id(), tuple(self._abandoned)

        def work(connection: Connection) -> None:
            for earlier in abandoned:
                sql.settle(connection, earlier, 0, 0, now_ns)
            if (short := sql.hold(connection, parts, now_ns // DAY_NS)) is not None:
                # Raised in here, so that what the accounts before it hold is undone.
                raise _exhausted(short, _until_tomorrow(short, now_ns))
            sql.add_reservation(connection, reservation, payer, cost, parts, now_ns)

        try:
            await self._database.write(work)
        except asyncio.CancelledError:
            # The write may still come to pass, and nobody will ever settle it: the next one gives the money back.
            self._abandoned.add(reservation)
            raise
        self._abandoned.difference_update(abandoned)
        return reservation

    async def settle(self, reservation: str, spent_micro_usd: int, spent_tokens: int | None = None) -> None:
        """Say what a call really cost; the rest of its reservation is free again. Only the first time counts.

        More than was reserved is recorded as it is, because it is gone; its accounts then get so much less.

        Args:
            reservation: from `reserve`.
            spent_micro_usd: what it cost.
            spent_tokens: None means as many as were reserved.

        Raises:
            AccessRefused: `reservation_unknown`.
            StoreUnavailable: it could not be made durable; the whole reservation stays counted as spent.
        """
        if spent_micro_usd < 0 or (spent_tokens or 0) < 0:
            raise ValueError("what was spent is not negative")
        now_ns = self._clock.now_ns()
        if not await self._database.write(
            lambda connection: sql.settle(connection, reservation, spent_micro_usd, spent_tokens, now_ns)
        ):
            raise AccessRefused("reservation_unknown", f"There is no reservation {reservation!r} to settle.")

    def let_stand(self, reservation: str) -> None:
        """Count all that was reserved as spent; in the store it does until it is settled."""
        del reservation

    async def charge(self, payer: Payer, cost: Cost) -> None:
        """Count what a call spent for which nothing was reserved; its accounts get so much less, down to nothing.

        Raises:
            StoreUnavailable: it could not be made durable.
        """
        if cost.micro_usd < 0 or cost.tokens < 0:
            raise ValueError("what was spent is not negative")
        parts, day = self._table.parts(payer, cost), self._clock.now_ns() // DAY_NS
        await self._database.write(lambda connection: sql.charge(connection, parts, day))

    async def standing(self, account: Account) -> tuple[int, int]:
        """(held, spent) of one account, of today where it is one of a day; in its unit."""
        day = self._clock.now_ns() // DAY_NS
        return await self._database.read(lambda connection: sql.read_account(connection, account, day))

    async def usage(self, tenant: str, *, agent: str | None = None, days: int = 1) -> list[Usage]:
        """What was held and spent, newest day first.

        Args:
            tenant: whose agents.
            agent: one of them; None means all that reserved anything.
            days: how many UTC days, today included.
        """
        first_day = self._clock.now_ns() // DAY_NS - days + 1
        rows = await self._database.read(lambda connection: sql.read_accounts(connection, tenant, agent, first_day))
        return [Usage(name, owner, day, held, spent, self.limit(name)) for name, owner, day, held, spent in rows]


def _until_tomorrow(part: Part, now_ns: int) -> float | None:
    return None if part.account.kind == "task" else (DAY_NS - now_ns % DAY_NS) / 1e9


def _exhausted(part: Part, retry_after: float | None) -> LimitExceeded:
    if part.account.kind == "task":
        which, remedy = "budget", "ask for less, begin another task"
    elif retry_after is None:
        which, remedy = "budget for a day", "it never fits; ask for less"
    else:
        which, remedy = "today's budget", "ask for less, wait for the next UTC day"
    return LimitExceeded(
        "budget_exhausted",
        f"The call may cost {_shown(part, part.amount)}, and {which} of {part.words} ({_shown(part, part.limit)}) does "
        f"not cover that: {remedy}, or have an operator raise it under `budgets` in the settings.",
        retry_after=retry_after,
        details={part.account.unit: part.amount, f"limit_{part.account.unit}": part.limit, "account": part.words},
    )


def _shown(part: Part, amount: int) -> str:
    return f"{amount} tokens" if part.account.unit == "tokens" else f"{amount / 1e6:.6f} USD"
