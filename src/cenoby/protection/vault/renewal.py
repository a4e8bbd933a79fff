"""Renewing secrets as the settings say: when it is due or somebody asks, with a grace for the value before.

A renewal that fails leaves the value as it is. Of what failed only the code is told and journalled: the words of a tool
or a task might hold the value.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings_secrets import RotationSettings, SecretSettings
from cenoby.protection.events import SecretRenewalFailed
from cenoby.protection.secrets import VersionInfo, value_problem
from cenoby.protection.vault import renewal_sql
from cenoby.protection.vault.keys import VaultError
from cenoby.protection.vault.rule import SecretNotFound
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database, StoreRefused, StoreUnavailable
from cenoby.store.journal import Entry, Journal
from cenoby.store.leases import Leases
from cenoby.telemetry.logs import get_logger

Maker = Callable[[RotationSettings], Awaitable[object]]
"""Gives the next value of a secret."""
Makers = Mapping[Literal["tool", "task"], Maker]

_SECOND = 1_000_000_000
_LEASE_NS = 300 * _SECOND
"""For so long a renewal keeps other processes from the same one."""
_log = get_logger("protection.vault")


@dataclass(frozen=True, slots=True)
class _Colony:
    """As whom values are renewed that are due."""

    tenant: str
    agent: str = "colony"
    roles: tuple[str, ...] = ("operator",)


class Renewals:
    """Renews the secrets of one tenant that the settings name.

    Args:
        vault: whose secrets.
        database, journal, clock: what failed, what is recorded of it, and when it is due.
        settings: how each is renewed.
        home: the tenant that the settings speak of.
        makers: what asks a tool, and what runs a task.
    """

    def __init__(
        self,
        vault: Vault,
        database: Database,
        journal: Journal,
        clock: Clock,
        settings: SecretSettings,
        home: str,
        makers: Makers,
    ) -> None:
        self._vault = vault
        self._database = database
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._colony = _Colony(home)
        self._makers = makers
        self._leases = Leases(database, clock)
        self._declared = {name: terms.rotation for name, terms in settings.named.items() if terms.rotation is not None}

    def maker(self, tenant: str, name: str) -> Callable[[], Awaitable[str]] | None:
        """What gives the next value of a secret when somebody asks for one; None where the settings do not say."""
        rotation = self._declared.get(name) if tenant == self._colony.tenant else None
        return None if rotation is None else lambda: self._make(name, rotation)

    async def __call__(self) -> None:
        """Renew what is due, and destroy values whose grace is over.

        Raises:
            StoreUnavailable: the rest is done the next time.
        """
        for name, rotation in self._declared.items():
            try:
                versions = await self._vault.list_versions(self._colony, name)
                await self._end_grace(name, rotation, versions)
                if await self._is_due(name, rotation, versions[0]):
                    await self._renew(name, rotation)
            except SecretNotFound:
                continue  # nobody has stored it yet, or revoked it meanwhile
            except CenobyError as error:
                if isinstance(error, StoreUnavailable | StoreRefused):
                    raise
                # A sealed vault, or a backend that is away: the others may be no better, and the next look tells.
                _log.warning("secret_not_looked_after", name=name, code=error.code)

    async def _is_due(self, name: str, rotation: RotationSettings, newest: VersionInfo) -> bool:
        if rotation.every_hours is None or newest.revoked_ns is not None:
            return False
        now_ns = self._clock.now_ns()
        if now_ns < newest.created_ns + round(rotation.every_hours * 3600 * _SECOND):
            return False
        _, again_ns = await self._failures(name)
        return now_ns >= again_ns

    async def _renew(self, name: str, rotation: RotationSettings) -> None:
        lease = await self._leases.acquire(f"secret-renewal:{name}", new_id(), _LEASE_NS)
        if lease is None:
            return
        try:
            # Whoever had the lease before may have done it.
            newest = (await self._vault.list_versions(self._colony, name))[0]
            if not await self._is_due(name, rotation, newest):
                return
            try:
                await self._vault.rotate_secret(
                    self._colony, name, make=lambda: self._make(name, rotation), record=self._record
                )
            except VaultError as error:
                await self._failed(name, error)
            else:
                await self._forget_failures(name)
        finally:
            await self._leases.release(lease)

    async def _make(self, name: str, rotation: RotationSettings) -> str:
        if rotation.by == "generated":
            return "".join(secrets.choice(rotation.alphabet) for _ in range(rotation.length))
        try:
            value = await self._makers[rotation.by](rotation)
        except CenobyError as error:
            raise _failed(name, rotation, error.code) from None
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the border to a MAD's code; its words might hold the value
            raise _failed(name, rotation, type(error).__name__) from None
        if not isinstance(value, str) or value_problem(value):
            raise _failed(name, rotation, "what it gave is no value of a secret")
        return value

    async def _failed(self, name: str, error: VaultError) -> None:
        failures = (await self._failures(name))[0] + 1
        settings = self._settings
        seconds = min(settings.retry_seconds * 2 ** min(failures - 1, 30), settings.longest_retry_seconds)
        again_ns = self._clock.now_ns() + round(seconds * _SECOND)
        event = SecretRenewalFailed(
            name=name, failures=failures, again=iso_time(again_ns), notes=str(error.details.get("why", error.code))
        )
        _log.warning("secret_renewal_failed", name=name, failures=failures, why=event.notes)
        tenant = self._colony.tenant
        await self._journal.write(
            lambda connection: renewal_sql.write_failure(connection, tenant, name, failures, again_ns),
            Entry.event(event, tenant=tenant, agent=self._colony.agent, mad="turing"),
        )

    async def _end_grace(self, name: str, rotation: RotationSettings, versions: list[VersionInfo]) -> None:
        grace_ns = round(rotation.grace_minutes * 60 * _SECOND)
        for successor, version in pairwise(versions):
            if version.revoked_ns is None and successor.created_ns + grace_ns <= self._clock.now_ns():
                await self._vault.revoke_secret(self._colony, name, version.version, record=self._record)

    async def _failures(self, name: str) -> tuple[int, int]:
        tenant = self._colony.tenant
        return await self._database.read(lambda connection: renewal_sql.read_failures(connection, tenant, name))

    async def _forget_failures(self, name: str) -> None:
        tenant = self._colony.tenant
        await self._database.write(lambda connection: renewal_sql.forget_failures(connection, tenant, name))

    async def _record(self, event: Event) -> None:
        await self._journal.append(
            Entry.event(event, tenant=self._colony.tenant, agent=self._colony.agent, mad="turing")
        )


def _failed(name: str, rotation: RotationSettings, why: str) -> VaultError:
    by = rotation.tool or rotation.task
    return VaultError(
        "secret_not_renewed",
        f"Secret {name!r} keeps its value: {by} did not give another one ({why}). Put that right, then "
        f"`cenoby secret rotate {name}`.",
        details={"why": why},
    )
