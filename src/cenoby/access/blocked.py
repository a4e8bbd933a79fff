"""Agents that another authority vouches for, and that are not let in all the same: all their tokens, or one.

What an issuer signed cannot be taken back here; this list is how it ends before its time. It names agents by tenant, so
that nobody ends anything of another tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from cenoby.access.principals import Principal
from cenoby.kernel.clock import Clock
from cenoby.store.engine import Connection
from cenoby.store.table_cache import Change, TableCache


class Block(msgspec.Struct, frozen=True):
    """One agent of one tenant that is kept out. Times are Unix nanoseconds.

    Attributes:
        token: only this token of it (`jti`); empty for all.
        blocked_by: who said so.
    """

    tenant: str
    agent: str
    token: str
    reason: str
    blocked_by: str
    blocked_ns: int


class Blocks:
    """The list, in memory (`store/table_cache.py`); other processes see a change within `cache.follow` seconds.

    Args:
        cache: keeps it.
        clock: the time.
    """

    def __init__(self, cache: TableCache, clock: Clock) -> None:
        self._clock = clock
        self._cache = cache
        self._table = cache.table("blocked_subjects", _read, self._changed)
        self.changed: Callable[[Collection[str]], object] = _nobody
        """Told the names of agents that came onto the list, or left it."""

    def blocks(self, tenant: str, agent: str, token: str) -> bool:
        """Whether that agent is kept out, with that token.

        Raises:
            StoreUnavailable: store_cold.
        """
        rows = self._table.all()
        return bool(rows) and ((tenant, agent, "") in rows or (tenant, agent, token) in rows)

    def list(self, tenant: str) -> list[Block]:
        """Who of a tenant is kept out, oldest first."""
        return sorted(
            (one for one in self._table.all().values() if one.tenant == tenant), key=lambda one: one.blocked_ns
        )

    async def add(self, agent: str, token: str, reason: str, by: Principal) -> Block:
        """Keep an agent of the caller's tenant out; in this process at once.

        Raises:
            StoreUnavailable: it could not be made durable, and does not hold.
        """
        block = Block(by.tenant, agent, token, reason, by.agent, self._clock.now_ns())

        def put(connection: Connection) -> tuple[None, list[Change]]:
            connection.execute(
                "INSERT INTO blocked_subjects (tenant, agent, token, reason, blocked_by, blocked_ns)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, agent, token) DO UPDATE SET"
                " reason = excluded.reason, blocked_by = excluded.blocked_by, blocked_ns = excluded.blocked_ns",
                msgspec.structs.astuple(block),
            )
            return None, [(self._table, {(block.tenant, agent, token): block})]

        await self._cache.write(put)
        return block

    async def remove(self, agent: str, token: str, by: Principal) -> bool:
        """Let it in again; whether it was kept out.

        Raises:
            StoreUnavailable: it could not be made durable.
        """
        key = (by.tenant, agent, token)

        def take(connection: Connection) -> tuple[bool, list[Change]]:
            cursor = connection.execute(
                "DELETE FROM blocked_subjects WHERE tenant = ? AND agent = ? AND token = ?", key
            )
            return cursor.rowcount == 1, [(self._table, {key: None})]

        return await self._cache.write(take)

    def _changed(self, keys: Collection[tuple[str, str, str]]) -> None:
        self.changed({agent for _, agent, _ in keys})


def is_blocked(connection: Connection, tenant: str, agent: str, token: str) -> bool:
    """As `Blocks.blocks`, as it is on disk."""
    return (
        connection.execute(
            "SELECT 1 FROM blocked_subjects WHERE tenant = ? AND agent = ? AND token IN ('', ?)", (tenant, agent, token)
        ).fetchone()
        is not None
    )


def _read(connection: Connection) -> dict[tuple[str, str, str], Block]:
    rows = connection.execute(
        "SELECT tenant, agent, token, reason, blocked_by, blocked_ns FROM blocked_subjects"
    ).fetchall()
    return {(row[0], row[1], row[2]): Block(*row) for row in rows}


def _nobody(agents: Collection[str]) -> None:
    del agents
