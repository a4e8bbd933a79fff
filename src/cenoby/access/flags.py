"""Feature flags: for which share of the agents, and for which of them by name, a MAD or a tool is switched on.

Without a flag everything is on. A share is taken by a hash of flag and agent, so that an agent that has it at ten per
cent has it at twenty, too, and different flags choose different agents.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.kernel.clock import Clock
from cenoby.store.engine import Connection
from cenoby.store.table_cache import Change, TableCache


class Flag(msgspec.Struct, frozen=True):
    """One flag.

    Attributes:
        tenant: whose.
        name: `mads.<mad>` for all its tools, or a tool's canonical name.
        percentage: share of the agents for which it is on, 0 to 100.
        agents: for these it is on in any case.
        reason: why; who is refused is told.
        set_by, set_ns: who set it, and when, Unix nanoseconds.
    """

    tenant: str
    name: str
    percentage: int
    agents: tuple[str, ...]
    reason: str
    set_by: str
    set_ns: int

    def on_for(self, agent: str) -> bool:
        """Whether it is switched on for an agent."""
        return agent in self.agents or crc32(f"{self.name} {agent}".encode()) % 100 < self.percentage


class Flags:
    """All flags, in memory; each change is durable before it holds.

    Args:
        cache: keeps them; its table `flags` is ours.
        clock: the time.
    """

    def __init__(self, cache: TableCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._flags = cache.table("flags", _read, lambda _: None)

    def check(self, principal: Principal, mad: str, tool: str) -> None:
        """Pass if tool and MAD are switched on for the caller.

        Raises:
            AccessRefused: `tool_switched_off`.
            StoreUnavailable: store_cold: they were not read yet.
        """
        flags = self._flags.all()
        if not flags:
            return
        for name in (f"mads.{mad}", tool):
            flag = flags.get((principal.tenant, name))
            if flag is not None and not flag.on_for(principal.agent):
                raise AccessRefused(
                    "tool_switched_off",
                    f"{name} is switched off for {principal.agent!r}: {flag.reason}",
                    details={"flag": name},
                )

    def list(self, tenant: str) -> list[Flag]:
        """The flags of a tenant, by name."""
        return sorted(
            (flag for flag in self._flags.all().values() if flag.tenant == tenant), key=lambda flag: flag.name
        )

    async def put(
        self, name: str, principal: Principal, *, percentage: int, agents: Sequence[str], reason: str
    ) -> Flag:
        """Set a flag; it holds from the next call on.

        Args:
            name: of a MAD (`mads.<mad>`) or a tool.
            principal: who sets it, for the agents of their tenant.
            percentage: 0 to 100.
            agents: for whom it is on in any case.
            reason: why.

        Raises:
            StoreUnavailable: it could not be made durable; what was before holds.
        """
        flag = Flag(principal.tenant, name, percentage, tuple(agents), reason, principal.agent, self._clock.now_ns())
        values = (flag.tenant, name, percentage, " ".join(agents), reason, flag.set_by, flag.set_ns)

        def put(connection: Connection) -> tuple[Flag, list[Change]]:
            connection.execute(_PUT, values)
            return flag, [(self._flags, {(flag.tenant, name): flag})]

        return await self._cache.write(put)

    async def remove(self, name: str, principal: Principal) -> bool:
        """Remove a flag, so that everybody has what it was for; False where there is none.

        Raises:
            StoreUnavailable: it could not be made durable; it holds on.
        """
        key = (principal.tenant, name)

        def remove(connection: Connection) -> tuple[bool, list[Change]]:
            return connection.execute(_REMOVE, key).rowcount == 1, [(self._flags, {key: None})]

        return await self._cache.write(remove)


def _read(connection: Connection) -> dict[tuple[str, str], Flag]:
    flags = [
        Flag(tenant, name, percentage, tuple(agents.split()), reason, set_by, set_ns)
        for tenant, name, percentage, agents, reason, set_by, set_ns in connection.execute(_ALL)
    ]
    return {(flag.tenant, flag.name): flag for flag in flags}


_ALL = "SELECT tenant, name, percentage, agents, reason, set_by, set_ns FROM flags"
_PUT = (
    "INSERT INTO flags (tenant, name, percentage, agents, reason, set_by, set_ns) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, name) DO UPDATE SET percentage = excluded.percentage, agents = excluded.agents,"
    " reason = excluded.reason, set_by = excluded.set_by, set_ns = excluded.set_ns"
)
_REMOVE = "DELETE FROM flags WHERE tenant = ? AND name = ?"
