"""The stand-alone verifier: it believes what is right and nothing else, whoever changed it, the operator included."""

from __future__ import annotations

import ast
import copy
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.clock import ManualClock
from cenoby.kernel.signing import SigningKey
from cenoby.protection.evidence.export import Choice, statement_of
from cenoby.protection.evidence.notes import NoteKey, read_checkpoint
from cenoby.store.database import Database
from cenoby.store.engine import Connection, Engine
from cenoby.store.journal import Journal
from tests.evidence.log_house import House
from tests.evidence.mutations import at, changed, places
from tests.evidence.slices import VERIFIER, VERIFIER_FILE, Openssl, entry, exported, fill, key_of
from tests.stores import MakeStore

OPENSSL = Openssl()


@pytest.fixture
async def house(store: Engine, tmp_path: Path) -> AsyncIterator[House]:
    """A log at work over a journal of either engine."""
    clock = ManualClock()
    database = await Database.open(store, clock=clock)
    house = House(database, tmp_path, clock)
    await house.log.start()
    yield house
    await house.stop()
    await database.close()


async def filled(house: House, count: int = 24) -> list[str]:
    """Records of two nodes with and without payloads, one of them erased, and a checkpoint over them."""
    ids = await fill(house.journal, count)
    record = await house.journal.get(ids[1])
    assert record is not None
    await house.journal.erase(record, agent="ada")
    second = Journal(house.database, node="n2", clock=house.clock)
    if house.database.engine.dialect == "postgresql":
        await fill(second, 5)
    await house.log.checkpoint()
    return ids


async def sliced(house: House, choice: Choice = Choice(), kept: tuple[str, ...] = ()) -> Any:  # noqa: B008
    """An export, as whoever gets the file reads it."""
    keys = house.keys.read()
    return await house.database.read(lambda connection: exported(connection, keys, choice, kept))


def verify(document: Any, house: House, kept: tuple[str, ...] = (), **more: Any) -> Any:
    """What the verifier says, with the log's newest key."""
    more = {"verifies": OPENSSL} | more
    return VERIFIER.verify(document, key_of(house.origin, house.keys.read()[0]), kept, **more)


async def test_a_whole_log_holds(house: House) -> None:
    """Every record, payload, erasure and link of both engines' logs is found right, and the slice complete."""
    await filled(house)
    found = verify(await sliced(house), house, complete=True)
    assert found["ok"] and found["complete"]
    assert found["records"] == found["size"] == (30 if house.database.engine.dialect == "postgresql" else 25)
    assert found["erased"] == 1
    assert found["there"] > 10


async def test_any_slice_holds(house: House) -> None:
    """A part, a time, an agent's records, single ones, without payloads: each is proved, and says if it is complete."""
    ids = await filled(house)
    times = [one["header"][4] for one in (await sliced(house))["records"]]
    part = verify(await sliced(house, Choice(first=5, end=11)), house)
    assert (part["records"], part["complete"]) == (6, True)
    mine = verify(await sliced(house, Choice(where={"agent": "bob"})), house)
    assert mine["records"] > 5
    assert not mine["complete"]
    one = verify(await sliced(house, Choice(ids=(ids[4],))), house)
    assert one["records"] == 1
    bare = verify(await sliced(house, Choice(payloads=False)), house)
    assert bare["there"] == 0
    assert bare["withheld"] > 10
    timed = verify(await sliced(house, Choice(since_ns=times[0], until_ns=times[-1] + 1)), house)
    assert timed["records"] == len(times)
    with pytest.raises(VERIFIER.Broken, match="selection"):
        verify(await sliced(house, Choice(where={"agent": "bob"})), house, complete=True)
    erased = verify(await sliced(house, Choice(ids=(ids[1],))), house)
    assert (erased["records"], erased["erased"]) == (2, 1)


async def test_a_checkpoint_that_was_kept_is_compared(house: House) -> None:
    """An earlier checkpoint, as a file that somebody took away, is proved to be of the same history."""
    await filled(house)
    kept = (await house.log.checkpoint()).note
    await fill(house.journal, 40)
    await house.log.checkpoint()
    assert verify(await sliced(house, kept=(kept,)), house, (kept,))["checkpoints"] == 1
    with pytest.raises(VERIFIER.Broken, match="ask for it"):
        verify(await sliced(house), house, (kept,))


async def test_who_has_another_key_believes_nothing(house: House) -> None:
    """The key is the reader's own: what the export says of keys does not matter."""
    await filled(house)
    document = await sliced(house)
    with pytest.raises(VERIFIER.Broken):
        VERIFIER.verify(document, key_of(house.origin, SigningKey.generate()), verifies=OPENSSL)


async def test_rotated_keys_all_sign(house: House) -> None:
    """While a key is replaced, holders of the old and of the new one can both check."""
    old = house.keys.read()[0]
    house.keys.write([SigningKey.generate(), old])
    await filled(house)
    document = await sliced(house)
    verify(document, house)
    VERIFIER.verify(document, key_of(house.origin, old), verifies=OPENSSL)


