"""Where the values of secrets lie: in the colony's own database (`own_backend.py`), or at an OpenBao or Vault server.

The vault decides who may read and change, and records it; a backend keeps versions and gives them back. What holds for
every backend is tried by one shared test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cenoby.protection.secrets import Journalled, SecretInfo, VersionInfo


class SecretBackend(Protocol):
    """Keeps the versions of secrets. Versions count from 1 and are never given twice.

    Every method raises CenobyError where the backend cannot be asked, with `retry_after` where that helps.
    """

    def require_open(self) -> None:
        """Pass if values can be read and stored now; asked before an access is put on record.

        Raises:
            VaultSealed: the vault is sealed.
        """
        ...

    async def read_secret(self, tenant: str, name: str) -> SecretInfo | None:
        """A secret by its newest version; None where there is none of that name."""
        ...

    async def read_secrets(self, tenant: str, after: str, limit: int) -> list[SecretInfo]:
        """A tenant's secrets by name: the first `limit` of those after the name `after`."""
        ...

    async def read_version(self, tenant: str, name: str, version: int) -> VersionInfo | None:
        """One version, good or revoked; None where there is none of that number."""
        ...

    async def read_versions(self, tenant: str, name: str) -> list[VersionInfo]:
        """All versions of a secret that are known, the newest first."""
        ...

    async def read_value(self, tenant: str, name: str, version: int) -> str | None:
        """The value of one version; None where it was revoked.

        Raises:
            VaultError: `secret_damaged`.
        """
        ...

    async def add_version(
        self, tenant: str, name: str, value: str, *, readers: Sequence[str], colony_only: bool, created_by: str
    ) -> VersionInfo:
        """Store the next version of a secret, or the first of a new one."""
        ...

    async def revoke(self, tenant: str, name: str, version: int | None, agent: str) -> list[int]:
        """Destroy the value of one version, or of all, for good; the numbers of those that were good until now."""
        ...

    async def rotate_master_key(self, record: Journalled) -> str:
        """Put a new master key in force; its id.

        Raises:
            VaultError: `vault_key_fixed`, where the key is not made here.
        """
        ...
