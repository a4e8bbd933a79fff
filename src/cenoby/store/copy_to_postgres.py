"""Copying a colony from its SQLite file to PostgreSQL, so that it can be killed at any point and run again.

Each batch of rows travels in one transaction with how far the copy is (the one row of `store_copy`), so a later run
goes on behind the last batch that was committed. That table also keeps colonies away from a copy that is not whole: the
engine refuses a database that has it. It goes when row counts and the journal's chain were found to be those of the
file. The file itself is only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from cenoby.store import chain, postgres_chain, postgres_migrate
from cenoby.store.chain import ChainHead, Verification
from cenoby.store.copy_plan import Along, Way, columns_there, plan
from cenoby.store.database import StoreUnavailable
from cenoby.store.engine import Connection
from cenoby.store.migrate import MigrationFailed
from cenoby.store.postgres_address import PostgresAddress
from cenoby.store.postgres_engine import PostgresEngine, PostgresWriter
from cenoby.store.postgres_migrate import PROGRESS_TABLE, has_table
from cenoby.store.sqlite_engine import SqliteEngine

BATCH_ROWS = 2000
_BATCH_BYTES = 8 * 1024 * 1024
_CLAIM = "store-copy"
"""As which node the copy writes, so that there is one at a time."""


class Step(NamedTuple):
    """How far a table is: `rows` of `of` are at the far end, on disk."""

    table: str
    rows: int
    of: int


class Copied(msgspec.Struct, frozen=True):
    """A copy that was checked.

    Attributes:
        tables: rows of each table, the same on both sides.
        records: journal records, all verified at the far end.
        heads: the end of each node's chain, the same on both sides.
        resumed: whether an earlier run had copied some of it.
    """

    tables: dict[str, int]
    records: int
    heads: tuple[ChainHead, ...]
    resumed: bool


class _Place(msgspec.Struct):
    """Behind which key a table goes on, and how many rows are before it."""

    after: tuple[Any, ...] = ()
    rows: int = 0


class _Progress(msgspec.Struct):
    """Whose copy it is (`colony`: the first record's hash), of which state of it, and how far."""

    colony: str
    state: str
    tables: dict[str, _Place] = {}


def copy_to_postgres(
    source: SqliteEngine,
    address: PostgresAddress,
    along: Sequence[Along],
    told: Callable[[Step], None],
    *,
    batch_rows: int = BATCH_ROWS,
) -> Copied:
    """Copy all there is, or go on with a copy that was interrupted, and check it; blocks.

    Where the colony ran on since an interrupted copy, that copy is thrown away and begun anew.

    Args:
        source: the file; its colony does not run. Its schema is brought up first, as a start would.
        address: of an empty schema, or one with an interrupted copy of the same colony.
        along: how the target's own indexes are filled.
        told: called after each batch.
        batch_rows: most rows of a transaction.

    Raises:
        MigrationFailed: there is nothing to copy, the target holds something else, or the copy does not hold.
        StoreUnavailable: one of the databases failed; run it again.
    """
    target = PostgresEngine(address, _CLAIM)
    try:
        source.prepare()
        with source.snapshot() as here:
            found = _verified(here)
            target.prepare(to_copy=True)
            writer = target.open_writer()
            try:
                return _Copy(here, writer, found, target.place, along).run(told, batch_rows)
            finally:
                writer.close()
    except (OSError, *source.failures, *target.failures) as error:
        raise StoreUnavailable(
            "store_failed", f"The copy stopped: {error}. Mend that and run it again: it goes on where it was."
        ) from error


def _verified(here: Connection) -> Verification:
    found = chain.verify_chain(here)
    if not found.ok:
        raise MigrationFailed(
            "store_copy_broken", f"The journal in the file does not hold ({found.problem}); nothing was copied."
        )
    if not found.records:
        raise MigrationFailed("store_copy_empty", "The file holds no colony that ever ran; start one with the new URL.")
    return found


class _Copy:
    """One run.

    Args:
        here: the file.
        writer: the target.
        found: the file's journal.
        place: what messages call the target.
        along: as above.
    """

    def __init__(
        self, here: Connection, writer: PostgresWriter, found: Verification, place: str, along: Sequence[Along]
    ) -> None:
        self._here = here
        self._writer = writer
        self._found = found
        self._place = place
        self._along = along
        self._ways = plan(here, writer.connection, along)
        self._counts = {way.table: _count(here, way.table) for way in self._ways}

    def run(self, told: Callable[[Step], None], batch_rows: int) -> Copied:
        progress = self._begin()
        resumed = bool(progress.tables)
        for way in self._ways:
            self._copy(way, progress, told, batch_rows)
        self._in_transaction(self._complete)
        self._check()
        # From here on a colony may start there.
        self._in_transaction(lambda there: there.execute(f"DROP TABLE {PROGRESS_TABLE}"))
        return Copied(self._counts, self._found.records, self._found.heads, resumed)

    def _begin(self) -> _Progress:
        (first,) = self._here.execute("SELECT hash FROM journal WHERE position = 1").fetchone()
        ours = _Progress(first.hex(), self._state())
        kept = self._in_transaction(lambda there: self._enter(there, ours))
        if kept.state == ours.state:
            return kept
        # What was copied is no longer what is in the file; nobody but an earlier run wrote it.
        for revision in ("base", "head"):
            postgres_migrate.migrate(self._writer.connection, revision, self._place)
        self._in_transaction(lambda there: _keep(there, ours))
        return ours

    def _enter(self, there: Connection, ours: _Progress) -> _Progress:
        if not has_table(there, PROGRESS_TABLE):
            full = [table for table in columns_there(there) if there.execute(_ANY.format(table)).fetchone()]
            if full:
                raise self._occupied(f"data in {', '.join(sorted(full)[:5])}")
            there.execute(f"CREATE TABLE {PROGRESS_TABLE} (progress BYTEA NOT NULL)")
            there.execute(_INSERT_PROGRESS, (msgspec.msgpack.encode(ours),))
            return ours
        kept = msgspec.msgpack.decode(there.execute(_PROGRESS).fetchone()[0], type=_Progress)
        if kept.colony != ours.colony:
            raise self._occupied("an unfinished copy of another colony")
        return kept

    def _occupied(self, what: str) -> MigrationFailed:
        return MigrationFailed(
            "store_occupied",
            f"{self._place} holds {what}; name an empty database or schema (?search_path=NAME), or, where that is a "
            "copy that was finished before, just set `store` to it.",
        )

    def _state(self) -> str:
        # A colony that starts on the file journals that, so its journal's end tells one state from another.
        return hashlib.sha256(repr((self._found.heads, sorted(self._counts.items()))).encode()).hexdigest()

    def _copy(self, way: Way, progress: _Progress, told: Callable[[Step], None], batch_rows: int) -> None:
        place = progress.tables.setdefault(way.table, _Place())
        key, beyond = ", ".join(way.key), ""
        if place.after:
            beyond = f" WHERE ({key}) > ({', '.join('?' * len(place.after))})"
        rows = self._here.execute(f"{way.select}{beyond} ORDER BY {key}", place.after)
        for batch in _batches(rows, batch_rows):
            place.after = tuple(batch[-1][: len(way.key)])
            place.rows += len(batch)
            self._in_transaction(lambda there, batch=batch: self._write(there, way, batch, progress))
            told(Step(way.table, place.rows, self._counts[way.table]))

    def _write(self, there: Connection, way: Way, batch: Sequence[Sequence[Any]], progress: _Progress) -> None:
        there.executemany(way.insert, [way.values(row) for row in batch])
        for one in self._along:
            if one.rows_of == way.table:
                one.write(there, [dict(zip(way.columns, row, strict=True)) for row in batch])
        _keep(there, progress)

    def _complete(self, there: Connection) -> None:
        """Heads as the file's journal has them, and numbers that go on behind the file's last."""
        for head in self._found.heads:
            there.execute(_HEAD, (head.node, head.seq, bytes.fromhex(head.hash)))
        given = dict(self._here.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        for table, column in there.execute(_IDENTITIES).fetchall():
            highest = self._here.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()[0]  # noqa: S608
            if last := max(highest, given.get(table, 0)):
                there.execute(_GO_ON, (table, column, last))

    def _check(self) -> None:
        there = self._writer.connection
        wanted = dict(self._counts)
        wanted |= {one.table: wanted[one.rows_of] for one in self._along} | {"journal_head": len(self._found.heads)}
        for table, rows in wanted.items():
            if (count := _count(there, table)) != rows:
                raise self._unlike(f"{table} has {count} rows there and {rows} here")
        self._writer.connection.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = postgres_chain.verify_chain(there, self._found.heads)
        self._writer.rollback()
        if not found.ok:
            raise self._unlike(f"the journal does not hold there ({found.problem})")
        if {*_ends(found.heads)} != {*_ends(self._found.heads)} or found.payloads != self._found.payloads:
            raise self._unlike("the journal ends elsewhere there")

    def _unlike(self, what: str) -> MigrationFailed:
        return MigrationFailed(
            "store_copy_differs",
            f"The copy in {self._place} is not what the file holds: {what}. Somebody else wrote there; empty it, or "
            "name another database, and run this again. No colony starts on it meanwhile.",
        )

    def _in_transaction(self, work: Callable[[Connection], Any]) -> Any:
        self._writer.begin(alone=True)
        try:
            result = work(self._writer.connection)
        except BaseException:
            self._writer.rollback()
            raise
        self._writer.commit()
        return result


def _keep(there: Connection, progress: _Progress) -> None:
    there.execute(f"UPDATE {PROGRESS_TABLE} SET progress = ?", (msgspec.msgpack.encode(progress),))  # noqa: S608


def _count(connection: Connection, table: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - a table of our schema


def _ends(heads: Iterable[ChainHead]) -> Iterator[tuple[str, int, str]]:
    return ((head.node, head.seq, head.hash) for head in heads)


def _batches(rows: Iterable[Sequence[Any]], most: int) -> Iterator[list[Sequence[Any]]]:
    batch: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(one) for one in row if isinstance(one, str | bytes))
        if len(batch) >= most or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_ANY = "SELECT 1 FROM {} LIMIT 1"
_PROGRESS = f"SELECT progress FROM {PROGRESS_TABLE}"  # noqa: S608 - a constant
_INSERT_PROGRESS = f"INSERT INTO {PROGRESS_TABLE} (progress) VALUES (?)"  # noqa: S608
_HEAD = (
    "INSERT INTO journal_head (node, tenant, seq, hash) VALUES (?, '', ?, ?)"
    " ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, hash = excluded.hash"
)
_IDENTITIES = """
    SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind = 'r' AND a.attidentity <> ''
"""
_GO_ON = """
    SELECT setval(CAST(pg_get_serial_sequence(quote_ident(current_schema()) || '.' || quote_ident(?), ?) AS regclass),
        CAST(? AS BIGINT))
"""
