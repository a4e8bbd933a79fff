"""The log over journals of both engines: every record once, in its chain's order, whoever crashed or was late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.kernel.signing import SigningKey
from cenoby.protection.evidence import sequencer, sql
from cenoby.protection.evidence.errors import EvidenceFailed
from cenoby.protection.evidence.merkle import Tree, leaf_hash
from cenoby.protection.evidence.notes import read_checkpoint
from cenoby.protection.evidence.sequencer import Sequencer
from cenoby.store.database import Database, StoreUnavailable
from cenoby.store.engine import Connection, Engine
from cenoby.store.journal import Entry, Journal
from tests.evidence.log_house import House


@pytest.fixture
async def database(store: Engine) -> AsyncIterator[Database]:
    database = await Database.open(store, clock=SystemClock())
    await database.write(lambda connection: sql.add_log(connection, "log.example"))
    yield database
    await database.close()


def entries(count: int, tenant: str = "t") -> list[Entry]:
    return [
        Entry(kind="event", tenant=tenant, agent="ada", correlation="c", code="noted", payload={"number": number})
        for number in range(count)
    ]


def chain_hashes(connection: Connection) -> dict[str, list[bytes]]:
    """Each node's hashes in the order of its chain, read from the journal itself."""
    view = "journal_record" if connection.dialect == "sqlite" else "journal"
    chains: dict[str, list[bytes]] = {}
    for node, seq, linked in connection.execute(f"SELECT node, seq, hash FROM {view} ORDER BY node, seq"):
        chains.setdefault(node, []).append(bytes(linked))
        assert len(chains[node]) == seq
    return chains


def check_log(connection: Connection) -> int:
    """Every record of every chain is one leaf, in its order; the runs say which; returns the size."""
    log = sql.read_log(connection)
    assert log is not None
    tree = Tree(log.size, sql.tile_reader(connection))
    leaves = [tree.leaf(index) for index in range(log.size)]
    assert len(set(leaves)) == log.size
    found = 0
    for node, chain in chain_hashes(connection).items():
        indexes = [sql.index_of(connection, node, seq) for seq in range(1, len(chain) + 1)]
        known = [one for one in indexes if one is not None]
        assert known == sorted(known)
        assert indexes == known + [None] * (len(chain) - len(known))
        assert [leaves[one] for one in known] == [leaf_hash(seq, chain[seq - 1]) for seq in range(1, len(known) + 1)]
        found += len(known)
    assert found == log.size
    read = list(sql.read_leaves(connection, 0, log.size))
    assert [leaf_hash(one.seq, one.hash) for one in read] == leaves
    return log.size


async def test_every_record_becomes_a_leaf(database: Database) -> None:
    """Several nodes, more than a tile and a batch, in portions: the log has each record once, in its chain's order."""
    clock = SystemClock()
    sequence = Sequencer(database, clock)
    total = 0
    for portion in (1, 3, 700):
        for number in range(3):
            # A file has one writer at a time, whose name may change from one start to the next.
            await Journal(database, node=f"n{number}", clock=clock).append(*entries(portion))
            total += portion
        await sequence.catch_up()
        assert await database.read(check_log) == total
    assert await sequence.catch_up() == 0


async def test_the_next_process_goes_on_where_one_was_killed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that fails before or after its commit is neither lost nor taken twice."""
    journal, clock = Journal(database, node="n1", clock=SystemClock()), ManualClock()
    monkeypatch.setattr(sequencer, "BATCH", 100)
    first = Sequencer(database, clock)
    await journal.append(*entries(250))
    write, calls = first._leases.write, 0

    async def unsure(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreUnavailable("store_failed", "before the commit")
        done = await write(*args, **more)
        if calls == 4:
            raise StoreUnavailable("store_unknown", "after the commit")
        return done

    monkeypatch.setattr(first._leases, "write", unsure)
    with pytest.raises(StoreUnavailable):
        await first.catch_up()
    assert await database.read(check_log) == 100
    # It does not know whether it was written, so it asks for the lease anew; that it held it itself does not help it.
    assert await first.catch_up() == 0
    clock.advance(11)
    with pytest.raises(StoreUnavailable):
        await first.catch_up()
    clock.advance(11)
    second = Sequencer(database, clock)
    await second.catch_up()
    assert await database.read(check_log) == 250


async def test_who_lost_the_lease_writes_nothing(database: Database) -> None:
    """A process that froze while another took over adds nothing, and the other's leaves stay."""
    journal, clock = Journal(database, node="n1", clock=SystemClock()), ManualClock()
    frozen, awake = Sequencer(database, clock), Sequencer(database, clock)
    await journal.append(*entries(5))
    assert await frozen.catch_up() == 5
    assert await awake.catch_up() == 0
    await journal.append(*entries(5))
    held = frozen._held
    assert held is not None
    runs = await database.read(held.sequence)
    clock.advance(11)
    assert await awake.catch_up() == 5
    await journal.append(*entries(5))
    assert not await database.write(
        lambda connection: sql.grow(connection, 5, held.size, held.growth.take_changed(), runs)
    )
    assert await frozen.catch_up() == 0
    assert not frozen.holds
    assert await database.read(check_log) == 10
    await awake.close()
    assert await frozen.catch_up() == 5
    assert await database.read(check_log) == 15


