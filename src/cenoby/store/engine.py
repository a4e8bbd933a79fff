"""What the store asks of a database engine, and what its own functions are given of one.

A function that runs inside `Database.write` or `Database.read` gets a `Connection` and knows of no engine. Statements
are SQL that both dialects take, with `?` or `:name` for values; where they must differ, the connection's `dialect` says
which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Protocol

Dialect = Literal["sqlite", "postgresql"]
Meaning = Literal["refused", "unavailable", "doubtful"]
"""A statement was at fault; the database's present state is; or a commit may have come to pass, and nobody can say."""
Parameters = Sequence[Any] | Mapping[str, Any]


class Cursor(Protocol):
    """The rows that a statement gave, and how many it changed."""

    @property
    def rowcount(self) -> int:
        """Rows that one statement inserted, changed or removed."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """One connection, for as long as the function that was given it runs."""

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks."""
        ...

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for each set of values."""
        ...


class Failure(NamedTuple):
    """Why an item was not written: an error of its own, or the one that undid its whole batch."""

    error: BaseException
    of_batch: bool


class Session(Protocol):
    """A connection with its transactions; one thread at a time uses it. Each method may raise the engine's failures."""

    @property
    def connection(self) -> Connection:
        """What functions are given."""
        ...

    def begin(self, *, alone: bool = False) -> None:
        """Begin a transaction; `alone` keeps every other such one out until it ends, in all processes."""
        ...

    def commit(self) -> None:
        """End it; what it wrote is on disk."""
        ...

    def rollback(self) -> bool:
        """Undo it, where one is under way; False where the session is of no further use."""
        ...

    def attempt(self, work: Callable[[Connection], Any]) -> Any:
        """Run `work`; where it raises, undo only what it did and return the `Failure`.

        Raises:
            BaseException: what `work` raised, where the whole transaction is gone with it.
        """
        ...

    def close(self) -> None:
        """Let it go."""
        ...


class Engine(Protocol):
    """A kind of database, and one database of it."""

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks."""
        ...

    @property
    def place(self) -> str:
        """What messages call the database; holds no credentials."""
        ...

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What it raises."""
        ...

    @property
    def readers(self) -> int:
        """How many threads read."""
        ...

    def meaning(self, error: BaseException) -> Meaning:
        """What one of `failures` says."""
        ...

    def prepare(self) -> None:
        """Make the database where that is ours to do, and bring its schema up.

        Raises:
            MigrationFailed: it is no database of ours, or of a newer Cenoby.
            OSError: it cannot be made or reached.
        """
        ...

    def open_writer(self) -> Session:
        """A session that writes: each commit is on disk before it returns."""
        ...

    def open_reader(self) -> Session:
        """A session that only reads; each of its transactions sees one snapshot."""
        ...

    def snapshot(self) -> AbstractContextManager[Connection]:
        """A connection of its own that sees one snapshot, for reading all there is; makes nothing."""
        ...
