"""The statements of the log, and how its leaves are found among the records of either engine.

On SQLite a file has one order of records, `position` from 1 without gaps, and leaf `i` is position `i + 1`. On
PostgreSQL each node's chain goes on by itself, and `evidence_run` says which part of which chain came where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from cenoby.protection.evidence.errors import EvidenceFailed
from cenoby.protection.evidence.merkle import leaf_hash
from cenoby.store import journal_reader, postgres_journal_reader
from cenoby.store.chain import ERASED, FIRST_PREV_HASH
from cenoby.store.engine import Connection
from cenoby.store.journal_reader import JournalQuery

_STEP = 1000


class Run(NamedTuple):
    """Leaves from `first` on that are `leaves` records of `node` from `first_seq` on."""

    first: int
    node: str
    first_seq: int
    leaves: int


class Leaf(msgspec.Struct, frozen=True):
    """A record as the log needs it: its place, the very header that was hashed, its hashes, its payload with salt."""

    index: int
    node: str
    seq: int
    prev: bytes
    header: str
    hash: bytes
    salted: bytes | None


class LogRow(NamedTuple):
    """The log's name and how many leaves it has."""

    origin: str
    size: int


def read_log(connection: Connection) -> LogRow | None:
    """The log, or None where there is none yet."""
    row = connection.execute("SELECT origin, size FROM evidence_log WHERE tenant = ''").fetchone()
    return LogRow(*row) if row else None


def add_log(connection: Connection, origin: str) -> LogRow:
    """The log, made with this name where there is none."""
    connection.execute(
        "INSERT INTO evidence_log (tenant, origin, size) VALUES ('', ?, 0) ON CONFLICT (tenant) DO NOTHING", (origin,)
    )
    found = read_log(connection)
    assert found is not None, "it was there or was made"
    return found


def tile_reader(connection: Connection) -> Callable[[int, int], bytes]:
    """What reads tiles, for `Tree` and `Growth`.

    Raises:
        EvidenceFailed: log_inconsistent, when a tile that should be there is not.
    """

    def read(level: int, number: int) -> bytes:
        row = connection.execute(
            "SELECT hashes FROM evidence_tile WHERE tenant = '' AND level = ? AND number = ?", (level, number)
        ).fetchone()
        if row is None:
            raise EvidenceFailed("log_inconsistent", f"Tile {number} of level {level} of the log is missing.")
        return bytes(row[0])

    return read


def grow(
    connection: Connection, before: int, after: int, tiles: Sequence[tuple[int, int, bytes]], runs: Sequence[Run]
) -> bool:
    """Add what was sequenced, inside a transaction of the caller's own; False where the log has grown meanwhile."""
    moved = connection.execute("UPDATE evidence_log SET size = ? WHERE tenant = '' AND size = ?", (after, before))
    if moved.rowcount != 1:
        return False
    connection.executemany(
        "INSERT INTO evidence_tile (tenant, level, number, hashes) VALUES ('', ?, ?, ?)"
        " ON CONFLICT (tenant, level, number) DO UPDATE SET hashes = excluded.hashes",
        tiles,
    )
    connection.executemany(
        "INSERT INTO evidence_run (tenant, first, node, first_seq, leaves) VALUES ('', ?, ?, ?, ?)"
        " ON CONFLICT (tenant, first) DO UPDATE SET leaves = excluded.leaves",
        runs,
    )
    return True


def read_ends(connection: Connection) -> dict[str, Run]:
    """The last run of each node."""
    rows = connection.execute(
        "SELECT r.first, r.node, r.first_seq, r.leaves FROM evidence_run r JOIN (SELECT node, max(first_seq) AS newest"
        " FROM evidence_run WHERE tenant = '' GROUP BY node) n ON n.node = r.node AND n.newest = r.first_seq"
        " WHERE r.tenant = ''"
    )
    return {row[1]: Run(*row) for row in rows}


def next_records(
    connection: Connection, size: int, done: dict[str, int], most: int
) -> list[tuple[str, int, list[bytes]]]:
    """Records that are not in the log: `(node, first seq, leaf hashes)` of one chain each, in the log's order.

    Args:
        connection: on one snapshot.
        size: leaves of the log.
        done: the last seq of each node that is in it.
        most: records at most.

    Raises:
        EvidenceFailed: log_gap.
    """
    if connection.dialect == "postgresql":
        return list(_next_of_nodes(connection, done, most))
    return _next_of_file(connection, size, done, most)


