"""What a copy from a SQLite file to PostgreSQL consists of, read off both schemas: no table can be forgotten.

A table that both have with the same columns is copied as it is. The journal has columns of its own on PostgreSQL, taken
from each record's header. What only one side has is an index over other rows, and is named here; anything else that
only one side has is an error before the first row is copied.
"""

# ruff: noqa: S608 - statements are put together from names in our own schema; values are always bound

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import repeat
from typing import Any, NamedTuple

from cenoby.store.chain import header_of
from cenoby.store.engine import Connection
from cenoby.store.migrate import MigrationFailed
from cenoby.store.postgres_journal import column_of
from cenoby.store.postgres_migrate import PROGRESS_TABLE

# PostgreSQL finds records by plain indexes, and remembers each chain's head in a row.
_ONLY_SQLITE = {"journal_block", "journal_facet"}
_ONLY_POSTGRESQL = {"journal_head"}
_BOOKKEEPING = {"alembic_version", PROGRESS_TABLE}


class Along(NamedTuple):
    """An index of the target's own that is filled as the rows under it arrive.

    Attributes:
        table: what is filled, a row for each row of `rows_of`.
        rows_of: the table whose rows it finds.
        write: adds rows of `rows_of`, each by its columns' names, to `table`.
    """

    table: str
    rows_of: str
    write: Callable[[Connection, Sequence[Mapping[str, Any]]], None]


class Way(NamedTuple):
    """How the rows of one table get across.

    Attributes:
        table: its name on both sides.
        select: reads rows from the SQLite file, without condition and order; the columns of the key come first.
        columns: names of what it reads.
        key: the columns by which rows are ordered, as the statement writes them.
        insert: writes one row to PostgreSQL.
        values: what a row that was read is written as.
    """

    table: str
    select: str
    columns: Sequence[str]
    key: Sequence[str]
    insert: str
    values: Callable[[Sequence[Any]], Sequence[Any]]


def plan(source: Connection, target: Connection, along: Sequence[Along]) -> list[Way]:
    """All tables in an order in which each follows those that its rows refer to.

    Args:
        source: the SQLite file, at the newest revision.
        target: the PostgreSQL schema, at the newest revision.
        along: how the target's indexes are filled.

    Raises:
        MigrationFailed: store_copy_unplanned: a table is on one side alone, or its columns differ.
    """
    here, there = _columns_here(source), columns_there(target)
    own = _ONLY_POSTGRESQL | {one.table for one in along}
    alone = (here.keys() - there.keys() - _ONLY_SQLITE) | (there.keys() - here.keys() - own)
    common = here.keys() & there.keys() - _SPECIAL.keys()
    unlike = {table for table in common if set(here[table]) != there[table].keys()}
    keyless = {table for table in common if not any(here[table].values())}
    if left := sorted(alone | unlike | keyless):
        raise MigrationFailed(
            "store_copy_unplanned",
            f"Nobody said how {', '.join(left)} is copied to PostgreSQL; say it in store/copy_plan.py.",
        )
    ways = {table: _as_it_is(table, here[table], there[table]) for table in common} | dict(_SPECIAL)
    order = TopologicalSorter({table: _referred(target, table) & ways.keys() for table in sorted(ways)})
    return [ways[table] for table in order.static_order()]


def columns_there(target: Connection) -> dict[str, dict[str, str]]:
    """The tables of the schema but those of its own upkeep: the type of each column."""
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in target.execute(_COLUMNS_THERE):
        tables.setdefault(table, {})[column] = kind
    return {table: columns for table, columns in tables.items() if table not in _BOOKKEEPING}


def _columns_here(source: Connection) -> dict[str, dict[str, int]]:
    """The tables of the file but those of its own upkeep: each column's place in the primary key, 0 for none."""
    made = {name: sql.upper().startswith("CREATE VIRTUAL") for name, sql in source.execute(_TABLES_HERE)}
    # A search index stands on tables of its own, which are named after it.
    plain = [name for name, virtual in made.items() if not virtual and not made.get(name.rpartition("_")[0])]
    return {
        name: {row[1]: row[5] for row in source.execute(f"PRAGMA table_info({name})")}
        for name in plain
        if name not in _BOOKKEEPING
    }


def _referred(target: Connection, table: str) -> set[str]:
    return {name for (name,) in target.execute(_REFERRED, (table,))} - {table}


def _as_it_is(table: str, here: Mapping[str, int], there: Mapping[str, str]) -> Way:
    key = sorted((name for name in here if here[name]), key=here.__getitem__)
    columns = [*key, *(name for name in here if not here[name])]
    change = [_CHANGES.get(there[name], _same) for name in columns]

    def values(row: Sequence[Any]) -> Sequence[Any]:
        return [None if one is None else to(one) for to, one in zip(change, row, strict=True)]

    return Way(table, f"SELECT {', '.join(columns)} FROM {table}", columns, key, _insert(table, columns), values)


def _insert(table: str, columns: Sequence[str]) -> str:
    # Places in the journal and numbers of rows stay what they are, also where the database would give them.
    places = ", ".join(repeat("?", len(columns)))
    return f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE VALUES ({places})"


def _same(value: Any) -> Any:
    return value


# SQLite has neither truth values nor a text that could not hold a NUL.
_CHANGES: Mapping[str, Callable[[Any], Any]] = {"text": column_of, "boolean": bool, "double precision": float}


def _record(row: Sequence[Any]) -> Sequence[Any]:
    position, tenant, seq, text, linked = row
    header = header_of(text, f"position {position}")
    found_by = (header[2], header[4], *map(column_of, (*header[5:9], header[12], header[13])), header[10] != "")
    return (header[1], seq, position, column_of(tenant), *found_by, text, linked)


def _payload(row: Sequence[Any]) -> Sequence[Any]:
    _, node, seq, tenant, salted = row
    return node, seq, column_of(tenant), salted


_RECORD = (
    "node", "seq", "position", "tenant", "id", "time_ns", "kind", "agent", "mad", "tool", "code", "correlation",
    "decided", "header", "hash",
)  # fmt: skip
_SPECIAL: Mapping[str, Way] = {
    "journal": Way(
        "journal",
        "SELECT position, tenant, seq, header, hash FROM journal",
        ("position", "tenant", "seq", "header", "hash"),
        ("position",),
        _insert("journal", _RECORD),
        _record,
    ),
    "journal_payload": Way(
        "journal_payload",
        "SELECT p.position, r.node, r.seq, p.tenant, p.salted"
        " FROM journal_payload p JOIN journal_record r ON r.position = p.position",
        ("position", "node", "seq", "tenant", "salted"),
        ("p.position",),
        _insert("journal_payload", ("node", "seq", "tenant", "salted")),
        _payload,
    ),
}
_TABLES_HERE = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
_COLUMNS_THERE = """
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""
_REFERRED = """
    SELECT other.relname FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
    JOIN pg_class other ON other.oid = f.confrelid
    WHERE f.contype = 'f' AND c.relname = ? AND c.relnamespace = to_regnamespace(current_schema())
"""