async def rewrite(house: House, change: Callable[[Connection], None]) -> None:
    """Change the journal by an administrator's hand, link all of it anew, throw the log away, and sign it anew."""

    def work(connection: Connection) -> None:
        for trigger in ("journal_keeps", "journal_stays"):
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        change(connection)
        linked = bytes(32)
        rows = connection.execute("SELECT position, header FROM journal ORDER BY position").fetchall()
        for seq, (position, header) in enumerate(rows, 1):
            linked = VERIFIER.sha256(linked, header.encode())
            connection.execute(
                "UPDATE journal SET position = ?, seq = ?, hash = ? WHERE position = ?", (seq, seq, linked, position)
            )
            connection.execute("UPDATE journal_payload SET position = ? WHERE position = ?", (seq, position))
        connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'journal'", (len(rows),))
        for table in ("tile", "run", "checkpoint", "published"):
            connection.execute(f"DELETE FROM evidence_{table}")
        connection.execute("UPDATE evidence_log SET size = 0")
        connection.execute("DELETE FROM leases")

    await house.log.stop()
    await house.database.write(work)


def change_decision(connection: Connection) -> None:
    header = json.loads(connection.execute("SELECT header FROM journal WHERE position = 3").fetchone()[0])
    header[10] = "allowed"
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    connection.execute("UPDATE journal SET header = ? WHERE position = 3", (text,))


def drop_record(connection: Connection) -> None:
    connection.execute("DELETE FROM journal_payload WHERE position = 4")
    connection.execute("DELETE FROM journal WHERE position = 4")


def swap_records(connection: Connection) -> None:
    rows = dict(connection.execute("SELECT position, header FROM journal WHERE position IN (7, 10)").fetchall())
    for position, other in ((7, 10), (10, 7)):
        connection.execute("UPDATE journal SET header = ? WHERE position = ?", (rows[other], position))
    payloads = dict(connection.execute("SELECT position, salted FROM journal_payload").fetchall())
    for position, other in ((7, 10), (10, 7)):
        connection.execute("DELETE FROM journal_payload WHERE position = ?", (position,))
        if other in payloads:
            connection.execute("INSERT INTO journal_payload VALUES (?, '', ?)", (position, payloads[other]))


def back_date(connection: Connection) -> None:
    header = json.loads(connection.execute("SELECT header FROM journal WHERE position = 9").fetchone()[0])
    header[4] -= 30_000_000_000
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    connection.execute("UPDATE journal SET header = ? WHERE position = 9", (text,))


def cut_short(connection: Connection) -> None:
    connection.execute("DELETE FROM journal_payload WHERE position > 12")
    connection.execute("DELETE FROM journal WHERE position > 12")


@pytest.mark.parametrize("change", [change_decision, drop_record, swap_records, back_date, cut_short])
async def test_the_operator_cannot_rewrite_what_was_published(
    sqlite_stores: MakeStore, tmp_path: Path, change: Callable[[Connection], None]
) -> None:
    """With all keys and the whole database in hand, what is rewritten passes by itself and not beside one checkpoint
    that had left the machine; and whatever is published next is refused by the log itself, with an alarm."""
    clock = ManualClock()
    database = await Database.open(sqlite_stores(), clock=clock)
    place = tmp_path / "elsewhere" / "checkpoint"
    place.parent.mkdir()
    publish = [{"name": "elsewhere", "file": str(place)}]
    house = House(database, tmp_path, clock, publish=publish)
    await house.log.start()
    await fill(house.journal, 24)
    await house.log.publish()
    kept = place.read_text()
    document = await sliced(house)
    verify(document, house, (kept,))
    await rewrite(house, change)

    again = House(database, tmp_path, clock, publish=publish)
    await fill(again.journal, 20)
    await again.log.start()
    (standing,) = await again.log.publish()
    assert "rewritten" in standing.problem
    assert place.read_text() == kept
    assert [type(event).__name__ for event in again.events].count("EvidenceInconsistent") == 1
    assert (await again.journal.verify()).ok or change is drop_record
    assert verify(await sliced(again), again)["ok"]
    with pytest.raises(VERIFIER.Broken, match="does not continue"):
        verify(await sliced(again, kept=(kept,)), again, (kept,))
    forged = await sliced(again, kept=(kept,))
    forged["earlier"] = []
    with pytest.raises(VERIFIER.Broken, match="ask for it"):
        verify(resigned(forged, again), again, (kept,))
    await again.stop()
    await database.close()


def resigned(document: Any, house: House) -> Any:
    """The document with a statement over what it is now, as the operator can make one."""
    body = {name: value for name, value in document.items() if name != "statement"}
    newest = read_checkpoint(exporting_note(document))
    return {**body, "statement": statement_of(body, newest, house.keys.read())}


