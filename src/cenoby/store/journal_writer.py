"""The append path of the journal: it links and writes all records of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from cenoby.store.chain import FIRST_PREV_HASH, link_hash
from cenoby.store.engine import Connection
from cenoby.store.journal_index import BLOCK, ID, TENANT, add_block, add_block_of, covered_up_to

_WIDEST = 32


class RecordRef(msgspec.Struct, frozen=True):
    """Where a record is: its place in the node's chain, its id, and its hash in hexadecimal."""

    seq: int
    id: str
    hash: str


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record on its way.

    Attributes:
        fields: those of the header, in its order (`chain`): one object serves whoever asks for one of them.
        header: the canonical header.
        salted: salt and payload; empty for none.
    """

    fields: tuple[Any, ...]
    header: bytes
    salted: bytes


class Append(msgspec.Struct, frozen=True, gc=False):
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
        self._uncovered: list[tuple[Any, ...]] = []

    def apply(self, connection: Connection, items: Sequence[Append]) -> list[RecordRef]:
        """Link and write the rows of `items`; each gets the reference of its last record."""
        head = self._head = self._head or _read_head(connection, self._node)
        records: list[Any] = []
        payloads: list[Any] = []
        results = _link(head, items, records, payloads, self._uncovered)
        _insert(connection, _JOURNAL, 5, records)
        _insert(connection, _PAYLOAD, 3, payloads)
        for item in items:
            if item.erase:
                connection.execute(_ERASE, (item.erase,))
        if head.position - head.covered >= BLOCK:
            self._cover(connection, head)
        return results

    def settle(self, committed: bool) -> None:
        """Keep the head that is on disk now, or read it again where the batch was undone."""
        if not committed:
            self._head = None
            self._uncovered.clear()

    def _cover(self, connection: Connection, head: _Head) -> None:
        headers, first = self._uncovered, head.covered + 1
        if len(headers) == head.position - head.covered:
            add_block_of(connection, first, head.position, headers)
        else:
            # Some of them were written before this process began: what they hold must be read.
            add_block(connection, first, head.position)
        head.covered = head.position
        self._uncovered = []


def _link(
    head: _Head, items: Sequence[Append], records: list[Any], payloads: list[Any], headers: list[tuple[Any, ...]]
) -> list[RecordRef]:
    position, seq, linked, identifier = head.position, head.seq, head.hash, ""
    results: list[RecordRef] = []
    for item in items:
        for row in item.rows:
            fields, header, salted = row.fields, row.header, row.salted
            identifier, tenant = fields[ID], fields[TENANT]
            position += 1
            seq += 1
            linked = link_hash(linked, header)
            records += (position, tenant, seq, header.decode(), linked)
            if salted:
                payloads += (position, tenant, salted)
            headers.append(fields)
        results.append(RecordRef(seq, identifier, linked.hex()))
    head.position, head.seq, head.hash = position, seq, linked
    return results


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
