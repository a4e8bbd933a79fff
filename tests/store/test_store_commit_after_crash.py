"""What became of a commit that a crash of PostgreSQL cut off."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cenoby.store.connect import engine_for
from cenoby.store.postgres_connection import PostgresFailure
from faults.postgres import PrivatePostgres, private_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    with tempfile.TemporaryDirectory() as folder:
        # PostgreSQL does not run as root, and its own user must get to its folder.
        Path(folder).chmod(0o711)
        with private_postgres(Path(folder) / "postgres") as running:
            yield running


@pytest.mark.slow
@pytest.mark.parametrize("others", [0, 50])
def test_a_number_that_went_to_another_transaction_is_not_believed(server: PrivatePostgres, others: int) -> None:
    """A crash forgets the numbers of transactions that never reached its log, and gives them out again.

    What another transaction did with the number says nothing about the one that was cut off: that is undone, or
    doubtful, and never taken for done.
    """
    engine: Any = engine_for(server.new_url(), Path())
    with engine._connected("") as connection:
        connection.script("CREATE TABLE marks (mark TEXT)")
        connection.script("CHECKPOINT")
    writer = engine.open_writer()
    writer.begin()
    writer.connection.execute("INSERT INTO marks VALUES (?)", ("ours",))
    server.crash()
    server.start()
    with engine._connected("") as connection:
        for _ in range(others):
            connection.execute("INSERT INTO marks VALUES (?)", ("another",))
    with pytest.raises(PostgresFailure) as failed:
        writer.commit()
    with engine._connected("") as connection:
        assert connection.execute("SELECT count(*) FROM marks WHERE mark = 'ours'").fetchone()[0] == 0
    assert failed.value.meaning == ("doubtful" if others else "unavailable")
    writer.close()
