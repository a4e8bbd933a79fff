"""What falls due with secrets whether anybody calls or not: leases that ran out, and whatever else `chores` names.

Several processes may look after one database: each lease is noted once, by whoever ends it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from cenoby.kernel.clock import Clock
from cenoby.kernel.settings_secrets import WINDOWS
from cenoby.protection.secrets import LeaseInfo
from cenoby.protection.vault import use_sql
from cenoby.protection.vault.leases import ended_event
from cenoby.store.database import Database, StoreRefused, StoreUnavailable
from cenoby.store.engine import Connection
from cenoby.store.journal import Entry, Journal
from cenoby.telemetry.logs import get_logger

_AT_ONCE = 200
_DAY_NS = 86_400_000_000_000
_REMEMBERED_NS = 7 * _DAY_NS
"""For so long a lease that is over can be looked at; the journal has it for good."""
_log = get_logger("protection.vault")


class LeaseSweep:
    """Notes leases whose time ran out.

    Args:
        database, journal: where they lie, and what is recorded of them.
        clock: says what is over.
    """

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    async def __call__(self) -> None:
        """Note what ran out, each once on whatever node, and forget what is long over.

        Raises:
            StoreUnavailable: what is left is noted the next time.
        """
        now_ns = self._clock.now_ns()
        for lease in await self._database.read(lambda connection: use_sql.expired_leases(connection, now_ns, _AT_ONCE)):
            entry = Entry.event(ended_event(lease, "expired"), tenant=lease.tenant, agent=lease.holder, mad="turing")
            try:
                await self._journal.write(lambda connection, lease=lease: _expire(connection, lease), entry)
            except _Overtaken:
                continue

        def forget(connection: Connection) -> None:
            use_sql.forget_leases(connection, now_ns - _REMEMBERED_NS)
            use_sql.forget_uses(connection, now_ns - max(WINDOWS.values()) * 1_000_000_000)

        await self._database.write(forget)


@asynccontextmanager
async def upkeep(chores: Sequence[Callable[[], Awaitable[object]]], seconds: float) -> AsyncGenerator[None]:
    """Do the chores again and again while the block runs.

    Args:
        chores: each may raise what the store raises; it is done again the next time.
        seconds: between two times.
    """
    task = asyncio.create_task(_often(chores, seconds), name="secret-upkeep")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _often(chores: Sequence[Callable[[], Awaitable[object]]], seconds: float) -> None:
    failing = False
    while True:
        try:
            for chore in chores:
                await chore()
        except (StoreUnavailable, StoreRefused) as error:
            # Said once: no secret is told meanwhile either, because that cannot be recorded.
            if not failing:
                _log.warning("secret_upkeep_waits", reason=str(error))
            failing = True
        else:
            failing = False
        await asyncio.sleep(seconds)


class _Overtaken(Exception):
    """Somebody else ended that lease."""


def _expire(connection: Connection, lease: LeaseInfo) -> None:
    if not use_sql.end_lease(connection, lease.id, "expired", lease.expires_ns):
        raise _Overtaken
