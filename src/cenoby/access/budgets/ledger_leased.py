"""The ledger of a running colony: decides from memory what blocks on lease cover (`access/budgets/blocks.py`)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from cenoby.access.budgets import sql
from cenoby.access.budgets.accounts import Account, Cost, Part, Payer
from cenoby.access.budgets.blocks import Block, Blocks
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.limits import LimitExceeded
from cenoby.access.sql import Usage
from cenoby.kernel.clock import DAY_NS, Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings_budgets import BudgetSettings
from cenoby.store.database import Database
from cenoby.telemetry.logs import get_logger

_log = get_logger("access.budgets")
_RENEWALS = 4
"""How often the store is heard from within a lease."""
_MARGIN = 0.9
"""Of a lease is used."""
_ASK_AGAIN_NS = 1_000_000_000
"""How long an account that was too small for a block is not asked for again."""

_Told = list[tuple[Block, int, int]]


class LeasedLedger(Ledger):
    """Reserves from memory where every account of a call has a block that covers it, else in the store.

    Args:
        database, budgets, clock: as for `Ledger`; the lease goes by the clock's monotonic time.
    """

    def __init__(self, database: Database, budgets: BudgetSettings, clock: Clock) -> None:
        super().__init__(database, budgets, clock)
        self._lease_seconds = budgets.lease_seconds
        self._blocks = Blocks()
        self._asked = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # Held while something is on its way between memory and store, and in neither for sure.
        self._moving = asyncio.Lock()

    def start(self) -> None:
        """Have blocks from now on; before it, everything is done in the store."""
        self._tasks = [asyncio.create_task(self._refill()), asyncio.create_task(self._keep())]

    async def stop(self) -> None:
        """Give back what is left of all blocks; where the store does not answer, it stays held."""
        tasks, self._tasks = self._tasks, []
        self._blocks.until_ns = 0
        self._stopping.set()
        self._asked.set()
        if tasks:
            await asyncio.wait(tasks)
        await self.renew(everything=True)

    async def renew(self, *, everything: bool = False) -> None:
        """Hear from the store, and give back blocks that lie idle or whose day is over, or `everything`."""
        async with self._moving:
            told = self._blocks.look(self._clock.now_ns() // DAY_NS, everything=everything)
            if not told and not len(self._blocks):
                return
            try:
                await self._write(told)
            except CenobyError as error:
                # What was given back is in doubt and stays held; what was spent is told again.
                for block, _, spent in told:
                    block.spent += spent
                _log.warning("budgets_not_told", reason=str(error), blocks=len(told))

    async def _reserve(self, payer: Payer, cost: Cost, parts: list[Part], now_ns: int) -> str:
        if not self._tasks:
            return await super()._reserve(payer, cost, parts, now_ns)
        reservation = new_id()
        taken = self._blocks.take(reservation, parts, now_ns // DAY_NS, self._clock.monotonic_ns())
        if self._blocks.wanted:
            self._asked.set()
        return reservation if taken else await self._reserve_in_store(payer, cost, parts, now_ns)

    async def _reserve_in_store(self, payer: Payer, cost: Cost, parts: list[Part], now_ns: int) -> str:
        try:
            return await super()._reserve(payer, cost, parts, now_ns)
        except LimitExceeded:
            busy = self._moving.locked()
            async with self._moving:
                # What this process holds for these accounts, or was just being given, may cover it.
                told = self._blocks.give_back([part.account for part in parts])
                if not told and not busy:
                    raise
                if told:
                    await self._write(told)
                return await super()._reserve(payer, cost, parts, now_ns)

    async def settle(self, reservation: str, spent_micro_usd: int, spent_tokens: int | None = None) -> None:
        """As for `Ledger`; what was reserved from memory is settled there."""
        if spent_micro_usd < 0 or (spent_tokens or 0) < 0:
            raise ValueError("what was spent is not negative")
        over = self._blocks.settle(reservation, spent_micro_usd, spent_tokens)
        if over is None:
            await super().settle(reservation, spent_micro_usd, spent_tokens)
        elif over:
            await self._overdrawn(over)

    def let_stand(self, reservation: str) -> None:
        """Count all that was reserved as spent."""
        self._blocks.settle(reservation, None, None)

    async def usage(self, tenant: str, *, agent: str | None = None, days: int = 1) -> list[Usage]:
        """As for `Ledger`; blocks of other processes count as held."""
        async with self._moving:
            return [self._without_blocks(one) for one in await super().usage(tenant, agent=agent, days=days)]

    async def standing(self, account: Account) -> tuple[int, int]:
        """As for `Ledger`; blocks of other processes count as held."""
        day = sql.day_of(account, self._clock.now_ns() // DAY_NS)
        async with self._moving:
            held, spent = await super().standing(account)
            left, settled = self._blocks.of(account, day)
        return held - left - settled, spent + settled

    def _without_blocks(self, usage: Usage) -> Usage:
        left, settled = self._blocks.of(Account("agent", usage.agent, "micro_usd"), usage.day)
        held, spent = usage.held - left - settled, usage.spent + settled
        return Usage(usage.agent, usage.tenant, usage.day, held, spent, usage.limit)

    async def _overdrawn(self, over: list[Block]) -> None:
        # The block has nothing left and its account bears the rest, above its limit too: it is gone.
        told: _Told = [(block, block.left, 0) for block in over]
        for block in over:
            block.left = 0
        async with self._moving:
            await self._write(told)

    async def _write(self, told: _Told) -> None:
        rows = [(block.part, block.day, unused, spent) for block, unused, spent in told]
        asked_ns = self._clock.monotonic_ns()
        await self._database.write(lambda connection: sql.tell(connection, rows))
        self._heard(asked_ns)

    def _heard(self, asked_ns: int) -> None:
        if self._tasks:
            self._blocks.until_ns = asked_ns + round(self._lease_seconds * _MARGIN * 1e9)

    async def _refill(self) -> None:
        while not self._stopping.is_set():
            await self._asked.wait()
            self._asked.clear()
            async with self._moving:
                await self._fetch(list(self._blocks.wanted.values()))

    async def _fetch(self, wanted: list[Part]) -> None:
        self._blocks.wanted.clear()
        day, asked_ns = self._clock.now_ns() // DAY_NS, self._clock.monotonic_ns()
        try:
            given = await self._database.write(lambda connection: sql.give_out(connection, wanted, day))
        except CenobyError as error:
            # Whatever was given out is in doubt and not used; calls are reserved in the store meanwhile.
            _log.warning("budgets_not_given", reason=str(error))
            return
        self._heard(asked_ns)
        for part, amount in zip(wanted, given, strict=True):
            if amount:
                self._blocks.add(part, sql.day_of(part.account, day), amount)
            else:
                self._blocks.refuse(part.account, asked_ns + _ASK_AGAIN_NS)

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._lease_seconds / _RENEWALS)
                return
            await self.renew()
