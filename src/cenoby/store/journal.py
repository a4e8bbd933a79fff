"""The journal: what happened, who allowed it, and the proof. Append-only, chained by hash, durable or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cenoby.kernel.clock import Clock
from cenoby.kernel.events import Event, name_of, plain_event
from cenoby.kernel.ids import new_id
from cenoby.kernel.randomness import RandomPool
from cenoby.store import journal_reader, postgres_chain, postgres_journal, postgres_journal_reader
from cenoby.store.chain import FORMAT, ChainHead, Verification, head_of, verify_chain
from cenoby.store.database import Database, StoreUnavailable
from cenoby.store.engine import Connection, Engine
from cenoby.store.events import PayloadErased
from cenoby.store.journal_counts import CallCount
from cenoby.store.journal_reader import JournalPage, JournalQuery, Record
from cenoby.store.journal_writer import Append, JournalWriter, RecordRef, Row
from cenoby.store.sqlite_engine import SqliteEngine
from cenoby.store.writer import Together

__all__ = [
    "ChainHead",
    "Entry",
    "Journal",
    "JournalPage",
    "JournalQuery",
    "Record",
    "RecordRef",
    "Verification",
    "head_of",
    "verify_file",
]

T = TypeVar("T")

_OVERHEAD = 256
"""Bytes that a record holds in the queue beside its header and payload."""
_SALT_BYTES = 16
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


class Entry(msgspec.Struct, frozen=True):
    """What a caller says of one thing that happened; the journal adds id, time and place in the chain.

    Attributes:
        kind: `call` (decision and outcome in one, of a call without side effects or one that was not allowed),
            `decision`, `intent` and `outcome` (of a call with side effects), or `event` (other; `code` names it).
        tenant, agent: whose and who.
        correlation: id shared by everything that one call from outside set off.
        mad, tool, action: what it was about.
        decision: allowed, refused or parked.
        status: ok, error, refused, parked, cancelled or unknown.
        code: error code, or the name of an event.
        causation: id of what led to it.
        invocation: id of the call it belongs to.
        payload: plain JSON types, already redacted; kept apart from the header.
    """

    kind: str
    tenant: str
    agent: str
    correlation: str
    mad: str = ""
    tool: str = ""
    action: str = ""
    decision: str = ""
    status: str = ""
    code: str = ""
    causation: str = ""
    invocation: str = ""
    payload: dict[str, Any] = {}

    @classmethod
    def event(
        cls,
        event: Event,
        *,
        tenant: str = "",
        agent: str = "",
        correlation: str = "",
        mad: str = "",
        causation: str = "",
    ) -> Entry:
        """The entry of a typed event: found by its name, and its payload says the version."""
        return cls(
            kind="event",
            tenant=tenant,
            agent=agent,
            correlation=correlation,
            mad=mad,
            code=name_of(event),
            causation=causation,
            payload=plain_event(event),
        )


class Journal:
    """The journal of one node, in its database.

    Args:
        database: where it lasts.
        node: whose chain this process continues.
        clock: the time of records.
    """

    def __init__(self, database: Database, *, node: str, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._node = node
        self._writer, self._reader = JournalWriter(node), journal_reader
        if database.engine.dialect == "postgresql":
            self._writer, self._reader = postgres_journal.PostgresJournalWriter(node), postgres_journal_reader
        self._random = RandomPool()

    async def start(self) -> None:
        """Record what a crash left open: every intent without an outcome gets the outcome `unknown`.

        Raises:
            StoreUnavailable: it could not be recorded.
        """
        intents = await self._database.read(lambda connection: self._reader.open_intents(connection, self._node))
        for intent in intents:
            await self.append(
                Entry(
                    kind="outcome",
                    tenant=intent.tenant,
                    agent=intent.agent,
                    correlation=intent.correlation,
                    mad=intent.mad,
                    tool=intent.tool,
                    action=intent.action,
                    status="unknown",
                    code="crashed",
                    causation=intent.causation,
                    invocation=intent.invocation,
                )
            )

    async def append(self, *entries: Entry) -> RecordRef:
        """Record `entries` in this order, all or none; on disk when it returns. The last one's place.

        Raises:
            StoreUnavailable: nothing of it was recorded.
        """
        append, size = self._append_of(entries)
        return await self._database.submit(self._writer, append, size)

    async def write(self, work: Callable[[Connection], T], *entries: Entry) -> T:
        """As `Database.write`, and `entries` are recorded in the same transaction: neither is there without the other.

        Raises:
            StoreUnavailable, StoreRefused: as for `Database.write`; nothing was recorded.
        """
        if not entries:
            return await self._database.write(work)
        append, size = self._append_of(entries)

        def recorded(connection: Connection) -> Together:
            return Together(work(connection), self._writer, append)

        return await self._database.submit(None, recorded, size)

    async def erase(self, record: Record, *, agent: str) -> RecordRef:
        """Destroy the payload of a record, and record that it was; the chain still verifies.

        Raises:
            StoreUnavailable: nothing was done.
        """
        entry = Entry.event(
            PayloadErased(),
            tenant=record.tenant,
            agent=agent,
            correlation=record.correlation,
            causation=record.id,
        )
        append, size = self._append_of((entry,), erase=record.id)
        return await self._database.submit(self._writer, append, size)

    async def page(self, query: JournalQuery) -> JournalPage:
        """Records that fit, a page at a time.

        Raises:
            StoreUnavailable: the journal cannot be read.
        """
        return await self._database.read(lambda connection: self._reader.read_page(connection, query))

    async def get(self, record_id: str) -> Record | None:
        """One record with its payload, or None.

        Raises:
            StoreUnavailable: the journal cannot be read.
        """
        return await self._database.read(lambda connection: self._reader.read_record(connection, record_id))

    async def head(self) -> RecordRef | None:
        """The last record of this node, or None."""
        return await self._database.read(lambda connection: self._reader.read_head(connection, self._node))

    async def verify(self, kept: Sequence[ChainHead] = ()) -> Verification:
        """Check the whole chain as it is on disk now; takes some microseconds a record, on a thread of its own.

        Args:
            kept: heads of earlier checks, which must still be in the chain.
        """
        return await asyncio.to_thread(_verify, self._database.engine, kept)

    async def count_calls(self, since_ns: int) -> list[CallCount]:
        """How many calls each agent made of each tool since then."""
        return await self._database.read(lambda connection: self._reader.count_calls(connection, since_ns))

    def _append_of(self, entries: tuple[Entry, ...], erase: str = "") -> tuple[Append, int]:
        time_ns = self._clock.now_ns()
        rows: list[Row] = []
        size = 0
        for entry in entries:
            row = _row(self._node, time_ns, entry, self._random)
            size += len(row.header) + len(row.salted) + _OVERHEAD
            rows.append(row)
        return Append(rows, erase), size


async def verify_file(store: Engine | Path, kept: Sequence[ChainHead] = ()) -> Verification:
    """Check the journal in a database, also while colonies write to it; it is only read.

    Args:
        store: the engine, or the path of a SQLite file.
        kept: heads of earlier checks, which must still be in the chain.

    Raises:
        StoreUnavailable: there is no such database, or no journal in it.
    """
    return await asyncio.to_thread(_verify, SqliteEngine(store) if isinstance(store, Path) else store, kept)


def _verify(engine: Engine, kept: Sequence[ChainHead]) -> Verification:
    try:
        with engine.snapshot() as connection:
            verify = verify_chain if engine.dialect == "sqlite" else postgres_chain.verify_chain
            return verify(connection, kept)
    except engine.failures as error:
        raise StoreUnavailable("store_failed", f"{engine.place} cannot be read as a journal: {error}.") from error


def _row(node: str, time_ns: int, entry: Entry, random: RandomPool) -> Row:
    salted, digest = b"", ""
    if entry.payload:
        salted = random.take(_SALT_BYTES) + _pack(entry.payload)
        digest = sha256(salted).hexdigest()
    fields = (
        FORMAT, node, new_id(), entry.tenant, time_ns, entry.kind, entry.agent, entry.mad, entry.tool, entry.action,
        entry.decision, entry.status, entry.code, entry.correlation, entry.causation, entry.invocation, digest,
    )  # fmt: skip
    return Row(fields, _encode(fields), salted)
