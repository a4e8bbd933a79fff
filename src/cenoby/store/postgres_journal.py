"""The append path of the journal on PostgreSQL: one chain per node, whose head is a row that moves with it.

Whoever moves the head from the record that it believes to be the last may write; who finds another one there reads it
and links anew. So a chain has no forks, even where two processes call themselves by the same node.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from cenoby.store.chain import FIRST_PREV_HASH, link_hash
from cenoby.store.engine import Connection
from cenoby.store.journal_index import ID, TENANT
from cenoby.store.journal_writer import Append, RecordRef, Row


class _Head(msgspec.Struct):
    seq: int
    hash: bytes


class PostgresJournalWriter:
    """Writes one node's records; used by the store's writer thread only.

    Args:
        node: the node whose chain it is.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._head: _Head | None = None

    def apply(self, connection: Connection, items: Sequence[Append]) -> list[RecordRef]:
        """Link and write the rows of `items`; each gets the reference of its last record."""
        before = self._head or self._take_head(connection)
        head, hashes, results = _linked(before, items)
        if not self._move_head(connection, before, head):
            before = self._take_head(connection)
            head, hashes, results = _linked(before, items)
            self._move_head(connection, before, head)
        self._head = head
        self._insert(connection, before.seq, list(chain.from_iterable(item.rows for item in items)), hashes)
        for item in items:
            if item.erase:
                connection.execute(_ERASE, (item.erase,))
        return results

    def settle(self, committed: bool) -> None:
        """Keep the head that is on disk now, or read it again where the batch was undone."""
        if not committed:
            self._head = None

    def _take_head(self, connection: Connection) -> _Head:
        connection.execute(_FIRST_HEAD, (self._node, FIRST_PREV_HASH))
        return _Head(*connection.execute(_HEAD, (self._node,)).fetchone())

    def _move_head(self, connection: Connection, before: _Head, after: _Head) -> bool:
        values = (after.seq, after.hash, self._node, before.seq, before.hash)
        return connection.execute(_MOVE, values).rowcount == 1

    def _insert(self, connection: Connection, before: int, rows: list[Row], hashes: list[bytes]) -> None:
        numbers = range(before + 1, before + 1 + len(rows))
        _, _, ids, tenants, times, kinds, agents, mads, tools, _, decisions, _, codes, correlations, *_ = zip(
            *(row.fields for row in rows), strict=True
        )
        with_payload = [(seq, row) for seq, row in zip(numbers, rows, strict=True) if row.salted]
        values: list[Any] = [
            self._node,
            list(numbers),
            _columns(tenants),
            list(ids),
            list(times),
            *map(_columns, (kinds, agents, mads, tools, codes, correlations)),
            [decision != "" for decision in decisions],
            [row.header.decode() for row in rows],
            hashes,
            [seq for seq, _ in with_payload],
            _columns(row.fields[TENANT] for _, row in with_payload),
            [row.salted for _, row in with_payload],
        ]
        connection.execute(_INSERT, values)


def column_of(text: str) -> str:
    """A header's field as its column has it: PostgreSQL's text cannot hold a NUL, which the header does."""
    return text.replace("\0", "\ufffd")


def _columns(texts: Any) -> list[str]:
    return list(map(column_of, texts))


def _linked(head: _Head, items: Sequence[Append]) -> tuple[_Head, list[bytes], list[RecordRef]]:
    seq, linked, identifier = head.seq, head.hash, ""
    hashes: list[bytes] = []
    results: list[RecordRef] = []
    for item in items:
        for row in item.rows:
            linked, identifier = link_hash(linked, row.header), row.fields[ID]
            hashes.append(linked)
            seq += 1
        results.append(RecordRef(seq, identifier, linked.hex()))
    return _Head(seq, linked), hashes, results


_FIRST_HEAD = "INSERT INTO journal_head (node, tenant, seq, hash) VALUES (?, '', 0, ?) ON CONFLICT (node) DO NOTHING"
_HEAD = "SELECT seq, hash FROM journal_head WHERE node = ? FOR UPDATE"
_MOVE = "UPDATE journal_head SET seq = ?, hash = ? WHERE node = ? AND seq = ? AND hash = ?"
# One statement and one array for each column: what it costs hardly grows with the batch.
_INSERT = """
    WITH records AS (
        INSERT INTO journal (node, seq, tenant, id, time_ns, kind, agent, mad, tool, code, correlation, decided,
            header, hash)
        SELECT $1::text, r.* FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::boolean[], $13::text[], $14::bytea[]) AS r
    )
    INSERT INTO journal_payload (node, seq, tenant, salted)
    SELECT $1::text, p.* FROM unnest($15::bigint[], $16::text[], $17::bytea[]) AS p
"""
_ERASE = """
    DELETE FROM journal_payload p USING journal j WHERE j.id = ? AND p.node = j.node AND p.seq = j.seq
"""
