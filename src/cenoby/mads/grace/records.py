"""Journal records as Grace shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cenoby.kernel.clock import iso_time
from cenoby.kernel.errors import InvalidInput, NotFound
from cenoby.store.journal import JournalPage, Record, Verification

PresentForm = Callable[[str, Any], dict[str, Any] | None]
"""Reads the payload of an event `(code, payload)` of any version as its present one; None where it cannot be read."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class QueryInvalid(InvalidInput):
    """A question about the journal that cannot be asked."""

    codes = {"time_invalid": "A time is not RFC 3339; write it like 2026-07-28T12:00:00Z."}


class RecordUnknown(NotFound):
    """The journal has no such record."""

    codes = {
        "record_unknown": "The journal has no record with this id, or not for this caller.",
        "payload_unknown": "The record has no payload: it never had one, or it was erased.",
    }


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record without its payload."""

    id: str
    name: str
    """What it is about, in a few words."""
    seq: int
    node: str
    time: str
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


@dataclass(frozen=True, slots=True)
class RecordPage:
    records: list[RecordView]
    next_cursor: str | None
    """Give this as `cursor` for the next page; null on the last one."""


@dataclass(frozen=True, slots=True)
class RecordDetail(RecordView):
    """One record with its payload and its place in the chain."""

    payload: Any
    """As it was recorded."""
    event: dict[str, Any] | None
    """Of an event, the payload as the event's present version has it; null where the payload fits no version."""
    payload_digest: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class ChainView:
    """The end of one node's chain; keep it elsewhere to notice a chain that was cut short."""

    node: str
    seq: int
    id: str
    hash: str


@dataclass(frozen=True, slots=True)
class VerificationView:
    ok: bool
    records: int
    """Records checked."""
    payloads: int
    """Payloads checked; the others were erased on the record, or never were."""
    erased: int
    problem: str
    """The first thing that does not hold; empty where all does."""
    record: str
    """Id of the record it is about."""
    heads: list[ChainView]


def time_ns(text: str | None) -> int | None:
    """Unix nanoseconds of an RFC 3339 time; UTC where it names no offset.

    Raises:
        QueryInvalid: `time_invalid`.
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        raise QueryInvalid("time_invalid", f"{text[:64]!r} is no RFC 3339 time like 2026-07-28T12:00:00Z.") from None
    return since // timedelta(microseconds=1) * 1000


def record_view(record: Record) -> RecordView:
    """A record without its payload, for people."""
    return RecordView(**_header(record))


def record_detail(record: Record, present_form: PresentForm) -> RecordDetail:
    """A whole record, for people."""
    return RecordDetail(
        **_header(record),
        payload=record.payload,
        event=present_form(record.code, record.payload) if record.kind == "event" else None,
        payload_digest=record.payload_digest,
        prev_hash=record.prev_hash,
        hash=record.hash,
    )


def record_page(page: JournalPage) -> RecordPage:
    """A page of records, for people."""
    return RecordPage([record_view(one) for one in page.records], page.next or None)


def verification_view(found: Verification) -> VerificationView:
    """What a check of the journal found, for people."""
    return VerificationView(
        ok=found.ok,
        records=found.records,
        payloads=found.payloads,
        erased=found.erased,
        problem=found.problem,
        record=found.record,
        heads=[ChainView(head.node, head.seq, head.id, head.hash) for head in found.heads],
    )


def _header(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": " ".join(part for part in (record.agent, record.tool or record.code, record.status) if part),
        "seq": record.seq,
        "node": record.node,
        "time": iso_time(record.time_ns),
        "kind": record.kind,
        "agent": record.agent,
        "mad": record.mad,
        "tool": record.tool,
        "action": record.action,
        "decision": record.decision,
        "status": record.status,
        "code": record.code,
        "correlation": record.correlation,
        "causation": record.causation,
        "invocation": record.invocation,
    }
