"""The tables of `access`: made, dropped, and each with its tenant."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cenoby.store.migrate import migrate

TABLES = {"agents", "tokens", "approvals", "reservations"}


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_the_tables_come_and_go(fresh_file: Callable[[], Path]) -> None:
    """Down takes exactly these tables away, with their indexes, and up brings them back."""
    file = fresh_file()
    assert tables(file) >= TABLES
    migrate(file, "0001_journal")
    assert not tables(file) & TABLES
    migrate(file, "0002_access")
    assert tables(file) >= TABLES


def test_every_table_says_whose_its_rows_are(fresh_file: Callable[[], Path]) -> None:
    """No table without a tenant that must be given."""
    with closing(sqlite3.connect(fresh_file())) as connection:
        for table in TABLES:
            columns = {name: required for _, name, _, required, *_ in connection.execute(f"PRAGMA table_info({table})")}
            assert columns["tenant"] == 1
