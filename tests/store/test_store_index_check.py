"""Verification sees a journal whose index hides records, and one that was cut short behind a head that was kept."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cenoby.kernel.clock import SystemClock
from cenoby.kernel.ids import new_id
from cenoby.store.chain import ChainHead
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal, verify_file

RECORDS = 1300


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed database with more than two blocks of records, some of which began before their block."""
    path = tmp_path_factory.mktemp("indexed") / "colony.db"
    earlier = [new_id() for _ in range(50)]

    async def make() -> None:
        database = await Database.open(path, clock=SystemClock())
        journal = Journal(database, node="n1", clock=SystemClock())
        for number in range(RECORDS):
            correlation = earlier[number % 50] if number % 3 else new_id()
            agent = ("ada", "bob", "Äda\0")[number % 3]
            await journal.append(Entry("call", "default", agent, correlation, mad="rogers", tool="mads.rogers.post"))
        assert (await journal.verify()).ok
        await database.close()

    asyncio.run(make())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER journal_stays")
        connection.commit()
        # A copy of one file is whole only without a log beside it.
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


def changed(indexed: Path, folder: Path, *statements: str) -> Path:
    copy = folder / "copy.db"
    shutil.copy(indexed, copy)
    with closing(sqlite3.connect(copy)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
        connection.commit()
    return copy


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM journal_facet WHERE value = 'ada'",
        "DELETE FROM journal_facet WHERE facet = 'correlation' AND block = 2",
        "UPDATE journal_facet SET value = 'eve' WHERE value = 'bob' AND block = 1",
        "UPDATE journal_facet SET block = 99 WHERE value = 'bob' AND block = 1",
        "DELETE FROM journal_block WHERE block = 1",
        "UPDATE journal_block SET latest_ns = latest_ns - 1 WHERE block = 2",
        "UPDATE journal_block SET highest_id = lowest_id WHERE block = 1",
        "UPDATE journal_block SET last = last - 1 WHERE block = 1",
        "INSERT INTO journal_block SELECT 9, tenant, 9000, 9001, earliest_ns, latest_ns, lowest_id, highest_id "
        "FROM journal_block WHERE block = 1",
    ],
)
async def test_an_index_that_does_not_fit_is_reported(indexed: Path, tmp_path: Path, statement: str) -> None:
    """Each change of the index alone that hides records from listings, fails verification; the file as it is holds."""
    assert (await verify_file(changed(indexed, tmp_path))).ok
    verified = await verify_file(changed(indexed, tmp_path, statement))
    assert not verified.ok
    assert "index" in verified.problem


async def test_a_chain_cut_short_is_seen_by_a_head_that_was_kept(indexed: Path, tmp_path: Path) -> None:
    """Who drops the newest records and the count of them is found out by the head of an earlier check alone."""
    whole = await verify_file(indexed)
    cut = changed(
        indexed,
        tmp_path,
        f"DELETE FROM journal WHERE position > {RECORDS - 7}",
        f"UPDATE sqlite_sequence SET seq = {RECORDS - 7} WHERE name = 'journal'",
    )
    assert (await verify_file(cut)).ok
    assert (await verify_file(indexed, whole.heads)).ok
    refused = await verify_file(cut, whole.heads)
    assert not refused.ok
    assert "ends before" in refused.problem
    # A head from the middle of the chain is as good, and another chain's is not.
    middle = (await verify_file(cut)).heads
    assert (await verify_file(indexed, middle)).ok
    other = [ChainHead(head.node, head.seq, head.id, "00" * 32) for head in middle]
    assert "another one" in (await verify_file(indexed, other)).problem
