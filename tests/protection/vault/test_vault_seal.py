"""A vault that starts sealed: made, opened, closed and changed, over a real database."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cenoby.access.principals import Principal
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.settings_vault import VaultSettings
from cenoby.protection.seal import SealInvalid, SealRefused, VaultSealed
from cenoby.protection.vault.key_sources import key_source
from cenoby.protection.vault.keys import VaultError
from cenoby.protection.vault.opening import open_vault
from cenoby.protection.vault.own_backend import OwnBackend
from cenoby.protection.vault.seals.seal import VaultSeal, open_seal
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.sqlite_engine import SqliteEngine
from tests.stores import everything_in

ADA = Principal("ada", "default", ("developer",), "agent")
FIRST, SECOND = "correct horse battery", "staple of the second"


class House:
    """A sealed vault as a colony has it, started again at will."""

    def __init__(self, database: Database, folder: Path, seal: str, clock: ManualClock) -> None:
        self.database = database
        self.folder = folder
        self.clock = clock
        self.settings = VaultSettings.model_validate({"seal": seal})
        self.journal: list[Event] = []
        self.seal: VaultSeal
        self.vault: Vault

    async def note(self, event: Event) -> None:
        self.journal.append(event)

    async def start(self) -> None:
        source = key_source(self.settings, self.folder, {})
        seal = await open_seal(self.database, self.clock, self.settings, source)
        assert seal is not None
        self.seal = seal
        self.vault = Vault.over(
            OwnBackend(self.database, seal.ring, self.clock), self.database, clock=self.clock, record=self.note
        )

    async def set(self, name: str, value: str) -> None:
        await self.vault.set_secret(ADA, name, value, record=self.note)

    async def get(self, name: str) -> str:
        return (await self.vault.get_secret(ADA, name, record=self.note)).value

    async def unseal(self, given: str, attempt: str = "") -> tuple[str, ...]:
        return (await self.seal.unseal(given, attempt, record=self.note)).shares

    async def give(self, shares: tuple[str, ...]) -> tuple[str, ...]:
        answer: tuple[str, ...] = ()
        for share in shares:
            answer = await self.unseal(share, self.seal.status().attempt)
        return answer


@pytest.fixture
async def database(store: Engine) -> AsyncIterator[Database]:
    opened = await Database.open(store, clock=ManualClock())
    yield opened
    await opened.close()


@pytest.fixture
async def passphrase(database: Database, tmp_path: Path) -> House:
    house = House(database, tmp_path, "passphrase", ManualClock())
    await house.start()
    return house


@pytest.fixture
async def shamir(database: Database, tmp_path: Path) -> House:
    house = House(database, tmp_path, "shamir", ManualClock())
    await house.start()
    return house


async def test_a_passphrase_opens_what_it_closed(passphrase: House) -> None:
    """Without the seal there is no secret; with it there is, after a start again, after a change; wrong ones lose
    nothing, and no passphrase is in the database or the journal."""
    house = passphrase
    with pytest.raises(VaultSealed) as sealed:
        await house.set("k", "value-1")
    assert (sealed.value.code, sealed.value.retry_after) == ("vault_not_initialised", 10)
    assert house.journal == []
    with pytest.raises(SealInvalid):
        await house.seal.init("short", 0, 0, record=house.note)
    await house.seal.init(FIRST, 0, 0, record=house.note)
    await house.set("k", "value-1")
    await house.vault.rotate_master_key(record=house.note)
    await house.start()
    with pytest.raises(VaultSealed, match="cenoby vault unseal"):
        await house.get("k")
    with pytest.raises(SealRefused) as wrong:
        await house.unseal(SECOND)
    assert wrong.value.code == "seal_passphrase_wrong"
    await house.unseal(FIRST)
    with pytest.raises(SealRefused):
        await house.seal.rekey(SECOND, SECOND, 0, 0, record=house.note)
    await house.seal.rekey(FIRST, SECOND, 0, 0, record=house.note)
    assert await house.get("k") == "value-1"
    await house.seal.close(record=house.note)
    assert not house.seal.opened.is_set()
    with pytest.raises(SealRefused):
        await house.unseal(FIRST)
    await house.unseal(SECOND)
    assert await house.get("k") == "value-1"
    kept = await house.database.read(everything_in) + repr(house.journal)
    assert FIRST not in kept and SECOND not in kept and "value-1" not in kept


async def test_shares_open_when_there_are_enough_of_one_attempt(shamir: House) -> None:
    """New shares hold when they were given back; two of three do not open; the attempt has a name and an end; a wrong
    share is noticed at once; and nothing of a share is in the database or the journal."""
    house = shamir
    made = (await house.seal.init("", 5, 3, record=house.note)).shares
    assert len(set(made)) == 5
    assert not house.seal.status().initialised
    await house.give(made[:3])
    await house.set("k", "value-1")
    await house.start()
    await house.unseal(made[4])
    first = house.seal.status()
    assert (first.sealed, first.purpose, first.given, first.needed) == (True, "unseal", 1, 3)
    await house.unseal(made[4], first.attempt)  # the same holder again counts once
    assert house.seal.status().given == 1
    for name in ("", "another"):
        with pytest.raises(SealRefused) as other:
            await house.unseal(made[0], name)
        assert other.value.code == "seal_attempt_other"
    with pytest.raises(SealRefused) as wrong:
        await house.unseal(made[0][:-6] + "aaaaaa", first.attempt)
    assert wrong.value.code == "seal_share_wrong"
    house.clock.advance(901)
    with pytest.raises(SealRefused):  # the share of before is forgotten, and its attempt with it
        await house.unseal(made[0], first.attempt)
    await house.give(made[1:4])
    assert await house.get("k") == "value-1"
    kept = await house.database.read(everything_in) + repr(house.journal) + repr(house.seal.status())
    assert not [share for share in made if share in kept or share[20:60] in kept]


async def test_new_shares_replace_old_ones_when_they_were_given_back(shamir: House) -> None:
    """A change needs enough present shares, and counts when enough new ones came back; before, the old ones open."""
    house = shamir
    old = (await house.seal.init("", 3, 2, record=house.note)).shares
    await house.give(old[:2])
    await house.set("k", "value-1")
    await house.seal.rekey("", "", 4, 3, record=house.note)
    new = await house.give(old[1:])
    assert len(new) == 4
    assert house.seal.status().purpose == "confirm"
    with pytest.raises(SealRefused):
        await house.unseal(old[0], house.seal.status().attempt)
    await house.unseal(new[0], house.seal.status().attempt)
    await house.start()  # killed before the change
    await house.give(old[:2])
    await house.seal.rekey("", "", 4, 3, record=house.note)
    new = await house.give(old[:2])
    await house.give(new[1:])
    assert await house.get("k") == "value-1"
    await house.start()
    with pytest.raises(SealRefused):
        await house.unseal(old[0])
    await house.give(new[:3])
    assert await house.get("k") == "value-1"


async def test_a_vault_with_a_key_in_a_file_is_sealed(database: Database, tmp_path: Path) -> None:
    """Its secrets stay, the key in the file is destroyed, another key in the same place stays, and the settings
    cannot silently go back."""
    clock, house = ManualClock(), House(database, tmp_path, "passphrase", ManualClock())
    plain = VaultSettings()
    vault = await open_vault(database, key_source(plain, tmp_path, {}), clock=clock, record=house.note)
    await vault.set_secret(ADA, "k", "value-1", record=house.note)
    assert (tmp_path / "master.key").exists()
    await house.start()
    with pytest.raises(VaultSealed):
        await house.get("k")
    await house.seal.init(FIRST, 0, 0, record=house.note)
    assert await house.get("k") == "value-1"
    assert not (tmp_path / "master.key").exists()
    (tmp_path / "master.key").write_text("A" * 43 + "=\n")
    (tmp_path / "master.key").chmod(0o600)
    await house.start()
    await house.unseal(FIRST)
    assert await house.get("k") == "value-1"
    assert (tmp_path / "master.key").exists()
    for settings in (plain, VaultSettings(seal="shamir")):
        with pytest.raises(VaultError) as other:
            await open_seal(database, clock, settings, key_source(settings, tmp_path, {}))
        assert other.value.code == "vault_seal_set"


async def test_a_row_that_was_changed_opens_nothing(passphrase: House) -> None:
    """Whoever edits how the key is derived, or puts another closed key there, gets a refusal, not another vault."""
    house = passphrase
    await house.seal.init(FIRST, 0, 0, record=house.note)
    await house.set("k", "value-1")
    await house.database.write(
        lambda connection: connection.execute("UPDATE vault_seal SET key_id = 'another'").rowcount
    )
    await house.start()
    with pytest.raises(CenobyError):
        await house.unseal(FIRST)
    await house.database.write(lambda connection: connection.execute("UPDATE vault_seal SET facts = '{}'").rowcount)
    with pytest.raises(VaultError) as damaged:
        await house.start()
    assert damaged.value.code == "vault_seal_damaged"


_CHANGE = """
import asyncio, os, signal, sys
from pathlib import Path
from cenoby.protection.vault.seals import sql
from tests.protection.vault.test_vault_seal import FIRST, SECOND, House, opened

