"""Opening the vault over the colony's own database, with a master key that is there at once."""

from __future__ import annotations

from collections.abc import Collection

from cenoby.kernel.clock import Clock
from cenoby.kernel.settings_secrets import SecretSettings
from cenoby.protection.secrets import Journalled
from cenoby.protection.vault.key_ring import KeyRing
from cenoby.protection.vault.keys import KeySource
from cenoby.protection.vault.own_backend import OwnBackend
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database


async def open_vault(
    database: Database,
    source: KeySource,
    *,
    clock: Clock,
    record: Journalled,
    stewards: Collection[str] = ("operator",),
    settings: SecretSettings | None = None,
) -> Vault:
    """The vault over the colony's own database, with the master key that `source` keeps.

    Raises:
        VaultError: the key is missing, wrong, exposed or unusable; the message says what to do.
    """
    ring = await KeyRing.open(database, source, clock, record)
    backend = OwnBackend(database, lambda: ring, clock)
    return Vault.over(backend, database, clock=clock, record=record, stewards=stewards, settings=settings)
