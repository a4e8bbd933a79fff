"""Kill switches: one agent, MAD or tool, one tenant or all of it, stopped on every node until a person lifts it.

A switch is durable before it holds, and every process of the colony keeps them all in memory (`store/table_cache.py`),
so other nodes know it within `cache.follow` seconds. A process that is cut off from the store cannot record a call
either, and refuses it for that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal, get_args

import msgspec

from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.store.engine import Connection
from cenoby.store.table_cache import Change, TableCache

Scope = Literal["agent", "mad", "tool", "tenant", "all"]
"""What a switch stops."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
COLONY = ""
"""The tenant of a switch that holds for all tenants."""
SWITCH = "kill:switch"
"""The action type of throwing and lifting one."""
_KEPT_FOR_PEOPLE = frozenset({SWITCH, "colony:read", "journal:read", "approval:read"})

_Key = tuple[str, str, str]


class KillSwitch(msgspec.Struct, frozen=True):
    """One switch.

    Attributes:
        tenant: for whose callers it holds; `COLONY` for all.
        scope, name: what it stops; the name is empty for a whole tenant and for all.
        reason: why; who is refused is told.
        set_by, set_ns: who threw it, and when, Unix nanoseconds.
    """

    tenant: str
    scope: Scope
    name: str
    reason: str
    set_by: str
    set_ns: int


class Kills:
    """All kill switches, in memory.

    Args:
        cache: keeps them; its table `kill_switches` is ours.
        clock: the time.
    """

    def __init__(self, cache: TableCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._switches = cache.table("kill_switches", _read, self._changed)
        self._listeners: list[Callable[[], object]] = []

    def listen(self, listener: Callable[[], object]) -> None:
        """Have `listener` called, within the change, whenever a switch was thrown or lifted, here or elsewhere."""
        self._listeners.append(listener)

    def check(self, principal: Principal, mad: str, tool: str, action: str) -> None:
        """Pass if nothing stops this call.

        Where a tenant, all, a MAD or a tool is stopped, people still see the colony and work the switches, or nobody
        could lift one; an agent that is stopped by name does nothing, whoever it is.

        Raises:
            AccessRefused: `killed`.
            StoreUnavailable: store_cold: the switches were not read yet.
        """
        if self._switches.all():
            self._raise_if(self._met_by_agent(principal) or self._met_by_place(principal, mad, tool, action))

    def barred(self, principal: Principal) -> AccessRefused | None:
        """Why this principal may do nothing at all just now, if so; people are asked call by call."""
        if not self._switches.all():
            return None
        found = self._met_by_agent(principal)
        if found is None and principal.kind != "person":
            found = self._first((tenant, "all", "") for tenant in (COLONY, principal.tenant))
        return None if found is None else _killed(found)

    def list(self, tenant: str) -> list[KillSwitch]:
        """The switches that hold for a tenant's callers, the newest first."""
        held = (one for one in self._switches.all().values() if one.tenant in (COLONY, tenant))
        return sorted(held, key=lambda one: -one.set_ns)

    async def throw(self, principal: Principal, scope: Scope, name: str, reason: str) -> KillSwitch:
        """Stop it; holds here when this returns, and on every other node soon after.

        Args:
            principal: who throws it. One of the colony's own tenant stops for all tenants; others for theirs alone.
            scope: what.
            name: of the agent, MAD, tool or tenant; empty for `all`.
            reason: why.

        Raises:
            AccessRefused: `kill_not_yours`.
            StoreUnavailable: it could not be made durable; nothing is stopped.
        """
        tenant, kept_scope, kept_name = self._key(principal, scope, name)
        switch = KillSwitch(tenant, kept_scope, kept_name, reason, principal.agent, self._clock.now_ns())

        def put(connection: Connection) -> tuple[KillSwitch, list[Change]]:
            connection.execute(_PUT, msgspec.structs.astuple(switch))
            return switch, [(self._switches, {(tenant, kept_scope, kept_name): switch})]

        return await self._cache.write(put)

    async def lift(self, principal: Principal, scope: Scope, name: str) -> bool:
        """Let it go on; whether there was such a switch. Only a person lifts one.

        Raises:
            AccessRefused: `kill_not_yours`.
            StoreUnavailable: it could not be made durable; the switch holds on.
        """
        if principal.kind != "person":
            raise AccessRefused("kill_not_yours", f"Only a person lifts a kill switch; {principal.agent!r} is none.")
        key = self._key(principal, scope, name)

        def remove(connection: Connection) -> tuple[bool, list[Change]]:
            return connection.execute(_REMOVE, key).rowcount == 1, [(self._switches, {key: None})]

        return await self._cache.write(remove)

    def _key(self, principal: Principal, scope: Scope, name: str) -> tuple[str, Scope, str]:
        own = COLONY if principal.tenant == DEFAULT_TENANT else principal.tenant
        if scope in ("mad", "tool"):
            return own, scope, name
        if scope == "agent":
            # Names of agents are unique in the colony; the caller says whose agents they may stop.
            return own, scope, name
        wanted = COLONY if scope == "all" else name
        if own not in (COLONY, wanted):
            raise AccessRefused(
                "kill_not_yours",
                f"{principal.agent!r} of tenant {principal.tenant!r} cannot stop what belongs to others; stop the "
                f"tenant {principal.tenant!r}, or have the colony's own operator do it.",
            )
        return wanted, "all", ""

    def _met_by_agent(self, principal: Principal) -> KillSwitch | None:
        return self._first((tenant, "agent", principal.agent) for tenant in (COLONY, principal.tenant))

    def _met_by_place(self, principal: Principal, mad: str, tool: str, action: str) -> KillSwitch | None:
        if principal.kind == "person" and action in _KEPT_FOR_PEOPLE:
            return None
        places = (("all", ""), ("mad", mad), ("tool", tool))
        return self._first((tenant, *place) for tenant in (COLONY, principal.tenant) for place in places)

    def _first(self, keys: Iterable[_Key]) -> KillSwitch | None:
        switches = self._switches.all()
        return next((switches[key] for key in keys if key in switches), None)

    def _raise_if(self, found: KillSwitch | None) -> None:
        if found is not None:
            raise _killed(found)

    def _changed(self, keys: Collection[_Key]) -> None:
        del keys
        for listener in self._listeners:
            listener()


def _killed(switch: KillSwitch) -> AccessRefused:
    if switch.scope == "all":
        what = f"Tenant {switch.tenant!r}" if switch.tenant else "Everything"
    else:
        what = f"{switch.scope} {switch.name!r}".capitalize() if switch.scope != "mad" else f"MAD {switch.name!r}"
    return AccessRefused(
        "killed",
        f"{what} is stopped by a kill switch of {switch.set_by!r}: {switch.reason} Only a person can lift it.",
        details={"scope": switch.scope, "name": switch.name},
    )


def _read(connection: Connection) -> dict[_Key, KillSwitch]:
    switches = [KillSwitch(*row) for row in connection.execute(_ALL)]
    return {(one.tenant, one.scope, one.name): one for one in switches}


_ALL = "SELECT tenant, scope, name, reason, set_by, set_ns FROM kill_switches"
_PUT = (
    "INSERT INTO kill_switches (tenant, scope, name, reason, set_by, set_ns) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, scope, name) DO UPDATE SET reason = excluded.reason, set_by = excluded.set_by,"
    " set_ns = excluded.set_ns"
)
_REMOVE = "DELETE FROM kill_switches WHERE tenant = ? AND scope = ? AND name = ?"
