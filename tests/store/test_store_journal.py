"""The journal over real databases of both engines."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.store.database import Database, StoreRefused, StoreUnavailable
from cenoby.store.engine import Connection, Engine
from cenoby.store.journal import Entry, Journal, JournalQuery, verify_file


def entry(kind: str = "call", **fields: Any) -> Entry:
    values: dict[str, Any] = {"tenant": "default", "agent": "ada", "correlation": "c-1", "decision": "allowed"}
    return Entry(kind=kind, **(values | fields))


async def opened(store: Engine | Path, node: str = "n1") -> tuple[Database, Journal, ManualClock]:
    clock = ManualClock()
    database = await Database.open(store, clock=clock)
    journal = Journal(database, node=node, clock=clock)
    await journal.start()
    return database, journal, clock


async def fill(journal: Journal, clock: ManualClock, count: int) -> None:
    """`count` records of three agents and two MADs, a second apart."""
    written: list[asyncio.Future[Any]] = []
    for number in range(count):
        clock.advance(1)
        mad = ("rogers", "turing")[number % 2]
        payload = {"number": number} if number % 5 else {}
        one = entry(agent=f"a{number % 3}", mad=mad, correlation=f"c{number // 4}", payload=payload)
        written.append(asyncio.ensure_future(journal.append(one)))
        await asyncio.sleep(0)
    await asyncio.gather(*written)


async def test_a_record_is_read_back_with_payload_and_place(store: Engine) -> None:
    """What was appended is what is read, and its place follows the record before."""
    database, journal, _ = await opened(store)
    first = await journal.append(entry(payload={"x": [1, "ü"]}))
    second = await journal.append(entry(code="done"))
    record = await journal.get(first.id)
    later = await journal.get(second.id)
    assert record is not None
    assert later is not None
    assert (record.payload, record.seq, record.agent, record.prev_hash) == ({"x": [1, "ü"]}, 1, "ada", "0" * 64)
    assert (later.seq, later.prev_hash, later.payload) == (2, record.hash, None)
    assert await journal.get("nothing") is None
    await database.close()


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    "wanted", [{}, {"agent": "a1"}, {"mad": "turing"}, {"correlation": "c40"}, {"agent": "a2", "mad": "rogers"}]
)
async def test_pages_hold_every_record_that_fits_once(
    store: Engine, wanted: dict[str, str], newest_first: bool
) -> None:
    """Over blocks and the records behind them, small pages together are what a scan of everything finds."""
    database, journal, clock = await opened(store)
    await fill(journal, clock, 1300)
    numbers = [
        number + 1
        for number in range(1300)
        if wanted.get("agent", f"a{number % 3}") == f"a{number % 3}"
        and wanted.get("mad", ("rogers", "turing")[number % 2]) == ("rogers", "turing")[number % 2]
        and wanted.get("correlation", f"c{number // 4}") == f"c{number // 4}"
    ]
    found: list[int] = []
    query = JournalQuery(limit=97, newest_first=newest_first, **wanted)
    while True:
        page = await journal.page(query)
        assert len(page.records) <= 97
        found += [record.seq for record in page.records]
        if not page.next:
            break
        query = JournalQuery(limit=97, newest_first=newest_first, cursor=page.next, **wanted)
    assert found == (numbers[::-1] if newest_first else numbers)
    await database.close()


async def test_a_time_range_is_from_its_start_to_before_its_end(store: Engine) -> None:
    """`since` is inclusive, `until` exclusive, across block borders."""
    database, journal, clock = await opened(store)
    start = clock.now_ns()
    await fill(journal, clock, 600)
    page = await journal.page(
        JournalQuery(since_ns=start + 500 * 10**9, until_ns=start + 520 * 10**9, newest_first=False)
    )
    assert [record.seq for record in page.records] == list(range(500, 520))
    await database.close()


async def test_an_intent_that_a_crash_left_open_gets_the_outcome_unknown(store: Engine) -> None:
    """At the next start, each intent without outcome gets one, and only one."""
    database, journal, clock = await opened(store)
    for name in ("done", "open"):
        await journal.append(entry("decision", invocation=name), entry("intent", invocation=name, decision=""))
    await journal.append(entry("outcome", invocation="done", decision="", status="ok"))
    await database.close()
    for _ in range(2):
        database, journal, clock = await opened(store)
        page = await journal.page(JournalQuery(kind="outcome", newest_first=False))
        assert [(one.invocation, one.status) for one in page.records] == [("done", "ok"), ("open", "unknown")]
        await database.close()
    assert clock.now_ns()


async def test_calls_are_counted_once_each(store: Engine) -> None:
    """A call with side effects has three records and counts as one; events do not count."""
    database, journal, clock = await opened(store)
    await journal.append(entry(agent="old", mad="rogers"))
    clock.advance(10)
    since = clock.now_ns()
    await journal.append(entry("decision", mad="turing"), entry("intent", mad="turing", decision=""))
    await journal.append(entry("outcome", mad="turing", decision=""), entry("event", mad="turing", decision=""))
    await journal.append(entry(mad="turing"))
    (count,) = await journal.count_calls(since)
    assert (count.agent, count.mad, count.calls) == ("ada", "turing", 2)
    await database.close()


async def test_an_erased_payload_leaves_a_chain_that_holds(store: Engine) -> None:
    """Erasure on the record verifies; a payload that just went missing does not."""
    database, journal, _ = await opened(store)
    kept, gone = [await journal.append(entry(payload={"name": name})) for name in ("kept", "gone")]
    record = await journal.get(gone.id)
    assert record is not None
    await journal.erase(record, agent="operator")
    emptied = await journal.get(gone.id)
    assert emptied is not None
    assert emptied.payload is None
    verified = await journal.verify()
    assert (verified.ok, verified.erased, verified.payloads) == (True, 1, 2)
    await database.close()
    loss = await Database.open(store, clock=ManualClock())
    await loss.write(lambda connection: connection.execute("DELETE FROM journal_payload"))
    await loss.close()
    verified = await verify_file(store)
    assert not verified.ok
    assert verified.record == kept.id


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed database with thirty records of two nodes."""
    folder = tmp_path_factory.mktemp("sealed")

    async def make() -> None:
        for node in ("n1", "n2"):
            database, journal, clock = await opened(folder / "colony.db", node)
            await fill(journal, clock, 15)
            await database.close()

    asyncio.run(make())
    with closing(sqlite3.connect(folder / "colony.db")) as connection:
        connection.execute("DROP TRIGGER journal_keeps")
        connection.execute("DROP TRIGGER journal_stays")
        connection.commit()
        # A copy of one file is whole only without a log beside it.
        connection.execute("PRAGMA journal_mode = DELETE")
    return folder / "colony.db"


