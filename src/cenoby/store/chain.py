"""The hash chain over journal records: how a record is hashed and linked, and how a chain is checked.

`hash` is SHA-256 over the hash of the node's record before (32 zero bytes for the first) and the canonical header, a
JSON array (RFC 8259, UTF-8, no spaces, `"` `\\` and control characters escaped and nothing else) of

    format, node, id, tenant, time_ns, kind, agent, mad, tool, action, decision, status, code, correlation, causation,
    invocation, payload_digest

which is kept as the very text that was hashed. `seq` counts a node's records from 1, `position` all of the file's.
`payload_digest` is SHA-256 over salt and payload in lower-case hexadecimal, or empty where there is no payload; the
payload lies apart, so that it can be erased, and an erasure leaves a record of its own that names the one it emptied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import msgspec

from cenoby.store.engine import Connection
from cenoby.store.index_check import IndexCheck

FORMAT = 1
FIRST_PREV_HASH = bytes(32)
ERASED = "payload_erased"
"""Code of the event whose `causation` is the id of the record that lost its payload."""

_TYPES = (int, str, int, str, bytes)
_HEADER = (int, str, str, str, int, *(str,) * 12)
_STEP = 2000


class ChainHead(msgspec.Struct, frozen=True):
    """The last record of one node's chain; compare it with one kept elsewhere to notice a chain cut short."""

    node: str
    seq: int
    id: str
    hash: str


def head_of(text: str) -> ChainHead:
    """The head written as `node:seq:hash`, as `cenoby journal verify` prints it.

    Raises:
        ValueError: it is not of that form.
    """
    node, seq, digest = [*text.rsplit(":", 2), "", ""][:3]
    if not (node and seq.isdecimal() and len(digest) == 64):
        raise ValueError(f"{text[:120]!r} is no head; write node:seq:hash, as verify prints them")
    return ChainHead(node, int(seq), "", digest.lower())


class Verification(msgspec.Struct, frozen=True):
    """What a check of the journal found.

    Attributes:
        ok: every record is there, in order and unchanged, and so is every payload that was not erased.
        records: records checked.
        payloads: payloads checked.
        erased: records whose payload was erased on the record.
        heads: the end of each node's chain.
        problem: what is wrong with the first bad record; empty where nothing is.
        record: its id; empty where nothing is wrong, or the record is not there.
    """

    ok: bool
    records: int
    payloads: int
    erased: int
    heads: tuple[ChainHead, ...]
    problem: str = ""
    record: str = ""


