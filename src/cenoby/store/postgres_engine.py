"""PostgreSQL (13 or newer) as the store's engine; several processes may share the database.

A transaction that runs functions takes an advisory lock first, so that such transactions follow one another in all
processes, as they do in a SQLite file: what a function read still holds when it writes. Journal records need no lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from cenoby.store.engine import Connection, Dialect, Failure, Meaning
from cenoby.store.postgres_address import PostgresAddress
from cenoby.store.postgres_connection import PostgresConnection, PostgresFailure
from cenoby.store.postgres_migrate import bring_up, refuse_unfinished_copy

_LOCK = "pg_advisory_xact_lock(1130262383, hashtext(current_schema()))"
# A commit that nobody waits for is no commit; a process that froze must not keep the lock.
_WRITER = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';"
    "SET idle_in_transaction_session_timeout = '60s';"
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    # The first changes with every start of the server, the second where it recovers from a crash.
    "SELECT set_config('cenoby.server_start', CAST(pg_postmaster_start_time() AS TEXT), false),"
    " set_config('cenoby.last_crash', CAST(stats_reset AS TEXT), false) FROM pg_stat_bgwriter"
)
_LIFE = "current_setting('cenoby.server_start'), current_setting('cenoby.last_crash')"
# A number that the server has not given out is no error here: no status.
_WHAT_BECAME = """SELECT CASE WHEN number < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(number) END,
    current_setting('cenoby.server_start'), current_setting('cenoby.last_crash')
    FROM (SELECT CAST(CAST(? AS TEXT) AS xid8) AS number) AS ours"""
# Held as long as the writing connection lives; a connection that broke may take the server some moments to notice.
_CLAIM = """;SET lock_timeout = '3s'; DO $$ BEGIN
    PERFORM pg_advisory_lock(1130262385, hashtext(current_schema() || ' {node}'));
    EXCEPTION WHEN lock_not_available THEN RAISE EXCEPTION 'another process is node {node} of this database';
END $$; SET lock_timeout = 0"""
_READER = "SET idle_in_transaction_session_timeout = '10min'"
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_DOUBT_SECONDS = 8.0
"""So long it is tried to find out what became of a commit."""
_PAUSE_SECONDS = 0.2


class PostgresReader:
    """A session whose transactions see one snapshot each.

    Args:
        connection: connected.
    """

    def __init__(self, connection: PostgresConnection) -> None:
        self.connection = connection

    def begin(self, *, alone: bool = False) -> None:
        """As in `Session`. Nothing was asked of a lost connection yet, so another one takes its place."""
        if self.connection.lost:
            self.connection.connect()
        try:
            self._begin(alone)
        except PostgresFailure:
            if not self.connection.lost:
                raise
            self.connection.connect()
            self._begin(alone)

    def _begin(self, alone: bool) -> None:
        self.connection.script(_SNAPSHOT)

    def commit(self) -> None:
        """As in `Session`."""
        self.rollback()

    def rollback(self) -> bool:
        """As in `Session`."""
        try:
            if self.connection.in_transaction:
                self.connection.script("ROLLBACK")
        except PostgresFailure:
            self.connection.drop()
        return True

    def attempt(self, work: Callable[[Connection], Any]) -> Any:
        """As in `Session`."""
        return work(self.connection)

    def close(self) -> None:
        """As in `Session`."""
        self.connection.close()


class PostgresWriter(PostgresReader):
    """A session that writes."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection)
        self._transaction = ""
        self._life = ("", "")
        self._savepoint = False

    def _begin(self, alone: bool) -> None:
        self._savepoint = False
        self.connection.script(_BEGIN)
        what = f"CAST(pg_current_xact_id() AS TEXT), {_LIFE}{f', {_LOCK}' if alone else ''}"
        self._transaction, start, crash = self.connection.execute(f"SELECT {what}").fetchone()[:3]
        self._life = start, crash

    def commit(self) -> None:
        """As in `Session`. Where no good answer comes, the server is asked on another connection what became of it."""
        try:
            tag = self.connection.script("COMMIT")
        except PostgresFailure as failure:
            if not self._committed():
                raise PostgresFailure(f"{failure}; it was undone", "unavailable") from failure
        else:
            if tag != "COMMIT":
                raise PostgresFailure("a statement had failed, so all was undone", "unavailable")

    def attempt(self, work: Callable[[Connection], Any]) -> Any:
        """As in `Session`."""
        connection = self.connection
        connection.script("RELEASE SAVEPOINT job; SAVEPOINT job" if self._savepoint else "SAVEPOINT job")
        self._savepoint = True
        try:
            return work(connection)
        except BaseException as error:
            if not connection.in_transaction:
                raise
            connection.script("ROLLBACK TO SAVEPOINT job")
            return Failure(error, of_batch=False)

    def _committed(self) -> bool:
        until = time.monotonic() + _DOUBT_SECONDS
        while time.monotonic() < until:
            try:
                self.connection.connect()
                status, start, crash = self.connection.execute(_WHAT_BECAME, (self._transaction,)).fetchone()
            except PostgresFailure:
                time.sleep(_PAUSE_SECONDS)
                continue
            if status == "committed" and crash == self._life[1]:
                return True
            if status == "committed":
                # A crash forgets numbers that had not reached the log, and gives them to other transactions.
                break
            if status == "aborted" or start != self._life[0]:
                return False
            time.sleep(_PAUSE_SECONDS)
        raise PostgresFailure("whether it came to pass is not known", "doubtful")


class PostgresEngine:
    """A database, and in it the schema that is first on the search path.

    Args:
        address: where it is, and who we are there.
        node: which node we are, letters, digits and hyphens; no other process may write as that one. Empty: none.
    """

    dialect: Dialect = "postgresql"
    failures: tuple[type[Exception], ...] = (PostgresFailure,)
    readers = 4

    def __init__(self, address: PostgresAddress, node: str = "") -> None:
        self._address = address
        self._claim = _CLAIM.format(node=node) if node else ""
        self.place = address.place

    def meaning(self, error: BaseException) -> Meaning:
        """As in `Engine`."""
        return error.meaning if isinstance(error, PostgresFailure) else "unavailable"

    def prepare(self, *, to_copy: bool = False) -> None:
        """As in `Engine`; the database itself is there, and its owner is who we are.

        A schema with a copy that is not whole is refused, unless it is `to_copy` that we came.
        """
        with self._connected("") as connection:
            if not to_copy:
                refuse_unfinished_copy(connection, self.place)
            bring_up(connection, self.place)

    def open_writer(self) -> PostgresWriter:
        """As in `Engine`."""
        return PostgresWriter(self._connect(_WRITER + self._claim))

    def open_reader(self) -> PostgresReader:
        """As in `Engine`."""
        return PostgresReader(self._connect(_READER))

    @contextmanager
    def snapshot(self) -> Generator[Connection]:
        """As in `Engine`."""
        with self._connected("") as connection:
            connection.script(_SNAPSHOT)
            yield connection

    @contextmanager
    def _connected(self, setup: str) -> Generator[PostgresConnection]:
        connection = self._connect(setup)
        try:
            yield connection
        finally:
            connection.close()

    def _connect(self, setup: str) -> PostgresConnection:
        connection = PostgresConnection(self._address.options, setup)
        try:
            connection.connect()
        except PostgresFailure:
            connection.close()
            raise
        return connection
