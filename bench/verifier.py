"""What evidence costs, and that the verifier finds every change: `./dev bench verifier [--json]`.

It fills a journal, sequences it, makes proofs, checks an export of it with the stand-alone verifier, and then tries
10,000 random single changes of a decoded field of an exported slice; signatures are checked by the `openssl` command,
which is asked once for the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from cenoby.kernel.clock import SystemClock
from cenoby.kernel.signing import SigningKey
from cenoby.protection.evidence import sql
from cenoby.protection.evidence.export import Choice
from cenoby.protection.evidence.merkle import Tree
from cenoby.protection.evidence.notes import Checkpoint
from cenoby.protection.evidence.sequencer import Sequencer
from cenoby.store.database import Database
from cenoby.store.journal import Journal
from tests.evidence.mutations import at, changed, places
from tests.evidence.slices import VERIFIER, Openssl, entry, exported, fill, key_of

RECORDS = 100_000
MUTATIONS = 10_000
ORIGIN = "cenoby/bench"


def main(as_json: bool) -> int:
    """Measure and print; 1 where a change was not found."""
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(_measure(Path(folder)))
    print(json.dumps(figures) if as_json else "\n".join(f"{name:28}{value:>12}" for name, value in figures.items()))
    return 0 if figures["mutations_found"] == figures["mutations_tried"] else 1


async def _measure(folder: Path) -> dict[str, Any]:
    key, openssl = SigningKey.generate(), Openssl()
    small = await _log(folder / "small.db", key, 40)
    figures = _mutate(small, key, openssl)
    return figures | await _costs(folder / "large.db", key, openssl)


async def _log(file: Path, key: SigningKey, count: int) -> Any:
    """An export of a log with an erased payload and an earlier checkpoint."""
    database = await Database.open(file, clock=SystemClock())
    journal, sequencer = Journal(database, node="n1", clock=SystemClock()), Sequencer(database, SystemClock())
    await database.write(lambda connection: sql.add_log(connection, ORIGIN))
    ids = await fill(journal, count // 2)
    kept = await _sign(database, sequencer, key)
    record = await journal.get(ids[1])
    assert record is not None
    await journal.erase(record, agent="ada")
    await fill(journal, count // 2)
    await _sign(database, sequencer, key)
    found = await database.read(lambda connection: exported(connection, [key], Choice(), (kept,)))
    await database.close()
    return found


async def _sign(database: Database, sequencer: Sequencer, key: SigningKey) -> str:
    await sequencer.catch_up()

    def work(connection: Any) -> str:
        size = sequencer.size
        root = Tree(size, sql.tile_reader(connection)).root()
        note = Checkpoint.of(ORIGIN, size, root).signed(ORIGIN, key).note
        sql.put_checkpoint(connection, sql.Made(size, 0, note))
        return note

    return await database.write(work)


def _mutate(document: Any, key: SigningKey, openssl: Openssl) -> dict[str, Any]:
    public = key_of(ORIGIN, key)
    VERIFIER.verify(document, public, verifies=openssl)
    everywhere = list(places(document))
    chance, found = random.Random(1), 0
    for _ in range(MUTATIONS):
        path = chance.choice(everywhere)
        try:
            VERIFIER.verify(changed(document, path, chance), public, verifies=openssl)
        except (VERIFIER.Broken, *VERIFIER.MALFORMED):
            found += 1
        else:
            print(f"not found: {path} {at(document, path)!r:.200}")
    return {
        "mutations_tried": MUTATIONS,
        "mutations_found": found,
        "mutated_fields": len(everywhere),
        "openssl_runs": openssl.runs,
    }


async def _costs(file: Path, key: SigningKey, openssl: Openssl) -> dict[str, Any]:
    database = await Database.open(file, clock=SystemClock())
    await database.write(lambda connection: sql.add_log(connection, ORIGIN))
    journal = Journal(database, node="n1", clock=SystemClock())
    for start in range(0, RECORDS, 1000):
        await journal.append(*(entry(number, {"number": number}) for number in range(start, start + 1000)))
    sequencer = Sequencer(database, SystemClock())
    began, busy = time.perf_counter(), time.process_time()
    await sequencer.catch_up()
    wall, busy = time.perf_counter() - began, time.process_time() - busy
    await _sign(database, sequencer, key)
    proofs = await database.read(_proof_times)
    began = time.perf_counter()
    document = await database.read(lambda connection: exported(connection, [key]))
    export_s = time.perf_counter() - began
    began = time.perf_counter()
    VERIFIER.verify(document, key_of(ORIGIN, key), complete=True, verifies=openssl)
    verify_s = time.perf_counter() - began
    await database.close()
    return {
        "records": RECORDS,
        "sequence_us_per_record": round(wall / RECORDS * 1e6, 2),
        "sequence_cpu_us_per_record": round(busy / RECORDS * 1e6, 2),
        **proofs,
        "export_s": round(export_s, 2),
        "verify_s": round(verify_s, 2),
    }


def _proof_times(connection: Any) -> dict[str, Any]:
    def timed(work: Any) -> float:
        began = time.perf_counter()
        for number in range(100):
            work(Tree(RECORDS, sql.tile_reader(connection)), number * 997 + 1)
        return round((time.perf_counter() - began) / 100 * 1e6, 1)

    return {
        "root_us": timed(lambda tree, number: tree.root()),
        "inclusion_us": timed(lambda tree, number: tree.inclusion(number)),
        "consistency_us": timed(lambda tree, number: tree.consistency(number)),
    }
