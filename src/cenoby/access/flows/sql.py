"""The statements of the flow labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cenoby.store.engine import Connection


class LabelKey(NamedTuple):
    """Who saw which label: `scope` is `agent`, `place` or `task`, and `process` the one that noticed."""

    tenant: str
    scope: str
    subject: str
    label: str
    process: str


def read_labels(connection: Connection) -> dict[LabelKey, int]:
    """All labels, and until when each counts as seen just now, Unix nanoseconds."""
    return {LabelKey(*key): seen_ns for *key, seen_ns in connection.execute(_ALL)}


def put_labels(connection: Connection, labels: Iterable[tuple[LabelKey, int]]) -> None:
    """Write labels, new or seen again."""
    for key, seen_ns in labels:
        connection.execute(_PUT, (*key, seen_ns))


def remove_labels(connection: Connection, keys: Iterable[LabelKey]) -> None:
    """Remove labels that matter no more."""
    for key in keys:
        connection.execute(_REMOVE, key)


_ALL = "SELECT tenant, scope, subject, label, process, seen_ns FROM flow_labels"
_PUT = (
    "INSERT INTO flow_labels (tenant, scope, subject, label, process, seen_ns) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, scope, subject, label, process) DO UPDATE SET seen_ns = excluded.seen_ns"
)
_REMOVE = "DELETE FROM flow_labels WHERE tenant = ? AND scope = ? AND subject = ? AND label = ? AND process = ?"
