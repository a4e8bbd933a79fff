"""Checking the journal on PostgreSQL: each node's chain by its numbers, up to the head that the node left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cenoby.store.chain import Broken, ChainHead, Checker, Verification, header_of
from cenoby.store.engine import Connection
from cenoby.store.postgres_journal import column_of

_STEP = 2000
_ROWS = """
    SELECT j.node, j.seq, j.position, j.tenant, j.id, j.time_ns, j.kind, j.agent, j.mad, j.tool, j.code, j.correlation,
        j.decided, j.header, j.hash, p.salted
    FROM journal j LEFT JOIN journal_payload p ON p.node = j.node AND p.seq = j.seq
    WHERE (j.node, j.seq) > (?, ?) ORDER BY j.node, j.seq LIMIT ?
"""
_STRAYS = """
    SELECT count(*) FROM journal_payload p
    WHERE NOT EXISTS (SELECT 1 FROM journal j WHERE j.node = p.node AND j.seq = p.seq)
"""


def verify_chain(connection: Connection, kept: Iterable[ChainHead] = ()) -> Verification:
    """As `chain.verify_chain`, for PostgreSQL; blocks for about 15 µs a record."""
    checker = Checker(kept)
    positions: dict[str, int] = {}
    try:
        for row in _rows(connection):
            _check(checker, positions, row)
        _check_heads(connection, checker)
        checker.finish(connection.execute(_STRAYS).fetchone()[0])
    except Broken as broken:
        return checker.found(broken)
    return checker.found()


def _check(checker: Checker, positions: dict[str, int], row: tuple[Any, ...]) -> None:
    node, seq, position, tenant, *columns = row[:13]
    text, stored, salted = row[13:]
    header = header_of(text, f"node {node}, seq {seq}")
    if header[1] != node:
        raise Broken(f"node {node}, seq {seq}: the record is one of node {header[1]}", header[2])
    checker.link(header, header[3] if tenant == column_of(header[3]) else tenant, seq, text, stored)
    # What finds the record: without it, listings would leave it out, or have it in another order.
    found_by = [header[2], header[4], *map(column_of, (*header[5:9], header[12], header[13])), header[10] != ""]
    if columns != found_by or position <= positions.get(node, 0):
        raise Broken(f"node {node}, seq {seq}: the index that finds records says something else", header[2])
    positions[node] = position
    checker.payload(header, seq, salted)


def _check_heads(connection: Connection, checker: Checker) -> None:
    left = {node: (seq, linked.hex()) for node, seq, linked in connection.execute(_HEADS)}
    for node in sorted(left.keys() | checker.heads.keys()):
        head = checker.heads.get(node)
        if left.get(node) != ((head.seq, head.hash) if head else None):
            written = left.get(node, (0, ""))[0]
            raise Broken(f"node {node}: {written} records were written and {head.seq if head else 0} are there")


_HEADS = "SELECT node, seq, hash FROM journal_head WHERE seq > 0"


def _rows(connection: Connection) -> Iterator[tuple[Any, ...]]:
    after: tuple[Any, ...] = ("", 0)
    while rows := connection.execute(_ROWS, (*after, _STEP)).fetchall():
        yield from rows
        after = rows[-1][:2]
