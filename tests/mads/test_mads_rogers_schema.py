"""The tables of the conversations: made, dropped, and each with its tenant."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cenoby.store.migrate import migrate

TABLES = {
    "conversations", "conversation_participants", "conversation_messages", "conversation_topics",
    "conversation_mentions", "conversation_search",
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "colony.db"
    migrate(path, "0004_conversations")
    return path


def objects(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'conversation%'")
        return {name for (name,) in rows}


def test_the_tables_come_and_go(file: Path) -> None:
    """Down takes every table, index and trigger away, and up brings the same back."""
    made = objects(file)
    assert made >= TABLES
    migrate(file, "0003_vault")
    assert objects(file) == set()
    migrate(file, "0004_conversations")
    assert objects(file) == made


def test_down_takes_messages_with_it(file: Path) -> None:
    """That messages cannot be deleted does not keep the schema from going back."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO conversations (position, id, tenant, name, creator, private, tags, metadata, created_ns)"
            " VALUES (1, 'c', 'default', 'n', 'ann', 0, '[]', '{}', 1)"
        )
        connection.execute(
            "INSERT INTO conversation_messages (id, tenant, conversation, seq, sender, content, tags, mentions,"
            " acknowledgement, correlation, time_ns) VALUES ('m', 'default', 1, 1, 'ann', 'x', '[]', '[]', 0, '', 1)"
        )
    migrate(file, "0003_vault")
    assert objects(file) == set()


def test_every_table_says_whose_its_rows_are(file: Path) -> None:
    """Each table has a tenant column."""
    with closing(sqlite3.connect(file)) as connection:
        for table in TABLES:
            assert "tenant" in {column[1] for column in connection.execute(f"PRAGMA table_info({table})")}