def _next_of_file(
    connection: Connection, size: int, done: dict[str, int], most: int
) -> list[tuple[str, int, list[bytes]]]:
    found: list[tuple[str, int, list[bytes]]] = []
    newest = dict(done)
    rows = connection.execute(
        "SELECT position, seq, substr(header, 1, 80), hash FROM journal WHERE position > ? ORDER BY position LIMIT ?",
        (size, most),
    )
    node, known = "", ""
    for expected, (position, seq, header, linked) in enumerate(rows, size + 1):
        if not (known and header.startswith(known)):
            node = _node_of(header)
            known = f'[1,"{node}",'
        if position != expected or seq != newest.get(node, 0) + 1:
            raise EvidenceFailed("log_gap", f"Record {seq} of {node} stands at {position}, which does not follow.")
        if not found or found[-1][0] != node:
            found.append((node, seq, []))
        found[-1][2].append(leaf_hash(seq, linked))
        newest[node] = seq
    return found


def _node_of(header: str) -> str:
    # Names of nodes have no letter that JSON escapes; one that has would end elsewhere, and then be no node of ours.
    return header[4:].partition('"')[0]


def _next_of_nodes(connection: Connection, done: dict[str, int], most: int) -> Iterator[tuple[str, int, list[bytes]]]:
    heads = connection.execute("SELECT node, seq FROM journal_head WHERE seq > 0 ORDER BY node").fetchall()
    for node, head in heads:
        last = done.get(node, 0)
        if head <= last or most <= 0:
            continue
        leaves: list[bytes] = []
        rows = connection.execute(
            "SELECT seq, hash FROM journal WHERE node = ? AND seq > ? ORDER BY seq LIMIT ?", (node, last, most)
        )
        for expected, (seq, linked) in enumerate(rows, last + 1):
            if seq != expected:
                raise EvidenceFailed("log_gap", f"Record {expected} of node {node} is missing.")
            leaves.append(leaf_hash(seq, bytes(linked)))
        if not leaves:
            raise EvidenceFailed("log_gap", f"Record {last + 1} of node {node} is missing, and {head} were written.")
        most -= len(leaves)
        yield node, last + 1, leaves


def read_leaves(connection: Connection, first: int, end: int) -> Iterator[Leaf]:
    """The records of the leaves from `first` to before `end`, in the log's order.

    Raises:
        EvidenceFailed: log_gap: one is not there.
    """
    prev: dict[str, tuple[int, bytes]] = {}
    for index in range(first, end, _STEP):
        expected = index
        for at, node, seq, header, linked, salted in _rows(connection, index, min(end, index + _STEP)):
            if at != expected:
                break
            seen = prev.get(node)
            before = seen[1] if seen and seen[0] == seq - 1 else _hash_before(connection, at, node, seq)
            prev[node] = (seq, linked)
            yield Leaf(at, node, seq, before, header, linked, salted)
            expected += 1
        if expected != min(end, index + _STEP):
            raise EvidenceFailed("log_gap", f"The record of leaf {expected} is not there.")


def _rows(connection: Connection, first: int, end: int) -> Iterator[tuple[Any, ...]]:
    if connection.dialect == "sqlite":
        for position, seq, header, linked, salted in connection.execute(_FILE_ROWS, (first + 1, end)):
            yield position - 1, _node_of(header), seq, header, linked, salted
        return
    for index, node, seq, header, linked, salted in connection.execute(_NODE_ROWS, (end, first, first, end)):
        yield index, node, seq, header, bytes(linked), None if salted is None else bytes(salted)


def _hash_before(connection: Connection, index: int, node: str, seq: int) -> bytes:
    if seq == 1:
        return FIRST_PREV_HASH
    if connection.dialect == "postgresql":
        row = connection.execute("SELECT hash FROM journal WHERE node = ? AND seq = ?", (node, seq - 1)).fetchone()
    else:
        row = connection.execute(
            "SELECT hash FROM journal_record WHERE node = ? AND seq = ? AND position <= ?"
            " ORDER BY position DESC LIMIT 1",
            (node, seq - 1, index),
        ).fetchone()
    if row is None:
        raise EvidenceFailed("log_gap", f"Record {seq - 1} of node {node} is missing.")
    return bytes(row[0])


