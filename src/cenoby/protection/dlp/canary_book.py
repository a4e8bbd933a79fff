"""Canaries that are made while the colony runs: durable first, then looked for, on every node.

Every process keeps them in memory (`store/table_cache.py`), so other nodes look for a new one within `cache.follow`
seconds.
"""

from __future__ import annotations

from collections.abc import Collection

from cenoby.kernel.clock import Clock
from cenoby.kernel.ids import new_id
from cenoby.protection.dlp.canaries import Canaries, Canary
from cenoby.protection.dlp.minting import CanaryKind, Minted, mint
from cenoby.store.engine import Connection
from cenoby.store.table_cache import Change, TableCache


class CanaryBook:
    """Makes, lists and deletes canaries.

    Args:
        cache: keeps them; its table `canaries` is ours.
        clock: the time.
        canaries: is told what to look for.
    """

    def __init__(self, cache: TableCache, clock: Clock, canaries: Canaries) -> None:
        self._cache = cache
        self._clock = clock
        self._canaries = canaries
        self._rows = cache.table("canaries", _read, self._changed)

    def list(self, tenant: str) -> list[Canary]:
        """The canaries of a tenant, the newest first."""
        own = (one for one in self._rows.all().values() if one.tenant == tenant)
        return sorted(own, key=lambda one: -one.made_ns)

    async def create(self, tenant: str, label: str, kind: CanaryKind, *, host: str, made_by: str) -> Minted:
        """Make a canary and look for it from now on. Its value is in what this returns, and nowhere else.

        Args:
            tenant, label, made_by: as in `Canary`.
            kind, host: as for `mint`.

        Raises:
            StoreUnavailable: it could not be made durable; there is none.
        """
        now_ns = self._clock.now_ns()
        minted = mint(kind, id=new_id(), tenant=tenant, label=label, host=host, made_by=made_by, made_ns=now_ns)
        canary = minted.canary
        row = tuple(getattr(canary, name) for name in _COLUMNS)

        def put(connection: Connection) -> tuple[Minted, list[Change]]:
            connection.execute(_PUT, row)
            return minted, [(self._rows, {canary.id: canary})]

        return await self._cache.write(put)

    async def delete(self, tenant: str, id: str) -> bool:
        """Look for a canary no more; whether the tenant had it.

        Raises:
            StoreUnavailable: it could not be made durable; it is looked for on.
        """

        def remove(connection: Connection) -> tuple[bool, list[Change]]:
            if not connection.execute(_REMOVE, (tenant, id)).rowcount:
                return False, []
            return True, [(self._rows, {id: None})]

        return await self._cache.write(remove)

    def _changed(self, keys: Collection[str]) -> None:
        del keys
        self._canaries.keep(self._rows.all().values())


def _read(connection: Connection) -> dict[str, Canary]:
    return {row[0]: Canary(*row) for row in connection.execute(_ALL)}


_COLUMNS = ("id", "tenant", "label", "kind", "mark", "offset", "length", "digest", "made_by", "made_ns")
_ALL = "SELECT id, tenant, label, kind, mark, mark_offset, length, digest, made_by, made_ns FROM canaries"
_PUT = (
    "INSERT INTO canaries (id, tenant, label, kind, mark, mark_offset, length, digest, made_by, made_ns)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REMOVE = "DELETE FROM canaries WHERE tenant = ? AND id = ?"
