"""The vault of a colony: where its secrets lie, and what waits until it is open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.settings import Settings
from cenoby.protection.vault.key_sources import key_source
from cenoby.protection.vault.openbao.backend import OpenBaoBackend
from cenoby.protection.vault.openbao.client import OpenBaoClient
from cenoby.protection.vault.opening import open_vault
from cenoby.protection.vault.own_backend import OwnBackend
from cenoby.protection.vault.seals.seal import VaultSeal, open_seal
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal
from cenoby.telemetry.logs import get_logger

_log = get_logger("app.vault")


@dataclass(frozen=True, slots=True)
class MadeVault:
    """A vault, and what belongs to its backend.

    Attributes:
        seal: where the settings ask for one; the vault is sealed then.
        server: where secrets lie at an OpenBao server; it is given the way out before it is asked.
    """

    vault: Vault
    seal: VaultSeal | None = None
    server: OpenBaoClient | None = None


async def make_vault(settings: Settings, clock: Clock, database: Database, journal: Journal) -> MadeVault:
    """The vault that the settings ask for.

    Raises:
        VaultError: the master key is missing, wrong, exposed or unusable, or the seal is another one.
    """

    async def record(event: Event) -> None:
        await journal.append(Entry.event(event, tenant=DEFAULT_TENANT, agent="colony", mad="turing"))

    if settings.vault.openbao is not None:
        server = OpenBaoClient(settings.vault.openbao, clock)
        remote = OpenBaoBackend(server, settings.vault.openbao)
        vault = Vault.over(remote, database, clock=clock, record=record, settings=settings.secrets)
        return MadeVault(vault, server=server)
    source = key_source(settings.vault, settings.data, os.environ)
    seal = await open_seal(database, clock, settings.vault, source)
    if seal is None:
        return MadeVault(await open_vault(database, source, clock=clock, record=record, settings=settings.secrets))
    backend = OwnBackend(database, seal.ring, clock)
    return MadeVault(Vault.over(backend, database, clock=clock, record=record, settings=settings.secrets), seal)


@asynccontextmanager
async def once_open(
    seal: VaultSeal | None, make: Callable[[], AbstractAsyncContextManager[None]]
) -> AsyncGenerator[None]:
    """Enter what `make` gives, at once where the vault is open, otherwise as soon as people opened it."""
    if seal is None:
        async with make():
            yield
        return
    stop = asyncio.Event()
    _log.warning("vault_sealed", problem="what needs a secret waits; open the vault with `cenoby vault unseal`")
    # In a task of its own, because it is left by the task that entered it.
    holder = asyncio.create_task(_hold(seal, make, stop), name="vault-once-open")
    try:
        yield
    finally:
        stop.set()
        await holder


async def _hold(seal: VaultSeal, make: Callable[[], AbstractAsyncContextManager[None]], stop: asyncio.Event) -> None:
    ends = [asyncio.create_task(seal.opened.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in ends:
            one.cancel()
    if stop.is_set():
        return
    try:
        async with make():
            await stop.wait()
    except CenobyError as error:
        _log.error("vault_open_but_not_taken_on", reason=error.message, mend="start the colony again")