def index_of(connection: Connection, node: str, seq: int) -> int | None:
    """Which leaf a record is; None where the log does not have it yet."""
    row = connection.execute(
        "SELECT first, first_seq, leaves FROM evidence_run WHERE tenant = '' AND node = ? AND first_seq <= ?"
        " ORDER BY first_seq DESC LIMIT 1",
        (node, seq),
    ).fetchone()
    return row[0] + seq - row[1] if row and seq < row[1] + row[2] else None


def place_of(connection: Connection, record_id: str) -> tuple[str, int] | None:
    """Node and seq of the record with this id, or None."""
    reader = postgres_journal_reader if connection.dialect == "postgresql" else journal_reader
    record = reader.read_record(connection, record_id)
    return (record.node, record.seq) if record else None


def erasures(connection: Connection) -> Iterator[tuple[str, str]]:
    """All erasures on the record: `(id of the record that tells of it, id of the record that lost its payload)`."""
    reader = postgres_journal_reader if connection.dialect == "postgresql" else journal_reader
    query = JournalQuery(code=ERASED, kind="event", newest_first=False, limit=_STEP)
    while True:
        page = reader.read_page(connection, query)
        yield from ((record.id, record.causation) for record in page.records)
        if not page.next:
            return
        query = msgspec.structs.replace(query, cursor=page.next)


class Made(msgspec.Struct, frozen=True):
    """A checkpoint as it is kept: the whole note, and when it was made."""

    size: int
    made_ns: int
    note: str


def newest_checkpoint(connection: Connection) -> Made | None:
    """The newest checkpoint, or None."""
    row = connection.execute(
        "SELECT size, made_ns, note FROM evidence_checkpoint WHERE tenant = '' ORDER BY size DESC LIMIT 1"
    ).fetchone()
    return Made(*row) if row else None


def checkpoint_of(connection: Connection, size: int) -> Made | None:
    """The checkpoint of this size, or None."""
    row = connection.execute(
        "SELECT size, made_ns, note FROM evidence_checkpoint WHERE tenant = '' AND size = ?", (size,)
    ).fetchone()
    return Made(*row) if row else None


def put_checkpoint(connection: Connection, made: Made) -> None:
    """Keep a checkpoint; one of the same size gets the new signatures."""
    connection.execute(
        "INSERT INTO evidence_checkpoint (tenant, size, made_ns, note) VALUES ('', ?, ?, ?)"
        " ON CONFLICT (tenant, size) DO UPDATE SET note = excluded.note",
        (made.size, made.made_ns, made.note),
    )


def read_published(connection: Connection) -> dict[str, tuple[int, str, int]]:
    """What each destination got last: `(size, note, Unix nanoseconds)`."""
    rows = connection.execute("SELECT destination, size, note, published_ns FROM evidence_published WHERE tenant = ''")
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def put_published(connection: Connection, destination: str, size: int, note: str, now_ns: int) -> None:
    """A destination has this checkpoint."""
    connection.execute(
        "INSERT INTO evidence_published (tenant, destination, size, note, published_ns) VALUES ('', ?, ?, ?, ?)"
        " ON CONFLICT (tenant, destination) DO UPDATE SET size = excluded.size, note = excluded.note,"
        " published_ns = excluded.published_ns",
        (destination, size, note, now_ns),
    )


_FILE_ROWS = (
    "SELECT j.position, j.seq, j.header, j.hash, p.salted FROM journal j"
    " LEFT JOIN journal_payload p ON p.position = j.position WHERE j.position BETWEEN ? AND ? ORDER BY j.position"
)
_NODE_ROWS = (
    "SELECT r.first + j.seq - r.first_seq, j.node, j.seq, j.header, j.hash, p.salted FROM evidence_run r"
    " JOIN journal j ON j.node = r.node AND j.seq >= r.first_seq AND j.seq < r.first_seq + r.leaves"
    " LEFT JOIN journal_payload p ON p.node = j.node AND p.seq = j.seq"
    " WHERE r.tenant = '' AND r.first < ?"
    " AND r.first >= (SELECT max(first) FROM evidence_run WHERE tenant = '' AND first <= ?)"
    " AND r.first + j.seq - r.first_seq >= ? AND r.first + j.seq - r.first_seq < ? ORDER BY 1"
)
