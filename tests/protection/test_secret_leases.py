"""Leases of secrets over databases of both engines: they begin, are renewed up to an end, are revoked, and run out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cenoby.access.principals import Principal
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.events import Event, name_of
from cenoby.kernel.settings_secrets import SecretPermit, SecretSettings, SecretTerms
from cenoby.kernel.settings_vault import VaultSettings
from cenoby.protection.vault.key_sources import key_source
from cenoby.protection.vault.lease_calls import LeaseCalls
from cenoby.protection.vault.opening import open_vault
from cenoby.protection.vault.rule import SecretNotFound, SecretRefused
from cenoby.protection.vault.upkeep import LeaseSweep
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.journal import Journal, JournalQuery

ADA = Principal("ada", "default", ("developer",), "agent")
EVE = Principal("eve", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
FAR = Principal("far", "other", ("operator",), "person")


class House:
    """A vault, what it recorded, and its clock; `restart` makes another vault over the same database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.clock = ManualClock()
        self.told: list[Event] = []
        self.journal = Journal(database, node="main-1", clock=self.clock)
        self.settings = SecretSettings(lease_seconds=100, longest_lease_seconds=250)
        self.vault: Vault
        self.calls: LeaseCalls

    async def record(self, event: Event) -> None:
        self.told.append(event)

    async def restart(self) -> None:
        source = key_source(VaultSettings(), self.folder, os.environ)
        self.vault = await open_vault(
            self.database, source, clock=self.clock, record=self.record, settings=self.settings
        )
        self.calls = LeaseCalls(self.vault)

    def codes(self) -> list[str]:
        codes = [name_of(event) for event in self.told]
        self.told.clear()
        return codes


@pytest.fixture
async def house(store: Engine, tmp_path: Path) -> AsyncIterator[House]:
    database = await Database.open(store, clock=ManualClock())
    house = House(database, tmp_path)
    await house.restart()
    await house.vault.set_secret(ADA, "key", "first-value", record=house.record)
    house.told.clear()
    yield house
    await database.close()


async def test_a_lease_is_renewed_up_to_its_end_and_over_a_restart(house: House) -> None:
    """It lasts as long as was asked, is prolonged by its holder alone, never beyond the longest there is, and when it
    is over the value must be asked for again. Each step is on record before it is done."""
    told = await house.vault.get_secret(ADA, "key", lease_seconds=60, record=house.record)
    assert told.lease is not None
    begun = told.lease.begun_ns
    assert told.lease.expires_ns - begun == 60 * 10**9
    assert house.codes() == ["secret_leased", "secret_read"]
    house.clock.advance(50)
    await house.restart()
    with pytest.raises(SecretNotFound):
        await house.calls.renew(EVE, told.lease.id, 60, record=house.record)
    renewed = await house.calls.renew(ADA, told.lease.id, None, record=house.record)
    assert renewed.expires_ns - begun == 150 * 10**9
    house.clock.advance(90)
    renewed = await house.calls.renew(ADA, told.lease.id, 10_000, record=house.record)
    assert renewed.expires_ns - begun == 250 * 10**9
    assert house.codes() == ["secret_lease_renewed", "secret_lease_renewed"]
    with pytest.raises(SecretRefused) as refused:
        await house.calls.renew(ADA, told.lease.id, 10_000, record=house.record)
    assert refused.value.code == "secret_lease_over"
    house.clock.advance(200)
    with pytest.raises(SecretRefused):
        await house.calls.renew(ADA, told.lease.id, 60, record=house.record)
    assert await house.calls.list(ADA) == []