async def test_two_processes_take_turns(database: Database) -> None:
    """Both run at once beside two writers, one dies again and again: nothing is missing and nothing is there twice."""
    clock = ManualClock()
    nodes = 2 if database.engine.dialect == "postgresql" else 1
    journals = [Journal(database, node=f"n{number}", clock=clock) for number in range(nodes)]
    workers = [Sequencer(database, clock), Sequencer(database, clock)]
    for number in range(12):
        await asyncio.gather(
            *(journal.append(*entries(20 + number)) for journal in journals),
            *(worker.catch_up() for worker in workers),
        )
        if number % 3 == 2:
            workers[number % 2] = Sequencer(database, clock)
            clock.advance(11)
    clock.advance(11)
    for worker in workers:
        await worker.catch_up()
    assert await database.read(check_log) == nodes * sum(20 + number for number in range(12))


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    house = House(database, tmp_path, ManualClock())
    await house.log.start()
    yield house
    await house.stop()


async def test_a_checkpoint_signs_all_there_is(house: House) -> None:
    """Asked for one, the log signs every record; the note holds for its key, and each later one continues it."""
    await house.journal.append(*entries(300))
    first = await house.log.checkpoint()
    assert first.size == 300
    assert read_checkpoint(first.note).of_log(await house.verify_keys()) == first
    await house.journal.append(*entries(1))
    second = await house.log.checkpoint()
    assert second.size == 301
    root = await house.database.read(lambda one: Tree(301, sql.tile_reader(one)).root(300))
    assert root == first.root
    assert (house.keys._file.stat().st_mode & 0o777) == 0o600


async def test_keys_rotate_without_a_restart(house: House) -> None:
    """With a new key in front, both sign until the old one is taken out; each change is told to the journal."""
    await house.journal.append(*entries(1))
    await house.log.checkpoint()
    (old,) = await house.verify_keys()
    house.keys.write([SigningKey.generate(), *house.keys.read()])
    both = await house.log.checkpoint()
    new = (await house.verify_keys())[0]
    assert both.signed_by(old) == both.signed_by(new) == 0
    house.keys.write(house.keys.read()[:1])
    await house.journal.append(*entries(1))
    alone = await house.log.checkpoint()
    assert alone.signed_by(old) is None
    assert alone.signed_by(new) == 0
    assert [type(event).__name__ for event in house.events] == ["LogKeysChanged"] * 2


@pytest.mark.parametrize("mode", [0o644, 0o660])
async def test_a_key_that_others_may_read_is_not_used(house: House, mode: int) -> None:
    """The message has the command that mends it, and nothing is signed."""
    await house.journal.append(*entries(1))
    house.keys._file.chmod(mode)
    with pytest.raises(EvidenceFailed, match="chmod 600"):
        await house.log.checkpoint()


async def test_a_log_that_was_rewritten_is_not_signed(house: House) -> None:
    """Who changes a tile of what was signed is told, on the record, and gets no signature under it."""
    await house.journal.append(*entries(10))
    await house.log.checkpoint()

    def change(connection: Connection) -> None:
        connection.execute("UPDATE evidence_tile SET hashes = ? WHERE level = 0 AND number = 0", (bytes(256 * 32),))

    await house.journal.append(*entries(300))
    await house.log._sequencer.catch_up()
    await house.database.write(change)
    with pytest.raises(EvidenceFailed, match="another hand"):
        await house.log.checkpoint()


async def test_a_start_makes_name_and_key_once(house: House, tmp_path: Path) -> None:
    """A second start of the same colony has the same origin and key, and goes on from the checkpoint it finds."""
    await house.journal.append(*entries(3))
    made = await house.log.checkpoint()
    view = await house.log.view()
    await house.log.stop()
    again = House(house.database, tmp_path, ManualClock())
    await again.log.start()
    assert (await again.log.view()).keys == view.keys
    assert (await again.log.checkpoint()).text == made.text
    await again.stop()
