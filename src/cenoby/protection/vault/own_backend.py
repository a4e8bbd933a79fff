"""Secrets in the colony's own database, under envelope encryption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cenoby.kernel.clock import Clock
from cenoby.protection.secrets import Journalled, SecretInfo, VersionInfo
from cenoby.protection.vault import sql
from cenoby.protection.vault.cipher import Place, Sealed, seal, unseal
from cenoby.protection.vault.key_ring import KeyRing
from cenoby.protection.vault.keys import MasterKey, VaultError
from cenoby.store.database import Database
from cenoby.store.engine import Connection


class OwnBackend:
    """Ciphertexts and wrapped keys in the database.

    Args:
        database: where they lie.
        ring: the master key; raises VaultSealed while it is not there.
        clock: dates versions.
    """

    def __init__(self, database: Database, ring: Callable[[], KeyRing], clock: Clock) -> None:
        self._database = database
        self._ring = ring
        self._clock = clock

    def require_open(self) -> None:
        """See `SecretBackend`."""
        self._ring()

    async def read_secret(self, tenant: str, name: str) -> SecretInfo | None:
        """See `SecretBackend`."""
        return await self._database.read(lambda connection: sql.read_secret(connection, tenant, name))

    async def read_secrets(self, tenant: str, after: str, limit: int) -> list[SecretInfo]:
        """See `SecretBackend`."""
        return await self._database.read(lambda connection: sql.read_secrets(connection, tenant, after, limit))

    async def read_version(self, tenant: str, name: str, version: int) -> VersionInfo | None:
        """See `SecretBackend`."""
        return await self._database.read(lambda connection: sql.read_version(connection, tenant, name, version))

    async def read_versions(self, tenant: str, name: str) -> list[VersionInfo]:
        """See `SecretBackend`."""
        return await self._database.read(lambda connection: sql.read_versions(connection, tenant, name))

    async def read_value(self, tenant: str, name: str, version: int) -> str | None:
        """See `SecretBackend`."""
        keys = self._ring().keys()
        found = await self._database.read(lambda connection: sql.read_sealed(connection, tenant, name, version))
        return None if found is None else _unsealed(keys, tenant, *found)

    async def add_version(
        self, tenant: str, name: str, value: str, *, readers: Sequence[str], colony_only: bool, created_by: str
    ) -> VersionInfo:
        """See `SecretBackend`."""
        ring, now_ns = self._ring(), self._clock.now_ns()

        def add(connection: Connection) -> VersionInfo:
            info = VersionInfo(
                name=name,
                version=sql.newest_version(connection, tenant, name) + 1,
                readers=tuple(readers),
                colony_only=colony_only,
                created_by=created_by,
                created_ns=now_ns,
            )
            sealed = seal(ring.present(connection), Place(tenant, info), value)
            sql.add_version(connection, tenant, info, sealed)
            return info

        return await self._database.write(add, size=len(value) + 512)

    async def revoke(self, tenant: str, name: str, version: int | None, agent: str) -> list[int]:
        """See `SecretBackend`."""
        now_ns = self._clock.now_ns()
        return await self._database.write(
            lambda connection: sql.revoke_versions(connection, tenant, name, version, agent, now_ns)
        )

    async def rotate_master_key(self, record: Journalled) -> str:
        """See `SecretBackend`; wraps every data key with the new master key."""
        return await self._ring().rotate(record)


def _unsealed(keys: Mapping[str, MasterKey], tenant: str, info: VersionInfo, sealed: Sealed) -> str:
    key = keys.get(sealed.key_id)
    if key is None:
        raise VaultError(
            "secret_damaged",
            f"Secret {info.name!r} is under master key {sealed.key_id}, which is not in force; it was changed or moved "
            "in the database.",
        )
    return unseal(key, Place(tenant, info), sealed)
