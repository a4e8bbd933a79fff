"""A connection to PostgreSQL as the store's functions use it: synchronous, on whatever thread it was given to.

The driver is asynchronous, so each connection has an event loop of its own, which runs while a statement does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from cenoby.store.engine import Dialect, Meaning, Parameters
from cenoby.store.postgres_sql import bound, numbered

_driver: Any = asyncpg
_CONNECT_SECONDS = 10
_STATEMENT_SECONDS = 60
_MOST_STATEMENTS = 512
# Classes of SQLSTATE that speak of the statement: data, integrity, what a trigger raised, syntax and rights.
_REFUSALS = ("22", "23", "42", "P0")


class PostgresFailure(Exception):
    """The database could not, or would not; the message holds neither credentials nor rows."""

    def __init__(self, message: str, meaning: Meaning) -> None:
        super().__init__(message)
        self.meaning: Meaning = meaning


class PostgresCursor:
    """All rows of a statement; they came with its answer."""

    def __init__(self, rows: Sequence[tuple[Any, ...]], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        """As in `Cursor`."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """As in `Cursor`."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class PostgresConnection:
    """One connection, made again by `connect` after it was lost.

    Args:
        options: what the driver connects with.
        setup: statements for every new connection.
    """

    dialect: Dialect = "postgresql"

    def __init__(self, options: Mapping[str, Any], setup: str) -> None:
        self._options = options
        self._setup = setup
        self._loop = asyncio.new_event_loop()
        self._raw: Any = None
        self._statements: dict[str, Any] = {}

    @property
    def lost(self) -> bool:
        """Whether the connection is gone; looks at what the server said since."""
        if self._raw is not None and not self._raw.is_closed():
            self._loop.run_until_complete(asyncio.sleep(0))
        return self._raw is None or self._raw.is_closed()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is under way, be it a failed one."""
        return not self.lost and bool(self._raw.is_in_transaction())

    def connect(self) -> None:
        """Connect, or connect again.

        Raises:
            PostgresFailure: the database is not there, or does not let us in.
        """
        self.drop()
        self._raw = self._run(
            _driver.connect(
                **self._options, timeout=_CONNECT_SECONDS, command_timeout=_STATEMENT_SECONDS, statement_cache_size=0
            )
        )
        if self._setup:
            self.script(self._setup)

    def script(self, sql: str) -> str:
        """Run statements without values, in one go; the tag of the last one, such as `COMMIT`."""
        return self._run(self._there().execute(sql))

    def execute(self, sql: str, parameters: Parameters = (), /) -> PostgresCursor:
        """As in `Connection`."""
        text, values = bound(sql, parameters)
        statement = self._prepared(text)
        rows = self._run(statement.fetch(*values))
        tag = statement.get_statusmsg().rpartition(" ")[2]
        return PostgresCursor([tuple(row) for row in rows], int(tag) if tag.isdecimal() else -1)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> PostgresCursor:
        """As in `Connection`; all sets of values travel at once."""
        values = list(parameters)
        if values:
            self._run(self._prepared(numbered(sql)[0]).executemany(values))
        return PostgresCursor((), -1)

    def drop(self) -> None:
        """Let the connection go without a word."""
        self._statements.clear()
        if self._raw is not None:
            self._raw.terminate()
            self._raw = None
            self._loop.run_until_complete(asyncio.sleep(0))

    def close(self) -> None:
        """Say good-bye, and end for good."""
        if self._loop.is_closed():
            return
        if not self.lost:
            try:
                self._run(self._raw.close(timeout=2))
            except PostgresFailure:
                self.drop()
        else:
            self.drop()
        self._loop.close()

    def _there(self) -> Any:
        if self._raw is None:
            raise PostgresFailure("the connection is lost", "unavailable")
        return self._raw

    def _prepared(self, text: str) -> Any:
        statement = self._statements.get(text)
        if statement is None:
            if len(self._statements) >= _MOST_STATEMENTS:
                self._statements.clear()
            statement = self._statements[text] = self._run(self._there().prepare(text))
        return statement

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self._loop.run_until_complete(work)
        except TimeoutError as error:
            raise PostgresFailure("no answer in time", "unavailable") from error
        except (_driver.PostgresError, _driver.InterfaceError, _driver.InternalClientError, OSError) as error:
            # The schema may have moved under a prepared statement; those that come are prepared anew.
            self._statements.clear()
            raise _failure(error) from error


def _failure(error: Exception) -> PostgresFailure:
    # Only the message: the detail of an error may quote rows.
    message = str(error.args[0] if error.args and isinstance(error.args[0], str) else error).strip().rstrip(".")
    state = getattr(error, "sqlstate", None) or ""
    refused = isinstance(error, _driver.DataError | _driver.exceptions.DataError) or state[:2] in _REFUSALS
    return PostgresFailure(message or type(error).__name__, "refused" if refused else "unavailable")