def mutate(connection: sqlite3.Connection, what: str, position: int, place: int, other: int) -> None:
    """One single change that an outsider could make."""
    if what == "header":
        text = connection.execute("SELECT header FROM journal WHERE position = ?", (position,)).fetchone()[0]
        fields = json.loads(text)
        fields[place] = fields[place] + 1 if isinstance(fields[place], int) else fields[place] + "x"
        changed = json.dumps(fields, separators=(",", ":"))
        connection.execute("UPDATE journal SET header = ? WHERE position = ?", (changed, position))
    elif what == "column":
        column = ("tenant", "seq", "hash")[place % 3]
        value = {"tenant": "other", "seq": 99, "hash": os.urandom(32)}[column]
        connection.execute(f"UPDATE journal SET {column} = ? WHERE position = ?", (value, position))
    elif what == "drop":
        connection.execute("DELETE FROM journal_payload WHERE position = ?", (position,))
        connection.execute("DELETE FROM journal WHERE position = ?", (position,))
    elif what == "swap":
        first, second = sorted((position, other))
        for before, after in ((first, -1), (second, first), (-1, second)):
            connection.execute("UPDATE journal SET position = ? WHERE position = ?", (after, before))
            connection.execute("UPDATE journal_payload SET position = ? WHERE position = ?", (after, before))
    else:
        connection.execute("UPDATE journal_payload SET salted = salted || x'00' WHERE position = ?", (position,))


