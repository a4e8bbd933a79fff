"""The vault: keeps secrets, tells them to those who may know, and only after the journal has it.

No record, no secret: each access is recorded through a port before a value is decrypted, and where recording fails the
access fails with it. Values are decrypted just in time and kept nowhere; what Python cannot promise is that no copy of
one is left in its memory, so the promise is: short-lived, never logged, in no core dump (`core_dumps.py`).
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Awaitable, Callable, Collection, Sequence

from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.kernel.settings_secrets import SecretPermit, SecretSettings
from cenoby.protection import events
from cenoby.protection.secrets import Caller, Journalled, LeaseInfo, SecretInfo, SecretValue, Use, VersionInfo
from cenoby.protection.vault import refusals
from cenoby.protection.vault.backend import SecretBackend
from cenoby.protection.vault.leases import SecretLeases
from cenoby.protection.vault.policies import SecretPolicies
from cenoby.protection.vault.rule import SecretRefused, check_change, check_mad, check_new, check_read
from cenoby.store.database import Database

_ALPHABET = string.ascii_letters + string.digits


class Vault:
    """Secrets of a colony; `over` makes one, and `open_vault` one over the own database.

    Args:
        backend: keeps the versions.
        record: journals accesses of the colony itself; callers of the other methods bring their own.
        policies: who may use which secret for what, beyond its readers.
        leases: who holds which value, and until when.
        stewards: roles that may replace and revoke any secret (and read no more than others).
    """

    def __init__(
        self,
        backend: SecretBackend,
        record: Journalled,
        policies: SecretPolicies,
        leases: SecretLeases,
        stewards: Collection[str] = ("operator",),
    ) -> None:
        self._backend = backend
        self._record = record
        self._stewards = stewards
        self._changing = asyncio.Lock()
        self._leasing = asyncio.Lock()
        self.policies = policies
        self.leases = leases

    @classmethod
    def over(
        cls,
        backend: SecretBackend,
        database: Database,
        *,
        clock: Clock,
        record: Journalled,
        stewards: Collection[str] = ("operator",),
        settings: SecretSettings | None = None,
    ) -> Vault:
        """The vault over any backend; policies and leases lie in the colony's own database."""
        settings = settings or SecretSettings()
        policies = SecretPolicies(database, clock, settings.named, DEFAULT_TENANT)
        return cls(backend, record, policies, SecretLeases(database, clock, settings), stewards)

    async def set_secret(
        self,
        caller: Caller,
        name: str,
        value: str,
        *,
        readers: Sequence[str] | None = None,
        colony_only: bool | None = None,
        permits: Sequence[SecretPermit] | None = None,
        record: Journalled,
    ) -> VersionInfo:
        """Store a new version.

        Args:
            readers: `role:<name>` or `agent:<name>`; empty: whoever may read secrets. None: as the newest version has
                it, and empty for a new secret. Readers go with the version, so new ones never see an older value.
            colony_only: tell it to no caller; None: as the newest version has it, and False for a new secret.
            permits: the policy of a new secret; None: it has none but what the settings say.

        Raises:
            SecretRefused: `secret_invalid`, `secret_not_owner`, `secret_policy_fixed`.
        """
        async with self._changing:
            secret = await self._backend.read_secret(caller.tenant, name)
            if secret is not None:
                await self._check_change(caller, secret, record)
                if permits is not None:
                    raise refusals.policy_fixed(name)
                readers = secret.newest.readers if readers is None else readers
                colony_only = secret.newest.colony_only if colony_only is None else colony_only
            readers, kind = tuple(sorted(set(readers or ()))), events.SecretSet
            check_new(name, value, readers)
            if permits is not None:
                # First the policy: at no moment is the value there without it.
                await self.policies.set(caller, name, permits, "", record)
            return await self._add(caller, name, value, readers, bool(colony_only), kind, record)

    async def get_secret(
        self,
        caller: Caller,
        name: str,
        version: int | None = None,
        *,
        tool: str = "",
        lease_seconds: float | None = None,
        record: Journalled,
    ) -> SecretValue:
        """Tell a secret to a caller.

        Args:
            version: which; None: the newest.
            tool: canonical name of the tool by which it is asked for.
            lease_seconds: for how long the caller means to hold it; None: no lease.

        Raises:
            SecretNotFound: there is none, or it was revoked.
            SecretRefused: `secret_not_reader`, `secret_colony_only`, `secret_policy`, `secret_used_up`.
            VaultError: `secret_damaged`.
        """
        use = Use(tenant=caller.tenant, agent=caller.agent, roles=caller.roles, tool=tool)

        async def lease(info: VersionInfo) -> LeaseInfo | None:
            return None if lease_seconds is None else await self.leases.begin(use, info, lease_seconds, record)

        return await self._tell(use, name, version, lambda info: check_read(caller, info), record, lease)

    async def break_glass(
        self, caller: Caller, name: str, version: int | None, reason: str, *, seconds: float, record: Journalled
    ) -> SecretValue:
        """Tell a secret to a caller whom neither readers nor policy let read it, with a lease that is not renewed. That
        two people agreed is for the tool to see to.

        Args:
            version: which; None: the newest.
            reason: why, for the journal.
            seconds: of the lease.

        Raises:
            SecretNotFound: there is none, or it was revoked.
            VaultError: `secret_damaged`.
        """
        use = Use(tenant=caller.tenant, agent=caller.agent, roles=caller.roles)
        info = await self._version(caller.tenant, name, version)
        self._backend.require_open()
        await record(events.GlassBroken(name=name, version=info.version, agent=caller.agent, notes=reason))
        lease = await self.leases.begin(use, info, seconds, record, renewable=False)
        return await self._value(use, info, record, lease)

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
            raise refusals.unknown(name)
        return found

    async def rotate_secret(
        self,
        caller: Caller,
        name: str,
        new_value: str | None = None,
        *,
        length: int = 32,
        make: Callable[[], Awaitable[str]] | None = None,
        record: Journalled,
    ) -> VersionInfo:
        """Store a new version of an existing secret, with the same readers, and tell nobody its value.

        Args:
            new_value: the value; None: what `make` gives, else `length` random letters and digits (5.95 bits each).
            make: asked once the caller is known to be allowed.

        Raises:
            SecretNotFound: `secret_unknown`.
            SecretRefused: `secret_not_owner`, `secret_invalid`.
            CenobyError: what `make` raises; the secret is as it was.
        """
        if new_value is None and make is not None:
            # Not while others wait: what makes it may take its time, and may itself keep secrets.
            await self._check_change(caller, await self._secret(caller.tenant, name), record)
            new_value = await make()
        async with self._changing:
            secret = await self._secret(caller.tenant, name)
            await self._check_change(caller, secret, record)
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
                raise refusals.version_unknown(name, version)
            await self._check_change(caller, secret, record)
            await record(events.SecretRevoked(name=name, version=version))
            await self.leases.end(
                await self.leases.live(caller.tenant, name=name, version=version or 0), "destroyed", record
            )
            return await self._backend.revoke(caller.tenant, name, version, caller.agent)

    async def read_for_colony(
        self,
        name: str,
        tenant: str = DEFAULT_TENANT,
        *,
        mad: str = "colony",
        tool: str = "",
        to: str = "",
        leased: bool = False,
    ) -> str:
        """The newest version of a secret that the settings name, for the colony's own use.

        Args:
            mad, tool, to: as for `Use`.
            leased: under a lease of the MAD's own, which is begun and renewed as needed.

        Raises:
            SecretNotFound: there is none, or it was revoked.
            SecretRefused: `secret_policy`, `secret_used_up`.
            VaultError: `secret_damaged`.
        """
        use = Use(tenant=tenant, mad=mad, tool=tool, to=to)
        return await self._use(use, name, lambda info: None, leased=leased)

    async def read_for_mad(
        self, mad: str, name: str, tenant: str = DEFAULT_TENANT, *, tool: str = "", to: str = ""
    ) -> str:
        """The newest version of a secret that names the hosted MAD as a reader (`agent:<mad>`), under its lease.

        Args:
            tool, to: as for `Use`.

        Raises:
            SecretNotFound: there is none, or it was revoked.
            SecretRefused: `secret_not_reader`, `secret_policy`, `secret_used_up`.
            VaultError: `secret_damaged`.
        """
        use = Use(tenant=tenant, mad=mad, tool=tool, to=to)
        return await self._use(use, name, lambda info: check_mad(mad, info), leased=True)

    async def recheck(
        self, use: Use, lease: LeaseInfo, check: Callable[[VersionInfo], None], record: Journalled
    ) -> None:
        """Pass if the holder of a lease might still be told the version it is for; nothing is told or counted.

        Raises:
            SecretNotFound, SecretRefused: as for `get_secret`.
        """
        info = await self._version(use.tenant, lease.name, lease.version)
        await self._checked(lambda: check(info), info, record)
        try:
            await self.policies.require(lease.name, use)
        except SecretRefused as refusal:
            await record(refusals.refused_event(info, refusal, "", ""))
            raise

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

    async def _use(self, use: Use, name: str, check: Callable[[VersionInfo], None], *, leased: bool) -> str:
        async def lease(info: VersionInfo) -> LeaseInfo | None:
            if not leased:
                return None
            # Calls at the same time share one lease.
            async with self._leasing:
                return await self.leases.held(use, info, self._record)

        value = (await self._tell(use, name, None, check, self._record, lease)).value
        return refusals.header_value(name, value) if use.to else value

    async def _tell(
        self,
        use: Use,
        name: str,
        version: int | None,
        check: Callable[[VersionInfo], None],
        record: Journalled,
        lease: Callable[[VersionInfo], Awaitable[LeaseInfo | None]],
    ) -> SecretValue:
        info = await self._version(use.tenant, name, version)
        # A caller's tenant is in the header of the record.
        tenant = use.tenant if use.mad else ""
        await self._checked(lambda: check(info), info, record, tenant=tenant, mad=use.mad)
        self._backend.require_open()
        try:
            await self.policies.admit(name, use)
        except SecretRefused as refusal:
            await record(refusals.refused_event(info, refusal, tenant, use.mad))
            raise
        return await self._value(use, info, record, await lease(info))

    async def _value(self, use: Use, info: VersionInfo, record: Journalled, held: LeaseInfo | None) -> SecretValue:
        name, under = info.name, held.id if held else ""
        tenant, to, tool = use.tenant if use.mad else "", use.to, use.tool if use.mad else ""
        await record(
            events.SecretRead(
                name=name, version=info.version, tenant=tenant, mad=use.mad, tool=tool, to=to, lease=under
            )
        )
        # Only now the value: a revocation that came between is obeyed.
        value = await self._backend.read_value(use.tenant, name, info.version)
        if value is None:
            raise refusals.revoked(info)
        return SecretValue(name=name, version=info.version, value=value, lease=held)

    async def _check_change(self, caller: Caller, secret: SecretInfo, record: Journalled) -> None:
        governed = bool(await self.policies.of(caller.tenant, secret.newest.name))
        await self._checked(
            lambda: check_change(caller, secret, self._stewards, governed=governed), secret.newest, record
        )

    async def _secret(self, tenant: str, name: str) -> SecretInfo:
        found = await self._backend.read_secret(tenant, name)
        if found is None:
            raise refusals.unknown(name)
        return found

    async def _version(self, tenant: str, name: str, version: int | None) -> VersionInfo:
        info = (await self._secret(tenant, name)).newest
        if version is not None and version != info.version:
            found = await self._backend.read_version(tenant, name, version)
            if found is None:
                raise refusals.version_unknown(name, version)
            info = found
        if info.revoked_ns is not None:
            raise refusals.revoked(info)
        return info

    async def _checked(
        self, check: Callable[[], None], info: VersionInfo, record: Journalled, *, tenant: str = "", mad: str = ""
    ) -> None:
        try:
            check()
        except SecretRefused as refusal:
            await record(refusals.refused_event(info, refusal, tenant, mad))
            raise
