"""The vault: keeps secrets, tells them to those who may know, and only after the journal has it.

No record, no secret: each access is recorded through a port before a value is decrypted, and where recording fails the
access fails with it. Values are decrypted just in time and kept nowhere; what Python cannot promise is that no copy of
one is left in its memory, so the promise is: short-lived, never logged, in no core dump (`core_dumps.py`).
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Callable, Collection, Sequence

from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.protection import events
from cenoby.protection.secrets import Caller, Journalled, SecretInfo, SecretValue, VersionInfo
from cenoby.protection.vault.backend import SecretBackend
from cenoby.protection.vault.key_ring import KeyRing
from cenoby.protection.vault.keys import KeySource
from cenoby.protection.vault.own_backend import OwnBackend
from cenoby.protection.vault.rule import SecretNotFound, SecretRefused, check_change, check_mad, check_new, check_read
from cenoby.store.database import Database

_ALPHABET = string.ascii_letters + string.digits


class Vault:
    """Secrets of a colony; `open` makes one.

    Args:
        backend: keeps the versions.
        record: journals accesses of the colony itself; callers of the other methods bring their own.
        stewards: roles that may replace and revoke any secret (and read no more than others).
    """

    def __init__(self, backend: SecretBackend, record: Journalled, stewards: Collection[str] = ("operator",)) -> None:
        self._backend = backend
        self._record = record
        self._stewards = stewards
        self._changing = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        database: Database,
        source: KeySource,
        *,
        clock: Clock,
        record: Journalled,
        stewards: Collection[str] = ("operator",),
    ) -> Vault:
        """The vault over the colony's own database, with the master key that `source` keeps.

        Raises:
            VaultError: the key is missing, wrong, exposed or unusable; the message says what to do.
        """
        ring = await KeyRing.open(database, source, clock, record)
        return cls(OwnBackend(database, lambda: ring, clock), record, stewards)

    async def set_secret(
        self,
        caller: Caller,
        name: str,
        value: str,
        *,
        readers: Sequence[str] | None = None,
        colony_only: bool | None = None,
        record: Journalled,
    ) -> VersionInfo:
        """Store a new version.

        Args:
            readers: `role:<name>` or `agent:<name>`; empty: whoever may read secrets. None: as the newest version has
                it, and empty for a new secret. Readers go with the version, so new ones never see an older value.
            colony_only: tell it to no caller; None: as the newest version has it, and False for a new secret.

        Raises:
            SecretRefused: `secret_invalid`, `secret_not_owner`.
        """
        async with self._changing:
            secret = await self._backend.read_secret(caller.tenant, name)
            if secret is not None:
                await self._checked(lambda: check_change(caller, secret, self._stewards), secret.newest, record)
                readers = secret.newest.readers if readers is None else readers
                colony_only = secret.newest.colony_only if colony_only is None else colony_only
            return await self._add(
                caller, name, value, tuple(sorted(set(readers or ()))), bool(colony_only), events.SecretSet, record
            )

    async def get_secret(
        self, caller: Caller, name: str, version: int | None = None, *, record: Journalled
    ) -> SecretValue:
        """Tell a secret to a caller.

        Args:
            version: which; None: the newest.

        Raises:
            SecretNotFound: there is none, or it was revoked.
            SecretRefused: `secret_not_reader`, `secret_colony_only`.
            VaultError: `secret_damaged`.
        """
        return await self._tell(caller.tenant, name, version, lambda info: check_read(caller, info), record)

    async def list_secrets(self, caller: Caller, *, after: str = "", limit: int = 100) -> list[SecretInfo]:
        """The caller's tenant's secrets by name, without their values: those after the name `after`."""
        return await self._backend.read_secrets(caller.tenant, after, limit)

    async def list_versions(self, caller: Caller, name: str) -> list[VersionInfo]:
        """All versions of a secret, the newest first, without their values.

        Raises:
            SecretNotFound: `secret_unknown`.
        """
        found = await self._backend.read_versions(caller.tenant, name)
        if not found:
            raise _unknown(name)
        return found

    async def rotate_secret(
        self, caller: Caller, name: str, new_value: str | None = None, *, length: int = 32, record: Journalled
    ) -> VersionInfo:
        """Store a new version of an existing secret, with the same readers, and tell nobody its value.

        Args:
            new_value: the value; None: `length` random letters and digits (5.95 bits each).

        Raises:
            SecretNotFound: `secret_unknown`.
            SecretRefused: `secret_not_owner`, `secret_invalid`.
        """
        async with self._changing:
            secret = await self._secret(caller.tenant, name)
            await self._checked(lambda: check_change(caller, secret, self._stewards), secret.newest, record)
            value = "".join(secrets.choice(_ALPHABET) for _ in range(length)) if new_value is None else new_value
            newest, kind = secret.newest, events.SecretRotated
            return await self._add(caller, name, value, newest.readers, newest.colony_only, kind, record)

    async def revoke_secret(
        self, caller: Caller, name: str, version: int | None = None, *, record: Journalled
    ) -> list[int]:
        """Destroy one version, or all of them, for good; the numbers of those that were good until now.

        Raises:
            SecretNotFound: `secret_unknown`, `secret_version_unknown`.
            SecretRefused: `secret_not_owner`.
        """
        async with self._changing:
            secret = await self._secret(caller.tenant, name)
            if version is not None and not 1 <= version <= secret.versions:
                raise _version_unknown(name, version)
            await self._checked(lambda: check_change(caller, secret, self._stewards), secret.newest, record)
            await record(events.SecretRevoked(name=name, version=version))
            return await self._backend.revoke(caller.tenant, name, version, caller.agent)

    async def read_for_colony(self, name: str, tenant: str = DEFAULT_TENANT) -> str:
        """The newest version of a secret that the settings name, for the colony's own use.

        Raises:
            SecretNotFound: there is none, or it was revoked.
            VaultError: `secret_damaged`.
        """
        told = await self._tell(tenant, name, None, lambda info: None, self._record, own=True)
        return told.value

    async def read_for_mad(self, mad: str, name: str, tenant: str = DEFAULT_TENANT) -> str:
        """The newest version of a secret that names the hosted MAD as a reader (`agent:<mad>`).

        Raises:
            SecretNotFound: there is none, or it was revoked.
            SecretRefused: `secret_not_reader`.
            VaultError: `secret_damaged`.
        """
        told = await self._tell(tenant, name, None, lambda info: check_mad(mad, info), self._record, own=True, mad=mad)
        return told.value

    async def rotate_master_key(self, *, record: Journalled) -> str:
        """Put a new master key in force and wrap every data key with it; the new key's id.

        Goes on to its end when the caller is cancelled. Backups of the database made before need the former key.

        Raises:
            VaultError: `vault_key_fixed`, `vault_key_unusable`; `secret_damaged`, naming the secret to revoke first.
        """
        return await self._backend.rotate_master_key(record)

    async def _add(
        self,
        caller: Caller,
        name: str,
        value: str,
        readers: tuple[str, ...],
        colony_only: bool,
        kind: type[events.SecretSet] | type[events.SecretRotated],
        record: Journalled,
    ) -> VersionInfo:
        check_new(name, value, readers)
        self._backend.require_open()
        await record(kind(name=name, readers=readers, colony_only=colony_only))
        return await self._backend.add_version(
            caller.tenant, name, value, readers=readers, colony_only=colony_only, created_by=caller.agent
        )

    async def _tell(
        self,
        tenant: str,
        name: str,
        version: int | None,
        check: Callable[[VersionInfo], None],
        record: Journalled,
        *,
        own: bool = False,
        mad: str = "",
    ) -> SecretValue:
        info = await self._version(tenant, name, version)
        told = tenant if own else ""  # a caller's tenant is in the header of the record
        await self._checked(lambda: check(info), info, record, tenant=told, mad=mad)
        self._backend.require_open()
        await record(events.SecretRead(name=name, version=info.version, tenant=told, mad=mad))
        # Only now the value: a revocation that came between is obeyed.
        value = await self._backend.read_value(tenant, name, info.version)
        if value is None:
            raise _revoked(info)
        return SecretValue(name=name, version=info.version, value=value)

    async def _secret(self, tenant: str, name: str) -> SecretInfo:
        found = await self._backend.read_secret(tenant, name)
        if found is None:
            raise _unknown(name)
        return found

    async def _version(self, tenant: str, name: str, version: int | None) -> VersionInfo:
        info = (await self._secret(tenant, name)).newest
        if version is not None and version != info.version:
            found = await self._backend.read_version(tenant, name, version)
            if found is None:
                raise _version_unknown(name, version)
            info = found
        if info.revoked_ns is not None:
            raise _revoked(info)
        return info

    async def _checked(
        self, check: Callable[[], None], info: VersionInfo, record: Journalled, *, tenant: str = "", mad: str = ""
    ) -> None:
        try:
            check()
        except SecretRefused as refusal:
            await record(
                events.SecretRefused(name=info.name, version=info.version, reason=refusal.code, tenant=tenant, mad=mad)
            )
            raise


def _unknown(name: str) -> SecretNotFound:
    return SecretNotFound("secret_unknown", f"There is no secret {name[:128]!r}; list_secrets shows the names.")


def _version_unknown(name: str, version: int) -> SecretNotFound:
    return SecretNotFound(
        "secret_version_unknown", f"Secret {name!r} has no version {version}; list_versions shows them."
    )


def _revoked(info: VersionInfo) -> SecretNotFound:
    return SecretNotFound(
        "secret_revoked",
        f"Version {info.version} of secret {info.name!r} was revoked and its value destroyed; set a new one, or name "
        "another version.",
    )
