"""The key under which a tenant's tokens are made and their values sealed: a secret of the vault, made at first use."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from cenoby.access.principals import Principal
from cenoby.kernel.clock import Clock
from cenoby.kernel.events import Event
from cenoby.kernel.ids import new_id
from cenoby.protection.dlp.tokens import KEY_BYTES
from cenoby.protection.vault.rule import SecretNotFound
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal
from cenoby.store.leases import Leases

NAME = "cenoby/data-key"
"""What the secret is called, in every tenant. Whoever revokes it has all of the tenant's tokens stand for nothing."""
_LEASE_NS = 30 * 1_000_000_000
_PAUSE = 0.2


def data_key(vault: Vault, database: Database, journal: Journal, clock: Clock) -> Callable[[str], Awaitable[bytes]]:
    """What gives the key of a tenant; two nodes that want a new one at once get the same."""
    leases = Leases(database, clock)

    async def key_of(tenant: str) -> bytes:
        found = await _read(vault, tenant)
        while found is None:
            lease = await leases.acquire(f"data-key:{tenant}", new_id(), _LEASE_NS)
            if lease is None:
                await asyncio.sleep(_PAUSE)
            else:
                try:
                    if await _read(vault, tenant) is None:
                        await _make(vault, journal, tenant)
                finally:
                    await leases.release(lease)
            found = await _read(vault, tenant)
        return found

    return key_of


async def _read(vault: Vault, tenant: str) -> bytes | None:
    try:
        return bytes.fromhex(await vault.read_for_colony(NAME, tenant))
    except SecretNotFound:
        return None


async def _make(vault: Vault, journal: Journal, tenant: str) -> None:
    async def record(event: Event) -> None:
        await journal.append(Entry.event(event, tenant=tenant, agent="colony", mad="turing"))

    caller = Principal("colony", tenant, ("operator",), "mad")
    await vault.set_secret(caller, NAME, secrets.token_hex(KEY_BYTES), readers=(), colony_only=True, record=record)
