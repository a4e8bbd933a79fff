"""Reading the journal: one record, a page of those that fit, and what a start needs to know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from cenoby.store.chain import FIRST_PREV_HASH
from cenoby.store.engine import Connection
from cenoby.store.journal_counts import NOT_COUNTED, CallCount
from cenoby.store.journal_index import covered_up_to
from cenoby.store.journal_writer import RecordRef

_SALT_BYTES = 16
_FACETS = ("agent", "code", "correlation", "mad", "tool")
_FIELDS = (
    "position, seq, hash, node, id, tenant, time_ns, kind, agent, mad, tool, action, decision, status, code, "
    "correlation, causation, invocation, payload_digest"
)


class Record(msgspec.Struct, frozen=True):
    """One record: its header, its place in the chain, and its payload where that was asked for and not erased."""

    position: int
    seq: int
    hash: str
    node: str
    id: str
    tenant: str
    time_ns: int
    kind: str
    agent: str
    mad: str
    tool: str
    action: str
    decision: str
    status: str
    code: str
    correlation: str
    causation: str
    invocation: str
    payload_digest: str
    prev_hash: str = ""
    payload: Any = None


class JournalQuery(msgspec.Struct, frozen=True):
    """Which records, and in which order.

    Attributes:
        tenant: only of this tenant, and of the colony itself (tenant ``""``); None: of all.
        since_ns, until_ns: only from then on, and only before then, Unix nanoseconds.
        agent, mad, tool, code, correlation, kind: only with this value; empty: any.
        newest_first: the order.
        limit: most records on a page.
        cursor: `next` of the page before; empty for the first.
    """

    tenant: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    agent: str = ""
    mad: str = ""
    tool: str = ""
    code: str = ""
    correlation: str = ""
    kind: str = ""
    newest_first: bool = True
    limit: int = 100
    cursor: str = ""


class JournalPage(msgspec.Struct, frozen=True):
    """Records that fit, and the cursor of the next page; empty on the last."""

    records: list[Record]
    next: str


def read_page(connection: Connection, query: JournalQuery) -> JournalPage:
    """The page that `query` asks for; scans only blocks that can hold such records."""
    found: list[Record] = []
    for first, last in _ranges(connection, query):
        for row in _scan(connection, query, first, last, query.limit + 1 - len(found)):
            found.append(_record(row))
        if len(found) > query.limit:
            return JournalPage(found[: query.limit], str(found[query.limit - 1].position))
    return JournalPage(found, "")


def read_record(connection: Connection, record_id: str) -> Record | None:
    """One record with payload and the hash it continues."""
    for first, last in _ranges_of_id(connection, record_id):
        statement = f"SELECT {_FIELDS} FROM journal_record WHERE id = ? AND position BETWEEN ? AND ?"  # noqa: S608
        row = connection.execute(statement, (record_id, first, last)).fetchone()
        if row is not None:
            return _whole(connection, _record(row))
    return None


def read_head(connection: Connection, node: str) -> RecordRef | None:
    """The last record of a node."""
    statement = "SELECT seq, id, hash FROM journal_record WHERE node = ? ORDER BY position DESC LIMIT 1"
    row = connection.execute(statement, (node,)).fetchone()
    return RecordRef(row[0], row[1], row[2].hex()) if row else None


def open_intents(connection: Connection, node: str) -> list[Record]:
    """Intents whose call has no outcome. Scans back from the end to the last clean stop, or to the beginning.

    Args:
        node: who asks; a file has one owner at a time, so that what others left open in it is its to close, too.
    """
    statement = (
        f"SELECT {_FIELDS} FROM journal_record WHERE position > ? AND (kind IN ('intent', 'outcome')) "  # noqa: S608
        "ORDER BY position"
    )
    pending: dict[str, Record] = {}
    for row in connection.execute(statement, (_last_clean_stop(connection),)):
        record = _record(row)
        if record.kind == "intent":
            pending[record.invocation] = record
        else:
            pending.pop(record.invocation, None)
    return list(pending.values())


def count_calls(connection: Connection, since_ns: int) -> list[CallCount]:
    """Calls since then by agent, tool and tenant; each has exactly one record that carries its decision. What a limit
    refused is none of them."""
    start = (
        connection.execute("SELECT max(last) FROM journal_block WHERE latest_ns < ?", (since_ns,)).fetchone()[0] or 0
    )
    statement = (
        "SELECT agent, mad, count(*), tool, tenant FROM journal_record WHERE position > ? AND time_ns >= ? "
        "AND decision <> '' AND agent <> '' AND code NOT IN (?, ?, ?, ?) GROUP BY agent, mad, tool, tenant"
    )
    return [CallCount(*row) for row in connection.execute(statement, (start, since_ns, *NOT_COUNTED))]


def _last_clean_stop(connection: Connection) -> int:
    statement = (
        "SELECT max(position) FROM journal_record WHERE code = 'colony_stopped' AND kind = 'event' AND position > ?"
    )
    for first, _ in _ranges(connection, JournalQuery(code="colony_stopped", kind="event")):
        found = connection.execute(statement, (first - 1,)).fetchone()[0]
        if found is not None:
            return int(found)
    return 0


def _ranges(connection: Connection, query: JournalQuery) -> Iterator[tuple[int, int]]:
    """Position ranges that can hold what is asked for, in the order asked for."""
    covered = covered_up_to(connection)
    newest = connection.execute("SELECT coalesce(max(position), 0) FROM journal").fetchone()[0]
    blocks = list(_blocks(connection, query))
    fresh = [(covered + 1, newest)] if newest > covered else []
    yield from (fresh + blocks[::-1]) if query.newest_first else (blocks + fresh)


def _blocks(connection: Connection, query: JournalQuery) -> Iterator[tuple[int, int]]:
    conditions, values = ["1"], list[Any]()
    for facet in _FACETS:
        wanted = getattr(query, facet)
        if wanted and facet == "correlation":
            conditions.append(
                "(? BETWEEN lowest_id AND highest_id OR "
                "block IN (SELECT block FROM journal_facet WHERE facet = 'correlation' AND value = ?))"
            )
            values += [wanted, wanted]
        elif wanted:
            conditions.append("block IN (SELECT block FROM journal_facet WHERE facet = ? AND value = ?)")
            values += [facet, wanted]
    for condition, bound in (("latest_ns >= ?", query.since_ns), ("earliest_ns < ?", query.until_ns)):
        if bound is not None:
            conditions.append(condition)
            values.append(bound)
    if query.cursor:
        conditions.append("first < ?" if query.newest_first else "last > ?")
        values.append(_position(query))
    statement = f"SELECT first, last FROM journal_block WHERE {' AND '.join(conditions)} ORDER BY first"  # noqa: S608
    yield from connection.execute(statement, values)


def _scan(connection: Connection, query: JournalQuery, first: int, last: int, most: int) -> Iterator[tuple[Any, ...]]:
    conditions = ["position BETWEEN ? AND ?"]
    values: list[Any] = [first, last]
    for field in (*_FACETS, "kind"):
        if wanted := getattr(query, field):
            conditions.append(f"{field} = ?")
            values.append(wanted)
    if query.tenant is not None:
        conditions.append("tenant IN (?, '')")
        values.append(query.tenant)
    for condition, bound in (("time_ns >= ?", query.since_ns), ("time_ns < ?", query.until_ns)):
        if bound is not None:
            conditions.append(condition)
            values.append(bound)
    if query.cursor:
        conditions.append("position < ?" if query.newest_first else "position > ?")
        values.append(_position(query))
    order = "DESC" if query.newest_first else "ASC"
    statement = (
        f"SELECT {_FIELDS} FROM journal_record WHERE {' AND '.join(conditions)} "  # noqa: S608 - our own columns
        f"ORDER BY position {order} LIMIT ?"
    )
    yield from connection.execute(statement, [*values, most])


def _ranges_of_id(connection: Connection, record_id: str) -> Iterator[tuple[int, int]]:
    covered = covered_up_to(connection)
    newest = connection.execute("SELECT coalesce(max(position), 0) FROM journal").fetchone()[0]
    yield covered + 1, newest
    statement = "SELECT first, last FROM journal_block WHERE ? BETWEEN lowest_id AND highest_id"
    yield from connection.execute(statement, (record_id,)).fetchall()


def _position(query: JournalQuery) -> int:
    # A cursor that is not ours means the page after the last one, which is empty.
    return int(query.cursor) if query.cursor.isdecimal() else 0


def _record(row: tuple[Any, ...]) -> Record:
    return Record(row[0], row[1], row[2].hex(), *row[3:])


def _whole(connection: Connection, record: Record) -> Record:
    statement = (
        "SELECT hash FROM journal_record WHERE node = ? AND seq = ? AND position < ? ORDER BY position DESC LIMIT 1"
    )
    before = connection.execute(statement, (record.node, record.seq - 1, record.position)).fetchone()
    salted = connection.execute("SELECT salted FROM journal_payload WHERE position = ?", (record.position,)).fetchone()
    return msgspec.structs.replace(
        record,
        prev_hash=(before[0] if before else FIRST_PREV_HASH).hex(),
        payload=msgspec.msgpack.decode(salted[0][_SALT_BYTES:]) if salted else None,
    )