async def main(folder, where):
    house = await opened(folder)
    await house.unseal(FIRST)
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)
    async def die_at(event):
        if where == "recorded" and type(event).__name__ == "MasterKeyRotated":
            die()
    if where == "within":
        write = sql.write_closed
        sql.write_closed = lambda *arguments: (write(*arguments), die())
    if where == "committed":
        house.seal._source.forget = die
    await house.seal.rekey(FIRST, SECOND, 0, 0, record=die_at)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def opened(folder: Path) -> House:
    """The house on a file of its own."""
    database = await Database.open(SqliteEngine(folder / "colony.db"), clock=ManualClock())
    house = House(database, folder, "passphrase", ManualClock())
    await house.start()
    return house


@pytest.mark.parametrize(("where", "opens"), [("recorded", FIRST), ("within", FIRST), ("committed", SECOND)])
async def test_a_kill_in_the_middle_of_a_change_loses_nothing(where: str, opens: str, tmp_path: Path) -> None:
    """kill -9 before, within and after the transaction: exactly one passphrase opens, and every secret is there."""
    SqliteEngine(tmp_path / "colony.db").prepare()
    house = await opened(tmp_path)
    await house.seal.init(FIRST, 0, 0, record=house.note)
    for number in range(20):
        await house.set(f"k-{number}", f"value-{number}")
    await house.database.close()
    changer = await asyncio.create_subprocess_exec(sys.executable, "-c", _CHANGE, str(tmp_path), where, env=os.environ)
    assert await changer.wait() == -signal.SIGKILL
    house = await opened(tmp_path)
    other = SECOND if opens == FIRST else FIRST
    with pytest.raises(SealRefused):
        await house.unseal(other)
    await house.unseal(opens)
    assert [await house.get(f"k-{number}") for number in range(20)] == [f"value-{number}" for number in range(20)]
    await house.database.close()
