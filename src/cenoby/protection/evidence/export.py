"""Exports: a slice of the journal with all that is needed to check it elsewhere, in one file of JSON.

`verifier/cenoby_verify.py` reads it, and says in its own words how. The statement in it is an in-toto statement in a
DSSE envelope, signed by the log's keys over everything else in the file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from cenoby.kernel.signing import SigningKey
from cenoby.protection.evidence import sql
from cenoby.protection.evidence.errors import EvidenceFailed, EvidenceMissing
from cenoby.protection.evidence.merkle import Tree
from cenoby.protection.evidence.notes import Checkpoint, NoteKey, read_checkpoint
from cenoby.protection.evidence.sql import Leaf
from cenoby.store.engine import Connection

FORMAT = "cenoby-evidence-1"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_SALT_BYTES = 16


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported.

    Attributes:
        first, end: leaves from `first` to before `end`; None: all that a checkpoint covers.
        since_ns, until_ns: only from the first record with such a time to the last one, Unix nanoseconds.
        where: only records whose header has these values, e.g. `{"agent": "ada"}`; a selection, which proves of no
            record that it was left out.
        ids: only the records with these ids.
        payloads: with what the records hold, and not only their digests.
    """

    first: int | None = None
    end: int | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    where: dict[str, str] = {}
    ids: tuple[str, ...] = ()
    payloads: bool = True


def export(
    connection: Connection, keys: Sequence[SigningKey], choice: Choice, kept: Sequence[str] = ()
) -> dict[str, Any]:
    """The slice, as what JSON can hold; blocks for about 20 µs a record.

    Args:
        connection: on one snapshot.
        keys: the log's, the newest first.
        choice: which records.
        kept: earlier checkpoints (notes) which the log is to be compared with.

    Raises:
        EvidenceMissing: checkpoint_missing, evidence_record_unknown.
        EvidenceFailed: log_gap, log_inconsistent, evidence_damaged.
        NoteInvalid: what was kept is no checkpoint.
    """
    newest = _newest(connection)
    tree = Tree(newest.size, sql.tile_reader(connection))
    if tree.root() != newest.root:
        raise EvidenceFailed("log_inconsistent", "The log is not the one of its newest checkpoint; nothing is proved.")
    chosen, first, end = _chosen(connection, newest.size, choice)
    records = _with_erasures(connection, chosen, newest.size, choice.payloads)
    whole = not choice.where and not choice.ids and end > first
    body = {
        "format": FORMAT,
        "selection": {"first": first, "end": end, "complete": whole},
        "keys": [NoteKey(newest.origin, key.public).to_text() for key in keys],
        "checkpoint": newest.note,
        "earlier": [_earlier(tree, read_checkpoint(note), newest) for note in dict.fromkeys(kept)],
        "proof": [one.hex() for one in tree.opening([record["index"] for record in records])],
        "records": records,
    }
    return {**body, "statement": statement_of(body, newest, keys)}


def to_text(exported: dict[str, Any]) -> Iterable[str]:
    """The file, in parts: JSON with a record on each line."""
    yield "{\n"
    for name, value in exported.items():
        yield f"{json.dumps(name)}: "
        if name == "records":
            yield "[\n" + ",\n".join(_json(one) for one in value) + "\n]"
        else:
            yield _json(value)
        yield "\n}\n" if name == "statement" else ",\n"


def statement_of(body: dict[str, Any], newest: Checkpoint, keys: Sequence[SigningKey]) -> dict[str, Any]:
    """The DSSE envelope over an export.

    Args:
        body: all of it but this.
        newest: its checkpoint.
        keys: who signs.
    """
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "cenoby-evidence", "digest": {"sha256": sha256(canonical).hexdigest()}}],
        "predicateType": "urn:cenoby:evidence:1",
        "predicate": {"log": newest.origin, "size": newest.size, "records": len(body["records"])},
    }
    payload = _json(statement).encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)
    return {
        "payloadType": _PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": NoteKey(newest.origin, key.public).id.hex(),
                "sig": base64.b64encode(key.sign(signed)).decode(),
            }
            for key in keys
        ],
    }


def _newest(connection: Connection) -> Checkpoint:
    made = sql.newest_checkpoint(connection)
    if made is None or read_checkpoint(made.note).size == 0:
        raise EvidenceMissing("checkpoint_missing", "The log was never signed: run `cenoby evidence checkpoint` first.")
    return read_checkpoint(made.note)


