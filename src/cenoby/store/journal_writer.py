"""The append path of the journal: it links and writes all records of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from cenoby.store.chain import FIRST_PREV_HASH, link_hash
from cenoby.store.engine import Connection
from cenoby.store.journal_index import BLOCK, add_block, add_block_of, covered_up_to

_WIDEST = 32


class RecordRef(msgspec.Struct, frozen=True):
    """Where a record is: its place in the node's chain, its id, and its hash in hexadecimal."""

    seq: int
    id: str
    hash: str


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record on its way.

    Attributes:
        id, tenant: as in the header.
        header: the canonical header.
        salted: salt and payload; empty for none.
        time_ns, kind, decision: as in the header.
        facets: its values of `FACETS`, in that order.
    """

    id: str
    tenant: str
    header: bytes
    salted: bytes
    time_ns: int
    facets: tuple[str, ...]
    kind: str
    decision: str


class Append(msgspec.Struct, frozen=True):
    """Rows that are written together, and the id of the record whose payload goes with them, if any."""

    rows: list[Row]
    erase: str = ""


class _Head(msgspec.Struct):
    """Where the chain ends: `position` and `covered` count all records of the file, the rest those of the node."""

    position: int
    seq: int
    hash: bytes
    covered: int


class JournalWriter:
    """Writes one node's records; used by the store's writer thread only.

    Args:
        node: the node whose chain it is.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._head: _Head | None = None
        self._uncovered: list[Row] = []

    def apply(self, connection: Connection, items: Sequence[Append]) -> list[RecordRef]:
        """Link and write the rows of `items`; each gets the reference of its last record."""
        head = self._head = self._head or _read_head(connection, self._node)
        records: list[Any] = []
        payloads: list[Any] = []
        results = [_link(head, item.rows, records, payloads) for item in items]
        _insert(connection, _JOURNAL, 5, records)
        _insert(connection, _PAYLOAD, 3, payloads)
        for item in items:
            if item.erase:
                connection.execute(_ERASE, (item.erase,))
            self._uncovered += item.rows
        if head.position - head.covered >= BLOCK:
            self._cover(connection, head)
        return results

    def settle(self, committed: bool) -> None:
        """Keep the head that is on disk now, or read it again where the batch was undone."""
        if not committed:
            self._head = None
            self._uncovered.clear()

    def _cover(self, connection: Connection, head: _Head) -> None:
        rows, first = self._uncovered, head.covered + 1
        if len(rows) == head.position - head.covered:
            add_block_of(connection, first, head.position, [(row.time_ns, row.id, row.facets) for row in rows])
        else:
            # Some of them were written before this process began: what they hold must be read.
            add_block(connection, first, head.position)
        head.covered = head.position
        self._uncovered = []


def _link(head: _Head, rows: list[Row], records: list[Any], payloads: list[Any]) -> RecordRef:
    position, seq, linked, identifier = head.position, head.seq, head.hash, ""
    for row in rows:
        identifier, salted = row.id, row.salted
        position += 1
        seq += 1
        linked = link_hash(linked, row.header)
        records += (position, row.tenant, seq, row.header.decode(), linked)
        if salted:
            payloads += (position, row.tenant, salted)
    head.position, head.seq, head.hash = position, seq, linked
    return RecordRef(seq, identifier, linked.hex())


def _read_head(connection: Connection, node: str) -> _Head:
    position = connection.execute("SELECT coalesce(max(position), 0) FROM journal").fetchone()[0]
    statement = "SELECT seq, hash FROM journal_record WHERE node = ? ORDER BY position DESC LIMIT 1"
    seq, linked = connection.execute(statement, (node,)).fetchone() or (0, FIRST_PREV_HASH)
    return _Head(position, seq, linked, covered_up_to(connection))


def _insert(connection: Connection, statement: str, width: int, values: list[Any]) -> None:
    step = width * _WIDEST
    for start in range(0, len(values), step):
        part = values[start : start + step] if len(values) > step else values
        connection.execute(_widened(statement, width, len(part) // width), part)


@cache
def _widened(statement: str, width: int, rows: int) -> str:
    return statement + ", ".join([f"({', '.join('?' * width)})"] * rows)


_JOURNAL = "INSERT INTO journal (position, tenant, seq, header, hash) VALUES "
_PAYLOAD = "INSERT INTO journal_payload (position, tenant, salted) VALUES "
_ERASE = "DELETE FROM journal_payload WHERE position = (SELECT position FROM journal_record WHERE id = ?)"