def exporting_note(document: Any) -> str:
    return document["checkpoint"]


def breaks(document: Any, house: House, verifies: Any = OPENSSL) -> bool:
    """Whether the verifier refuses it, in one of the ways in which the command does."""
    try:
        verify(document, house, verifies=verifies)
    except (
        VERIFIER.Broken,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        StopIteration,
        RecursionError,
    ):
        return True
    return False


async def test_every_single_mutation_is_found(house: House) -> None:
    """A thousand changes of one decoded field each, anywhere in an export with payloads, erasures, two keys and an
    earlier checkpoint, signatures checked by openssl: every one is found (`./dev bench verifier` tries 10,000)."""
    house.keys.write([SigningKey.generate(), *house.keys.read()])
    await fill(house.journal, 5)
    kept = (await house.log.checkpoint()).note
    await filled(house)
    document = await sliced(house, kept=(kept,))
    verify(document, house)
    chance = random.Random(20_260_728)
    everywhere = list(places(document))
    for _ in range(1000):
        path = chance.choice(everywhere)
        mutated = changed(document, path, chance)
        assert breaks(mutated, house), (path, at(document, path))


async def test_records_are_proved_without_the_statement(house: House) -> None:
    """Who exports can sign anything; still no field of any record, no proof and no checkpoint can be another one."""
    await fill(house.journal, 5)
    kept = (await house.log.checkpoint()).note
    await filled(house)
    document = await sliced(house, kept=(kept,))
    chance = random.Random(7)
    proved = [path for path in places(document) if path[0] in ("records", "proof", "earlier") and len(path) > 1]
    proved += [path for path in proved if path[0] == "records" and len(path) == 3] * 3
    for _ in range(500):
        path = chance.choice(proved)
        mutated = resigned(changed(document, path, chance), house)
        assert breaks(mutated, house, verifies=by_library), (path, at(document, path))


def by_library(key: bytes, data: bytes, signature: bytes) -> bool:
    """Signatures checked in process: thousands of new ones would take openssl minutes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


async def test_a_time_that_a_witness_contradicts_is_found(house: House) -> None:
    """A record dated after a witness had seen it, and one dated before the record before it, are told."""
    await filled(house)
    witness = SigningKey.generate()
    seconds = house.clock.now_ns() // 10**9
    made = await house.log.checkpoint()
    for at_seconds, holds in ((seconds + 1, True), (seconds - 3600, False)):
        note = made.joined([made.cosignature("w", witness, at_seconds)]).note
        key = VERIFIER.Key(NoteKey("w", witness.public, cosigns=True).to_text())
        more = {"witnesses": [key], "slack": 60}
        document = await sliced(house)
        if holds:
            assert verify(document, house, (note,), **more)["seen"][0]["time"] == at_seconds
        else:
            with pytest.raises(VERIFIER.Broken, match="dated after"):
                verify(document, house, (note,), **more)
    house.clock.jump(-600)
    await house.journal.append(entry(1, {}))
    await house.log.checkpoint()
    with pytest.raises(VERIFIER.Broken, match="dated before"):
        verify(await sliced(house), house)


async def test_the_command_says_it_with_its_exit_code(house: House, tmp_path: Path) -> None:
    """As a reviewer runs it: 0 with what was found, 1 with what does not hold, 2 for what cannot be read."""
    await filled(house)
    kept = tmp_path / "kept.txt"
    kept.write_text((await house.log.checkpoint()).note)
    document = await sliced(house)
    file = tmp_path / "export.json"
    key = NoteKey(house.origin, house.keys.read()[0].public).to_text()

    def run() -> tuple[int, Any]:
        command = [sys.executable, "-I", str(VERIFIER_FILE), "--key", key, "--checkpoint", str(kept), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        return done.returncode, json.loads(done.stdout)

    file.write_text(json.dumps(document))
    assert run()[0] == 0
    bent = copy.deepcopy(document)
    bent["records"][2]["header"][6] = "mallory"
    file.write_text(json.dumps(bent))
    code, said = run()
    assert (code, said["ok"]) == (1, False)
    file.write_text(json.dumps(document).replace('"keys"', '"format": 1, "keys"', 1))
    assert run()[1]["problem"] == "a field is there twice"
    file.write_text("{")
    assert run()[0] == 2


def test_the_verifier_is_one_short_file_without_dependencies() -> None:
    """It imports the standard library only, and nothing of ours; it can be read in ten minutes."""
    tree = ast.parse(VERIFIER_FILE.read_text())
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported <= sys.stdlib_module_names
    assert len(VERIFIER_FILE.read_text().splitlines()) <= 370


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=30,
)


@given(JSON_VALUES)
def test_payloads_are_hashed_as_they_were_written(value: Any) -> None:
    """The verifier's msgpack is the bytes that the journal stored, for all that JSON can say."""
    assert VERIFIER.msgpack(json.loads(json.dumps(value))) == msgspec.msgpack.encode(value)