class Broken(Exception):
    """The first record that does not hold, and why."""

    def __init__(self, problem: str, record: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.record = record


def link_hash(prev: bytes, header: bytes) -> bytes:
    """The hash of a record: SHA-256 over the hash before it and its canonical header, 32 bytes."""
    return hashlib.sha256(prev + header).digest()


class Checker:
    """One pass over the records of all nodes, each node's in their order.

    Args:
        kept: heads from earlier checks, which must still be in the journal.
    """

    def __init__(self, kept: Iterable[ChainHead]) -> None:
        self.kept = {(head.node, head.seq): head.hash for head in kept}
        self.heads: dict[str, ChainHead] = {}
        self.records = 0
        self.payloads = 0
        self.missing: dict[str, int] = {}
        self.erasures: set[str] = set()

    def link(self, header: tuple[Any, ...], tenant: str, seq: int, text: str, stored: bytes) -> None:
        """The record continues its node's chain.

        Raises:
            Broken: it does not.
        """
        node, identifier = header[1], header[2]
        head = self.heads.get(node)
        if seq != (head.seq + 1 if head else 1):
            raise Broken(f"node {node}: seq {seq} stands where {head.seq + 1 if head else 1} should", identifier)
        before = bytes.fromhex(head.hash) if head else FIRST_PREV_HASH
        if tenant != header[3] or link_hash(before, _bytes_of(text)) != stored:
            raise Broken(
                f"node {node}, seq {seq}: the record was changed, or does not continue the one before it", identifier
            )
        self.heads[node] = ChainHead(node, seq, identifier, stored.hex())
        self.records += 1
        if self.kept and self.kept.pop((node, seq), stored.hex()) != stored.hex():
            raise Broken(f"node {node}, seq {seq}: the record is another one than the head that was kept", identifier)
        if header[12] == ERASED and header[5] == "event":
            self.erasures.add(header[14])

    def payload(self, header: tuple[Any, ...], seq: int, salted: Any) -> None:
        """The payload is the one that the header tells of, or is not there.

        Raises:
            Broken: it was changed.
        """
        identifier, digest = header[2], header[16]
        if salted is None:
            if digest:
                self.missing[identifier] = seq
        elif type(salted) is not bytes or hashlib.sha256(salted).hexdigest() != digest:
            raise Broken(f"seq {seq}: the payload was changed", identifier)
        else:
            self.payloads += 1

    def finish(self, strays: int) -> None:
        """All that was kept was met, and every missing payload was erased on the record.

        Raises:
            Broken: not so.
        """
        if strays:
            raise Broken(f"{strays} payloads belong to no record")
        for node, seq in self.kept:
            raise Broken(f"node {node}: the chain ends before seq {seq}, which it had when that head was kept")
        for identifier, seq in self.missing.items():
            if identifier not in self.erasures:
                raise Broken(f"seq {seq}: the payload is missing and was never erased", identifier)

    def found(self, broken: Broken | None = None) -> Verification:
        """What there is to say."""
        return Verification(
            ok=broken is None,
            records=self.records,
            payloads=self.payloads,
            erased=len(self.missing),
            heads=tuple(self.heads.values()),
            problem=broken.problem if broken else "",
            record=broken.record if broken else "",
        )


class _FileChecker(Checker):
    """As `Checker`, for a SQLite file: positions without gaps, and the index that finds records."""

    def __init__(self, index: IndexCheck, kept: Iterable[ChainHead]) -> None:
        super().__init__(kept)
        self.index = index
        self.position = 0

    def record(self, row: tuple[Any, ...], salted: Any) -> None:
        # SQLite lets any type into any column.
        if tuple(map(type, row)) != _TYPES:
            raise Broken(f"position {self.position + 1}: a field has the wrong type")
        position, tenant, seq, text, stored = row
        header = header_of(text, f"position {self.position + 1}")
        if position != self.position + 1:
            raise Broken(f"position {self.position + 1} is missing", header[2])
        self.position = position
        self.link(header, tenant, seq, text, stored)
        if not self.index.record(position, header):
            raise Broken(f"position {position}: the index that finds records says something else", header[2])
        self.payload(header, seq, salted)

    def end(self, last_position: int, strays: int) -> None:
        if self.position != last_position:
            raise Broken(f"{last_position} records were written and {self.position} are there")
        if not self.index.finish():
            raise Broken("the index that finds records does not fit them: listings would leave some out")
        self.finish(strays)


def verify_chain(connection: Connection, kept: Iterable[ChainHead] = ()) -> Verification:
    """Check every record that `connection` sees; blocks for about 6 µs a record.

    Args:
        connection: on one snapshot of the journal.
        kept: heads from earlier checks, kept where who writes the journal cannot reach them; they must still be in it.

    Raises:
        sqlite3.Error: the file cannot be read, or holds no journal.
    """
    checker = _FileChecker(IndexCheck(connection), kept)
    try:
        for row in _rows(connection):
            checker.record(row[:5], row[5])
        checker.end(_last_position(connection), _stray_payloads(connection))
    except Broken as broken:
        return checker.found(broken)
    return checker.found()


def header_of(text: str, place: str) -> tuple[Any, ...]:
    """The fields of a header.

    Raises:
        Broken: it cannot be read; `place` says where.
    """
    header: tuple[Any, ...] = ()
    with suppress(msgspec.DecodeError, TypeError):  # an unreadable header fails the comparison below
        header = tuple(msgspec.json.decode(_bytes_of(text)))
    if tuple(map(type, header)) != _HEADER or header[0] != FORMAT:
        raise Broken(f"{place}: the record was changed, its header cannot be read")
    return header


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _rows(connection: Connection) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(
        "SELECT j.position, j.tenant, j.seq, j.header, j.hash, p.salted FROM journal j "
        "LEFT JOIN journal_payload p ON p.position = j.position ORDER BY j.position"
    )
    while rows := list(islice(cursor, _STEP)):
        yield from rows


def _last_position(connection: Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
    return row[0] if row else 0


def _stray_payloads(connection: Connection) -> int:
    statement = "SELECT count(*) FROM journal_payload WHERE position NOT IN (SELECT position FROM journal)"
    return connection.execute(statement).fetchone()[0]
