"""SQLite as the store's engine: one file, write-ahead log, a sync of it before every COMMIT returns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from cenoby.store.engine import Connection, Dialect, Failure, Meaning
from cenoby.store.migrate import bring_up

# Pages; at 4 KiB each about 16 MiB, so that one commit in some hundreds pays for a checkpoint.
_CHECKPOINT_PAGES = 4000
_REFUSALS = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.NotSupportedError,
)


class SqliteConnection(sqlite3.Connection):
    """The driver's connection as it is, which also says its dialect."""

    dialect: Dialect = "sqlite"


class SqliteSession:
    """One connection to the file.

    Args:
        connection: in autocommit mode.
        begin: how its transactions begin.
    """

    def __init__(self, connection: SqliteConnection, begin: str) -> None:
        self.connection: Final = connection
        self._begin = begin

    def begin(self, *, alone: bool = False) -> None:
        """As in `Session`; the file has one writer at a time in any case."""
        self.connection.execute(self._begin)

    def commit(self) -> None:
        """As in `Session`."""
        self.connection.execute("COMMIT")

    def rollback(self) -> bool:
        """As in `Session`."""
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            # A connection that cannot roll back is of no use; closing it does.
            return False
        return True

    def attempt(self, work: Callable[[Connection], Any]) -> Any:
        """As in `Session`."""
        connection = self.connection
        connection.execute("SAVEPOINT job")
        try:
            result = work(connection)
        except BaseException as error:
            if not connection.in_transaction:
                # SQLite itself gave up the transaction (disk full, I/O): all of the batch is gone.
                raise
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return Failure(error, of_batch=False)
        connection.execute("RELEASE job")
        return result

    def close(self) -> None:
        """As in `Session`."""
        self.connection.close()


class SqliteEngine:
    """A database file.

    Args:
        path: the file; its directory exists. It is made for its owner only (mode 0600).
    """

    dialect: Dialect = "sqlite"
    failures: tuple[type[Exception], ...] = (sqlite3.Error,)
    readers = 2

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)

    def meaning(self, error: BaseException) -> Meaning:
        """As in `Engine`."""
        return "refused" if isinstance(error, _REFUSALS) else "unavailable"

    def prepare(self) -> None:
        """As in `Engine`."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        bring_up(self.path)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    def open_writer(self) -> SqliteSession:
        """As in `Engine`."""
        connection = sqlite3.connect(
            self.path,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
            cached_statements=512,
            factory=SqliteConnection,
        )
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "cache_size = -16000",
            "temp_store = MEMORY",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return SqliteSession(connection, "BEGIN IMMEDIATE")

    def open_reader(self) -> SqliteSession:
        """As in `Engine`."""
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
            factory=SqliteConnection,
        )
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -8000")
        return SqliteSession(connection, "BEGIN")

    @contextmanager
    def snapshot(self) -> Generator[Connection]:
        """As in `Engine`."""
        uri = f"{self.path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, factory=SqliteConnection)) as connection:
            # Text that is no UTF-8 is a change to be reported, not a file that cannot be read.
            connection.text_factory = _lenient_text
            connection.execute("BEGIN")
            yield connection


def _lenient_text(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
