"""The vault over databases of both engines."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cenoby.access.principals import Principal
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.events import Event
from cenoby.kernel.settings_vault import VaultSettings
from cenoby.protection.vault.key_sources import key_source
from cenoby.protection.vault.opening import open_vault
from cenoby.protection.vault.rule import SecretNotFound
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from tests.stores import everything_in

ADA = Principal("ada", "default", ("developer",), "agent")
EVE = Principal("eve", "other", ("developer",), "agent")


async def told(event: Event) -> None:
    """The journal is not what is tried here."""


async def opened(database: Database, folder: Path) -> Vault:
    return await open_vault(database, key_source(VaultSettings(), folder, os.environ), clock=ManualClock(), record=told)


@pytest.fixture
async def database(store: Engine) -> AsyncIterator[Database]:
    opened = await Database.open(store, clock=ManualClock())
    yield opened
    await opened.close()


async def test_versions_are_kept_read_and_revoked(database: Database, tmp_path: Path) -> None:
    """Versions count up, each keeps its value until it is revoked, and the database holds none of them in clear."""
    vault = await opened(database, tmp_path)
    await vault.set_secret(ADA, "key", "first-value", record=told)
    await vault.rotate_secret(ADA, "key", "second-value", record=told)
    await vault.set_secret(ADA, "another", "x", record=told)
    assert (await vault.get_secret(ADA, "key", record=told)).value == "second-value"
    assert (await vault.get_secret(ADA, "key", 1, record=told)).value == "first-value"
    assert [(one.newest.name, one.versions, one.owner) for one in await vault.list_secrets(ADA)] == [
        ("another", 1, "ada"),
        ("key", 2, "ada"),
    ]
    assert [one.newest.name for one in await vault.list_secrets(ADA, after="another")] == ["key"]
    assert await vault.list_secrets(EVE) == []
    assert await vault.revoke_secret(ADA, "key", 1, record=told) == [1]
    assert await vault.revoke_secret(ADA, "key", record=told) == [2]
    with pytest.raises(SecretNotFound):
        await vault.get_secret(ADA, "key", record=told)
    kept = await database.read(everything_in)
    assert "key" in kept
    assert "-value" not in kept


async def test_a_new_master_key_opens_what_the_old_one_closed(database: Database, tmp_path: Path) -> None:
    """After a change of the master key, and a start with it, every secret has its value."""
    vault = await opened(database, tmp_path)
    for number in range(5):
        await vault.set_secret(ADA, f"key-{number}", f"value-{number}", record=told)
    await vault.rotate_master_key(record=told)
    vault = await opened(database, tmp_path)
    for number in range(5):
        assert (await vault.get_secret(ADA, f"key-{number}", record=told)).value == f"value-{number}"
