"""Named leases: one owner at a time, and a fencing token that only grows, so that who was late is told apart.

Whether a write is let in depends on the token alone: it is compared in the transaction of the write, so an owner who
froze, or whose clock is wrong, cannot undo what its successor did (Kleppmann, "How to do distributed locking", 2016).
Clocks only decide when somebody else may take over: the owner's wall clock said until when, the taker's says whether it
is over. Assumed is that wall clocks of all who share the store agree within `CLOCKS_AGREE_NS`; where they do not, a
lease passes on too early or late, and still never to two at once.

An owner who acts outside the store must stop by itself: `Lease.is_live` counts on its monotonic clock from before it
asked, so no step of its wall clock prolongs the lease. Another's wall clock that is ahead may end it earlier by that
much: what nobody may do twice belongs into a guarded write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from cenoby.kernel.clock import Clock
from cenoby.store.database import Database, StoreRefused
from cenoby.store.engine import Connection

T = TypeVar("T")

CLOCKS_AGREE_NS = 60 * 1_000_000_000
"""How far apart wall clocks may be. What lies further ahead than it can was written before a clock was set back."""


class Lease(msgspec.Struct, frozen=True):
    """A name in somebody's hands.

    Attributes:
        tenant, name: what is held.
        owner: who holds it.
        token: the fencing token: each acquisition of the name gets a higher one.
        ttl_ns: for how many nanoseconds it was asked for.
        expires_ns: from when others may have it: Unix nanoseconds.
        ends_ns: when its owner must stop, on the monotonic clock of the owner's process; means nothing elsewhere.
    """

    tenant: str
    name: str
    owner: str
    token: int
    ttl_ns: int
    expires_ns: int
    ends_ns: int = 0

    def is_live(self, clock: Clock) -> bool:
        """Whether its owner, whose clock it is, may still act on it without asking the store."""
        return clock.monotonic_ns() < self.ends_ns


class Leases:
    """The leases of a store.

    Args:
        database: where they are.
        clock: of this process.
        tenant: whose names; empty for the colony's own.
    """

    def __init__(self, database: Database, clock: Clock, *, tenant: str = "") -> None:
        self._database = database
        self._clock = clock
        self._tenant = tenant

    async def acquire(self, name: str, owner: str, ttl_ns: int) -> Lease | None:
        """Take a lease that nobody holds, or whose time ran out; None where somebody does, be it the same owner.

        Args:
            name: what is leased.
            owner: who asks; not empty, and of this process alone, such as a node's name with an id.
            ttl_ns: nanoseconds until others may have it, unless it is renewed.

        Raises:
            StoreUnavailable: it was not taken.
        """
        if not owner or ttl_ns <= 0:
            raise ValueError("a lease needs an owner and a time to live")
        now_ns, ends_ns = self._clock.now_ns(), self._clock.monotonic_ns() + ttl_ns
        wanted = Lease(self._tenant, name, owner, 0, ttl_ns, now_ns + ttl_ns, ends_ns)
        return await self._database.write(lambda connection: acquire_lease(connection, wanted, now_ns))

    async def renew(self, lease: Lease) -> Lease:
        """The same lease with all its time again; also where it ran out and nobody took it.

        Raises:
            StoreRefused: lease_lost: somebody took it, or it was released; stop what was done under it.
            StoreUnavailable: it was not renewed; `lease` ends when it ends.
        """
        ends_ns, expires_ns = self._clock.monotonic_ns() + lease.ttl_ns, self._clock.now_ns() + lease.ttl_ns
        longer = msgspec.structs.replace(lease, expires_ns=expires_ns, ends_ns=ends_ns)
        await self._database.write(lambda connection: renew_lease(connection, longer))
        return longer

    async def release(self, lease: Lease) -> bool:
        """Give a lease up, so that others need not wait; False where it was lost before.

        Raises:
            StoreUnavailable: it runs out by itself.
        """
        return await self._database.write(lambda connection: release_lease(connection, lease))

    async def write(self, lease: Lease, work: Callable[[Connection], T], *, size: int = 512) -> T:
        """As `Database.write`, for as long as nobody else took the lease.

        Raises:
            StoreRefused: lease_lost: nothing of `work` is there.
            StoreUnavailable: as for `Database.write`.
        """

        def guarded(connection: Connection) -> T:
            check_lease(connection, lease)
            return work(connection)

        return await self._database.write(guarded, size=size)

    async def find(self, name: str) -> Lease | None:
        """Who holds a name, or held it last and let it run out; None where it is free."""
        values = (self._tenant, name)
        row = await self._database.read(lambda connection: connection.execute(_FIND, values).fetchone())
        return Lease(*row) if row else None


def acquire_lease(connection: Connection, wanted: Lease, now_ns: int) -> Lease | None:
    """As `Leases.acquire`, inside a transaction of the caller's own; `wanted` says what, its token does not matter."""
    values = (wanted.tenant, wanted.name, wanted.owner, wanted.ttl_ns, wanted.expires_ns, now_ns)
    row = connection.execute(_ACQUIRE, (*values, now_ns + CLOCKS_AGREE_NS)).fetchone()
    return msgspec.structs.replace(wanted, token=row[0]) if row else None


def renew_lease(connection: Connection, longer: Lease) -> None:
    """Let a lease expire when `longer` says, inside a transaction of the caller's own.

    Raises:
        StoreRefused: lease_lost.
    """
    values = (longer.expires_ns, longer.tenant, longer.name, longer.token)
    if connection.execute(_RENEW, values).rowcount != 1:
        raise _lost(longer)


def release_lease(connection: Connection, lease: Lease) -> bool:
    """As `Leases.release`, inside a transaction of the caller's own."""
    return connection.execute(_RELEASE, (lease.tenant, lease.name, lease.token)).rowcount == 1


def check_lease(connection: Connection, lease: Lease) -> None:
    """Pass where the token of `lease` is the newest of its name; then no other owner can be until the caller's
    transaction ends.

    Raises:
        StoreRefused: lease_lost: let it undo the transaction's work.
    """
    # It is an update of nothing, because reading alone would keep nobody out on PostgreSQL.
    if connection.execute(_CHECK, (lease.tenant, lease.name, lease.token)).rowcount != 1:
        raise _lost(lease)


def _lost(lease: Lease) -> StoreRefused:
    return StoreRefused(
        "lease_lost", f"{lease.owner} lost the lease {lease.name!r} (token {lease.token}); acquire it anew."
    )


# An expiry further ahead than `ttl_ns` and the clocks' difference allow was written before a clock was set back.
_ACQUIRE = (
    "INSERT INTO leases (tenant, name, owner, token, ttl_ns, expires_ns) VALUES (?, ?, ?, 1, ?, ?)"
    " ON CONFLICT (tenant, name) DO UPDATE SET owner = excluded.owner, token = leases.token + 1,"
    " ttl_ns = excluded.ttl_ns, expires_ns = excluded.expires_ns"
    " WHERE leases.owner = '' OR leases.expires_ns <= ? OR leases.expires_ns > leases.ttl_ns + ? RETURNING token"
)
_HELD = "WHERE tenant = ? AND name = ? AND token = ? AND owner <> ''"
_RENEW = f"UPDATE leases SET expires_ns = ? {_HELD}"  # noqa: S608 - constants
_RELEASE = f"UPDATE leases SET owner = '' {_HELD}"  # noqa: S608
_CHECK = f"UPDATE leases SET token = token {_HELD}"  # noqa: S608
_FIND = (
    "SELECT tenant, name, owner, token, ttl_ns, expires_ns FROM leases WHERE tenant = ? AND name = ? AND owner <> ''"
)
