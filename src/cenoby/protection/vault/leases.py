"""Secret leases: for how long somebody may hold a value. They lie in the database and outlast restarts.

A lease that is over is not renewed: the value must be asked for again, and everything is decided anew then. It ends
when its time runs out, when somebody revokes it, and with the value. Each of these is journalled: beginning, renewing
and revoking before it is done, running out in the transaction that notes it (`upkeep.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings_secrets import SecretSettings
from cenoby.protection.events import SecretLeased, SecretLeaseEnded, SecretLeaseRenewed
from cenoby.protection.secrets import Journalled, LeaseInfo, Use, VersionInfo
from cenoby.protection.vault import use_sql
from cenoby.protection.vault.rule import SecretNotFound, SecretRefused
from cenoby.store.database import Database

_SECOND = 1_000_000_000


class SecretLeases:
    """The leases of a colony.

    Args:
        database, clock: where they lie, and when they are over.
        settings: how long they may be.
    """

    def __init__(self, database: Database, clock: Clock, settings: SecretSettings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings

    async def begin(
        self, use: Use, info: VersionInfo, seconds: float, record: Journalled, *, renewable: bool = True
    ) -> LeaseInfo:
        """A new lease for a version; at most as long as the settings allow.

        Raises:
            StoreUnavailable: it could not be recorded or kept; there is none.
        """
        now_ns = self._clock.now_ns()
        longest_ns = now_ns + self._settings.longest_lease_seconds * _SECOND
        expires_ns = min(now_ns + round(seconds * _SECOND), longest_ns)
        lease = LeaseInfo(
            id=new_id(),
            tenant=use.tenant,
            name=info.name,
            version=info.version,
            holder=use.who,
            begun_ns=now_ns,
            expires_ns=expires_ns,
            ends_ns=longest_ns if renewable else expires_ns,
        )
        event = SecretLeased(
            lease=lease.id,
            name=lease.name,
            version=lease.version,
            holder=lease.holder,
            until=iso_time(lease.expires_ns),
            renewable_until=iso_time(lease.ends_ns),
            tenant=use.tenant if use.mad else "",
        )
        await record(event)
        await self._database.write(lambda connection: use_sql.add_lease(connection, lease))
        return lease

    async def renew(self, lease: LeaseInfo, seconds: float | None, record: Journalled) -> LeaseInfo:
        """The same lease for `seconds` from now (None: as the settings say), never beyond its end.

        Raises:
            SecretRefused: `secret_lease_over`: it is, or it lasts as long as it can.
            StoreUnavailable: it could not be recorded.
        """
        now_ns = self._clock.now_ns()
        wanted = self._settings.lease_seconds if seconds is None else seconds
        expires_ns = min(now_ns + round(wanted * _SECOND), lease.ends_ns)
        if not is_live(lease, now_ns) or (expires_ns <= lease.expires_ns and lease.expires_ns >= lease.ends_ns):
            raise over(lease)
        tenant = lease.tenant if lease.holder.startswith("mad:") else ""
        until = iso_time(expires_ns)
        await record(
            SecretLeaseRenewed(lease=lease.id, name=lease.name, holder=lease.holder, until=until, tenant=tenant)
        )
        if not await self._database.write(
            lambda connection: use_sql.renew_lease(connection, lease.id, expires_ns, self._clock.now_ns())
        ):
            raise over(lease)
        return replace(lease, expires_ns=expires_ns)

    async def end(self, leases: Sequence[LeaseInfo], why: str, record: Journalled) -> list[LeaseInfo]:
        """End leases; those that were not over yet.

        Raises:
            StoreUnavailable: it could not be recorded; those before it are ended.
        """
        ended: list[LeaseInfo] = []
        for lease in leases:
            await record(ended_event(lease, why))
            now_ns = self._clock.now_ns()
            if await self._database.write(
                lambda connection, lease=lease, now_ns=now_ns: use_sql.end_lease(connection, lease.id, why, now_ns)
            ):
                ended.append(lease)
        return ended

    async def get(self, tenant: str, identifier: str) -> LeaseInfo:
        """One lease of a tenant, over or not.

        Raises:
            SecretNotFound: `secret_lease_unknown`.
        """
        found = await self._database.read(lambda connection: use_sql.read_lease(connection, tenant, identifier))
        if found is None:
            raise unknown(identifier)
        return found

    async def live(
        self, tenant: str, *, holder: str = "", name: str = "", version: int = 0, after: str = "", limit: int = 1000
    ) -> list[LeaseInfo]:
        """Leases of a tenant that are not over, by id; only of that holder, secret and version where they are given."""
        now_ns = self._clock.now_ns()
        return await self._database.read(
            lambda connection: use_sql.live_leases(
                connection, tenant, now_ns, holder=holder, name=name, version=version, after=after, limit=limit
            )
        )

    async def held(self, use: Use, info: VersionInfo, record: Journalled) -> LeaseInfo:
        """The lease under which the colony itself uses a version: the one it has, renewed in time, or a new one.

        Raises:
            StoreUnavailable: it could not be recorded.
        """
        seconds = float(self._settings.lease_seconds)
        leases = await self.live(use.tenant, holder=use.who, name=info.name, version=info.version)
        if not leases:
            return await self.begin(use, info, seconds, record)
        lease = max(leases, key=lambda one: one.expires_ns)
        left_ns = lease.expires_ns - self._clock.now_ns()
        if left_ns > seconds * _SECOND / 3:
            return lease
        try:
            return await self.renew(lease, seconds, record)
        except SecretRefused:
            return await self.begin(use, info, seconds, record)


def is_live(lease: LeaseInfo, now_ns: int) -> bool:
    """Whether a lease is not over."""
    return lease.ended_ns is None and now_ns < lease.expires_ns


def over(lease: LeaseInfo) -> SecretRefused:
    """The lease holds no more, or no longer."""
    return SecretRefused(
        "secret_lease_over",
        f"Lease {lease.id} of secret {lease.name!r} {_state(lease)}; read the secret again to get another one.",
    )


def unknown(identifier: str) -> SecretNotFound:
    """There is no such lease for this caller."""
    return SecretNotFound("secret_lease_unknown", f"There is no lease {identifier[:64]!r}; list_leases shows them.")


def _state(lease: LeaseInfo) -> str:
    if lease.ended_why:
        return f"is over ({lease.ended_why})"
    return f"lasts until {iso_time(lease.expires_ns)} and no longer"


def ended_event(lease: LeaseInfo, why: str) -> SecretLeaseEnded:
    """What the journal keeps of the end of a lease."""
    tenant = lease.tenant if lease.holder.startswith("mad:") else ""
    return SecretLeaseEnded(lease=lease.id, name=lease.name, holder=lease.holder, why=why, tenant=tenant)