def chains_in(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The records of each node, in the order of the file."""
    chains: dict[str, list[str]] = {}
    for (header,) in connection.execute("SELECT header FROM journal ORDER BY position"):
        chains.setdefault(json.loads(header)[1], []).append(header)
    return chains


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("swap", 15, 0, 16)
@given(
    st.sampled_from(["header", "column", "drop", "swap", "payload"]),
    st.integers(1, 30),
    st.integers(0, 16),
    st.integers(1, 30),
)
def test_any_single_change_is_detected(sealed: Path, what: str, position: int, place: int, other: int) -> None:
    """Changing a field, a hash or a payload, dropping a record, the last one too, or exchanging two: verify sees it.

    Each node has a chain of its own, so which of two nodes' neighbouring records came first is not attested.
    """
    if what == "swap" and position == other:
        return
    copy = sealed.with_name("copy.db")
    shutil.copy(sealed, copy)
    with closing(sqlite3.connect(copy)) as connection:
        chains = chains_in(connection)
        mutate(connection, what, position, place, other)
        changed = connection.total_changes > 0 and (what != "swap" or chains_in(connection) != chains)
        connection.commit()
    assert asyncio.run(verify_file(copy)).ok is not changed


async def test_one_failing_job_takes_nothing_else_of_its_batch_with_it(store: Engine) -> None:
    """Of jobs in one transaction, the one that raises is undone and the others are there."""
    database, journal, _ = await opened(store)

    def broken(connection: Connection) -> None:
        connection.execute("CREATE TABLE half (x BIGINT)")
        raise RuntimeError("on purpose")

    results = await asyncio.gather(
        journal.append(entry()), database.write(broken), journal.append(entry()), return_exceptions=True
    )
    assert isinstance(results[1], RuntimeError)
    verified = await journal.verify()
    assert (verified.ok, verified.records) == (True, 2)
    with pytest.raises((StoreUnavailable, StoreRefused), match="half"):
        await database.read(lambda connection: connection.execute("SELECT x FROM half").fetchall())
    await database.close()


ACKNOWLEDGE = """
import asyncio, os, sys
from pathlib import Path
from cenoby.kernel.clock import SystemClock
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal

async def main():
    database = await Database.open(Path(sys.argv[1]), clock=SystemClock())
    journal = Journal(database, node="n1", clock=SystemClock())
    await journal.start()
    for number in range(20):
        await journal.append(Entry(kind="event", tenant="default", agent="ada", correlation="c", payload={"n": number}))
        os.write(1, b"acknowledged\\n")
    await database.close()

asyncio.run(main())
"""


def test_the_sync_comes_before_each_acknowledgement(tmp_path: Path, needs: Callable[[str], str]) -> None:
    """By the system calls: between two acknowledgements the log was written and then synced, each time."""
    trace = tmp_path / "trace"
    command = [needs("strace"), "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync,write,pwrite64,openat"]
    script = [sys.executable, "-c", ACKNOWLEDGE, str(tmp_path / "colony.db")]
    subprocess.run([*command, *script], check=True, capture_output=True, timeout=120)
    calls = trace.read_text().splitlines()
    opened_as = {match.group(1) for line in calls if (match := re.search(r'colony\.db-wal".* = (\d+)$', line))}
    assert opened_as
    log = "|".join(opened_as)
    marks = ""
    for line in calls:
        if re.search(rf"pwrite64\(({log}),", line):
            marks += "w"
        elif re.search(rf"(fsync|fdatasync)\(({log})\b", line):
            marks += "s"
        elif 'write(1, "acknowledged' in line:
            marks += "A"
    assert marks.count("A") == 20
    for between in marks.split("A")[:-1]:
        assert re.search(r"ws+$", between), f"an acknowledgement without a sync after the last write: {marks}"


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from cenoby.kernel.clock import SystemClock
from cenoby.store.database import Database, StoreUnavailable
from cenoby.store.journal import Entry, Journal

def entry(number):
    payload = {"n": number, "text": "x" * 3000}
    return Entry(kind="event", tenant="default", agent="ada", correlation="c", payload=payload)

async def main():
    path = Path(sys.argv[1])
    database = await Database.open(path, clock=SystemClock())
    journal = Journal(database, node="n1", clock=SystemClock())
    await journal.start()
    acknowledged = refused = 0
    limit = path.with_name(path.name + "-wal").stat().st_size + 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for number in range(100):
        try:
            await journal.append(entry(number))
            acknowledged += 1
        except StoreUnavailable as error:
            assert error.code == "store_failed" and error.retry_after, error
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await journal.append(entry(-1))
    found = await journal.verify()
    assert found.ok and found.records == acknowledged + 1, (found, acknowledged)
    assert refused > 10 and acknowledged > 3, (acknowledged, refused)
    await database.close()

asyncio.run(main())
"""


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """Where the file cannot grow, appends are refused by type; what was acknowledged is there, and work goes on."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "colony.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


async def test_what_waits_for_the_disk_is_bounded(store: Engine) -> None:
    """More bytes than may wait are refused with a waiting time, and what was taken is written."""
    database = await Database.open(store, clock=SystemClock(), queue_bytes=20_000)
    journal = Journal(database, node="n1", clock=SystemClock())
    payload = {"text": "x" * 3000}
    results = await asyncio.gather(*(journal.append(entry(payload=payload)) for _ in range(50)), return_exceptions=True)
    refused = [one for one in results if isinstance(one, StoreUnavailable)]
    assert refused
    assert all(one.code == "store_full" and one.retry_after for one in refused)
    verified = await journal.verify()
    assert (verified.ok, verified.records) == (True, 50 - len(refused))
    await database.close()


async def test_the_schema_goes_down_and_up_again(tmp_path: Path) -> None:
    """Every migration has a way back to nothing, and forward again."""
    from cenoby.store.migrate import migrate

    database, _, _ = await opened(tmp_path / "colony.db")
    await database.close()

    def tables() -> set[str]:
        with closing(sqlite3.connect(tmp_path / "colony.db")) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {row[0] for row in rows} - {"alembic_version", "sqlite_sequence"}

    before = tables()
    await asyncio.to_thread(migrate, tmp_path / "colony.db", "base")
    assert tables() == set()
    await asyncio.to_thread(migrate, tmp_path / "colony.db", "head")
    assert tables() == before