async def test_leases_end_by_their_holder_by_an_operator_and_with_the_value(house: House) -> None:
    """One by its id, all of an agent, all of a secret; nobody ends another's, and no other tenant's are seen."""

    async def lease(who: Principal) -> str:
        told = await house.vault.get_secret(who, "key", lease_seconds=60, record=house.record)
        assert told.lease is not None
        return told.lease.id

    async def live() -> list[str]:
        return [one.id for one in await house.calls.list(OLA)]

    first, second, third, fourth = await lease(ADA), await lease(ADA), await lease(EVE), await lease(EVE)
    assert await house.calls.list(FAR) == []
    with pytest.raises(SecretNotFound):
        await house.calls.end(EVE, lease=first, record=house.record)
    with pytest.raises(SecretNotFound):
        await house.calls.end(EVE, agent="ada", record=house.record)
    await house.calls.end(ADA, lease=first, record=house.record)
    assert await house.calls.end(ADA, lease=first, record=house.record) == []
    assert await live() == [second, third, fourth]
    await house.calls.end(OLA, lease=third, record=house.record)
    await house.calls.end(OLA, agent="ada", record=house.record)
    assert await live() == [fourth]
    house.told.clear()
    await house.vault.revoke_secret(ADA, "key", record=house.record)
    assert house.codes() == ["secret_revoked", "secret_lease_ended"]
    assert await live() == []
    with pytest.raises(SecretNotFound):
        await house.calls.renew(EVE, fourth, 60, record=house.record)


async def test_what_runs_out_is_noted_once_by_whoever_looks_first(house: House) -> None:
    """Two nodes look after the same database: the end of each lease is in the journal once, under its holder."""
    await house.vault.get_secret(ADA, "key", lease_seconds=60, record=house.record)
    await house.vault.get_secret(EVE, "key", lease_seconds=200, record=house.record)
    sweeps = [LeaseSweep(house.database, house.journal, house.clock) for _ in range(2)]
    for seconds, agents in ((61, ["ada"]), (200, ["ada", "eve"])):
        house.clock.advance(seconds)
        for sweep in sweeps:
            await sweep()
        page = await house.journal.page(JournalQuery(code="secret_lease_ended", newest_first=False))
        assert [record.agent for record in page.records] == agents


async def test_the_colony_uses_a_secret_under_one_lease_that_it_renews(house: House) -> None:
    """Uses follow each other under one lease, which is renewed before it runs out; after its end, and for another
    version, there is a new one. Every use is on record with its lease and the place that it goes to."""
    await house.vault.set_secret(ADA, "model", "model-key\n", colony_only=True, record=house.record)
    house.told.clear()

    async def use() -> str:
        return await house.vault.read_for_colony("model", mad="fiedler", to="api.example.com:443", leased=True)

    assert await use() == "model-key"
    assert [name_of(one) for one in house.told] == ["secret_leased", "secret_read"]
    (_, read) = house.told
    assert (read.to, read.mad) == ("api.example.com:443", "fiedler")  # type: ignore[attr-defined]
    assert read.lease == house.told[0].lease  # type: ignore[attr-defined]
    house.told.clear()
    await house.restart()
    await use()
    assert house.codes() == ["secret_read"]
    house.clock.advance(80)
    await use()
    assert house.codes() == ["secret_lease_renewed", "secret_read"]
    house.clock.advance(101)
    await use()
    assert house.codes() == ["secret_leased", "secret_read"]
    await house.vault.rotate_secret(ADA, "model", "next-key", record=house.record)
    house.told.clear()
    assert await use() == "next-key"
    assert house.codes() == ["secret_leased", "secret_read"]
    assert [one.holder for one in await house.calls.list(OLA, name="model")] == ["mad:fiedler"] * 2


async def test_a_renewal_asks_the_policy_again(house: House) -> None:
    """A lease that began before its secret was closed to its holder is not prolonged, and nothing is told."""
    told = await house.vault.get_secret(ADA, "key", lease_seconds=60, record=house.record)
    assert told.lease is not None
    house.settings = SecretSettings(named={"key": SecretTerms(permits=[SecretPermit(who=["agent:eve"])])})
    await house.restart()
    house.told.clear()
    with pytest.raises(SecretRefused) as refused:
        await house.calls.renew(ADA, told.lease.id, 60, record=house.record)
    assert refused.value.code == "secret_policy"
    assert house.codes() == ["secret_refused"]


async def test_what_does_not_fit_a_header_is_not_sent_and_not_shown(house: House) -> None:
    """A value with a line break in it would be two headers; the refusal names the secret and not the value."""
    await house.vault.set_secret(ADA, "split", "abc\r\nx-admin: yes", colony_only=True, record=house.record)
    with pytest.raises(SecretRefused) as refused:
        await house.vault.read_for_colony("split", mad="fiedler", to="api.example.com:443", leased=True)
    assert "admin" not in str(refused.value.to_wire())
