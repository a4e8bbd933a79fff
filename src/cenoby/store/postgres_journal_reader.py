"""Reading the journal on PostgreSQL: its indexes find records, and their headers say what they are."""

from __future__ import annotations

from typing import Any

import msgspec

from cenoby.store.chain import FIRST_PREV_HASH
from cenoby.store.engine import Connection
from cenoby.store.journal_counts import NOT_COUNTED, CallCount
from cenoby.store.journal_index import FACETS
from cenoby.store.journal_reader import JournalPage, JournalQuery, Record
from cenoby.store.journal_writer import RecordRef
from cenoby.store.postgres_journal import column_of

_SALT_BYTES = 16
_SELECT = "SELECT position, seq, hash, header FROM journal"


def read_page(connection: Connection, query: JournalQuery) -> JournalPage:
    """The page that `query` asks for."""
    conditions, values = _conditions(query)
    order = "DESC" if query.newest_first else "ASC"
    rows = connection.execute(
        f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY position {order} LIMIT ?", (*values, query.limit + 1)
    )
    found = [_record(row) for row in rows]
    if len(found) > query.limit:
        return JournalPage(found[: query.limit], str(found[query.limit - 1].position))
    return JournalPage(found, "")


def read_record(connection: Connection, record_id: str) -> Record | None:
    """One record with payload and the hash it continues."""
    row = connection.execute(f"{_SELECT} WHERE id = ?", (column_of(record_id),)).fetchone()
    if row is None:
        return None
    record = _record(row)
    before = connection.execute(
        "SELECT hash FROM journal WHERE node = ? AND seq = ?", (record.node, record.seq - 1)
    ).fetchone()
    salted = connection.execute(
        "SELECT salted FROM journal_payload WHERE node = ? AND seq = ?", (record.node, record.seq)
    ).fetchone()
    return msgspec.structs.replace(
        record,
        prev_hash=(before[0] if before else FIRST_PREV_HASH).hex(),
        payload=msgspec.msgpack.decode(salted[0][_SALT_BYTES:]) if salted else None,
    )


def read_head(connection: Connection, node: str) -> RecordRef | None:
    """The last record of a node."""
    row = connection.execute(f"{_SELECT} WHERE node = ? ORDER BY seq DESC LIMIT 1", (node,)).fetchone()
    return RecordRef(row[1], _record(row).id, row[2].hex()) if row else None


def open_intents(connection: Connection, node: str) -> list[Record]:
    """Intents of a node whose call has no outcome, since its last clean stop; those of other nodes may be under way."""
    (stop,) = connection.execute(
        "SELECT coalesce(max(seq), 0) FROM journal WHERE node = ? AND code = 'colony_stopped' AND kind = 'event'",
        (node,),
    ).fetchone()
    rows = connection.execute(
        f"{_SELECT} WHERE node = ? AND seq > ? AND kind IN ('intent', 'outcome') ORDER BY seq", (node, stop)
    )
    pending: dict[str, Record] = {}
    for row in rows:
        record = _record(row)
        if record.kind == "intent":
            pending[record.invocation] = record
        else:
            pending.pop(record.invocation, None)
    return list(pending.values())


def count_calls(connection: Connection, since_ns: int) -> list[CallCount]:
    """Calls since then by agent, tool and tenant; each has exactly one record that carries its decision. What a limit
    refused is none of them."""
    rows = connection.execute(
        "SELECT agent, mad, count(*), tool, tenant FROM journal WHERE time_ns >= ? AND decided AND agent <> ''"
        " AND code NOT IN (?, ?, ?, ?) GROUP BY agent, mad, tool, tenant",
        (since_ns, *NOT_COUNTED),
    )
    return [CallCount(*row) for row in rows]


def _conditions(query: JournalQuery) -> tuple[list[str], list[Any]]:
    conditions, values = ["TRUE"], list[Any]()
    for field in (*FACETS, "kind"):
        if wanted := getattr(query, field):
            conditions.append(f"{field} = ?")
            values.append(column_of(wanted))
    if query.tenant is not None:
        conditions.append("tenant IN (?, '')")
        values.append(column_of(query.tenant))
    for condition, bound in (("time_ns >= ?", query.since_ns), ("time_ns < ?", query.until_ns)):
        if bound is not None:
            conditions.append(condition)
            values.append(bound)
    if query.cursor:
        conditions.append("position < ?" if query.newest_first else "position > ?")
        # A cursor that is not ours means the page after the last one, which is empty.
        values.append(int(query.cursor) if query.cursor.isdecimal() and len(query.cursor) < 19 else 0)
    return conditions, values


def _record(row: tuple[Any, ...]) -> Record:
    position, seq, linked, header = row
    return Record(position, seq, linked.hex(), *msgspec.json.decode(header)[1:])