def _earlier(tree: Tree, old: Checkpoint, newest: Checkpoint) -> dict[str, Any]:
    if old.origin != newest.origin or not 0 < old.size <= newest.size:
        raise EvidenceMissing(
            "checkpoint_missing",
            f"The checkpoint of {old.size} records of {old.origin} is none before that of {newest.size} of"
            f" {newest.origin}: it is newer, or another log's, or records are gone.",
        )
    return {"checkpoint": old.note, "proof": [one.hex() for one in tree.consistency(old.size)]}


def _chosen(connection: Connection, size: int, choice: Choice) -> tuple[list[Leaf], int, int]:
    if choice.ids:
        found = [_found(connection, one, size) for one in choice.ids]
        indexes = sorted({one.index for one in found})
        return [_leaf(connection, one) for one in indexes], indexes[0], indexes[-1] + 1
    first, end = choice.first or 0, size if choice.end is None else min(choice.end, size)
    leaves = list(sql.read_leaves(connection, first, end)) if first < end else []
    timed = (
        [
            place
            for place, one in enumerate(leaves)
            if (choice.since_ns is None or _header(one)[4] >= choice.since_ns)
            and (choice.until_ns is None or _header(one)[4] < choice.until_ns)
        ]
        if choice.since_ns is not None or choice.until_ns is not None
        else list(range(len(leaves)))
    )
    if not timed:
        return [], first, first
    leaves = leaves[timed[0] : timed[-1] + 1]
    first, end = leaves[0].index, leaves[-1].index + 1
    if choice.where:
        leaves = [
            one for one in leaves if all(_header(one)[_PLACES[name]] == value for name, value in choice.where.items())
        ]
    return leaves, first, end


def _found(connection: Connection, record_id: str, size: int) -> Leaf:
    place = sql.place_of(connection, record_id)
    index = sql.index_of(connection, *place) if place else None
    if place is None:
        raise EvidenceMissing("evidence_record_unknown", f"The journal has no record {record_id[:64]!r}.")
    if index is None or index >= size:
        raise EvidenceMissing(
            "checkpoint_missing", f"Record {record_id} is under no checkpoint yet; run `cenoby evidence checkpoint`."
        )
    return _leaf(connection, index)


def _leaf(connection: Connection, index: int) -> Leaf:
    return next(iter(sql.read_leaves(connection, index, index + 1)))


def _with_erasures(connection: Connection, leaves: list[Leaf], size: int, payloads: bool) -> list[dict[str, Any]]:
    """The records, and those by which payloads of theirs were erased."""
    lost = {_header(one)[2] for one in leaves if _header(one)[16] and one.salted is None}
    erasers: dict[str, str] = {}
    if lost:
        here = {one.index for one in leaves}
        for eraser_id, erased in sql.erasures(connection):
            if erased in lost:
                eraser = _found(connection, eraser_id, size)
                erasers[erased] = eraser_id
                if eraser.index not in here:
                    here.add(eraser.index)
                    leaves = [*leaves, eraser]
    return [_record(one, erasers, payloads) for one in sorted(leaves, key=lambda one: one.index)]


def _record(leaf: Leaf, erasers: dict[str, str], payloads: bool) -> dict[str, Any]:
    header = _header(leaf)
    record: dict[str, Any] = {"index": leaf.index, "seq": leaf.seq, "prev": leaf.prev.hex(), "header": header}
    if not header[16]:
        return record
    if leaf.salted is None:
        return record | {"erased": erasers.get(header[2], "")}
    return record | (_payload(leaf.salted) if payloads else {"withheld": True})


def _payload(salted: bytes) -> dict[str, Any]:
    """Salt and payload, where JSON holds the payload exactly; else the bytes as they were hashed."""
    payload = msgspec.msgpack.decode(salted[_SALT_BYTES:])
    try:
        again = msgspec.msgpack.encode(json.loads(json.dumps(payload, allow_nan=False)))
    except (ValueError, TypeError, RecursionError):
        again = b""
    if again != salted[_SALT_BYTES:]:
        return {"salted": salted.hex()}
    return {"salt": salted[:_SALT_BYTES].hex(), "payload": payload}


def _header(leaf: Leaf) -> list[Any]:
    header: list[Any] = json.loads(leaf.header)
    if _json(header) != leaf.header:
        raise EvidenceFailed(
            "evidence_damaged", f"Record {leaf.seq} of {leaf.node} is not in the form it was hashed in."
        )
    return header


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_PLACES = {"agent": 6, "mad": 7, "tool": 8, "code": 12, "correlation": 13, "kind": 5, "tenant": 3, "node": 1}
