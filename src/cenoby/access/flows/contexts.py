"""The contexts that labels gather in: an agent, a place where agents leave things for each other, a task.

Reads come from memory. A label that is new to a context is on disk before the call that brings it runs, and is written
again only when its time moved on by more than `_SLACK_NS`; the time on disk is that much ahead, so that after a restart
a label counts rather too long. What other processes saw comes in through the cached table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from cenoby.access.flows.labels import TAINT
from cenoby.access.flows.provenance import Provenance
from cenoby.access.flows.sql import LabelKey, put_labels, read_labels, remove_labels
from cenoby.access.limits import LimitExceeded
from cenoby.kernel.clock import Clock
from cenoby.kernel.ids import new_id
from cenoby.store.database import StoreUnavailable
from cenoby.store.engine import Connection
from cenoby.store.table_cache import Change, TableCache

_SLACK_NS = 60 * 1_000_000_000
_TRIES = 20
MOST_CONTEXTS = 20_000
"""Contexts beyond which those without living labels are dropped."""
MOST_CHARS = 64 * 1024 * 1024
"""Characters of text that all contexts together keep; beyond it, what was used longest ago is let go."""
Due = tuple[LabelKey, int]
"""A label that must be written, and until when it counts as seen just now."""


class ContextKey(NamedTuple):
    """Which context: `scope` is `agent`, `place` or `task`."""

    tenant: str
    scope: str
    subject: str


class Context:
    """What one agent, place or task has seen.

    Attributes:
        labels: when each label was last seen, Unix nanoseconds, by any process.
        provenance: whose words are whose; None where nothing was kept.
        places: where it read or posted, newest last, each with the characters of it that were taken over.
        lost_ns: when another process, or this one before a restart, last saw content from outside for it.
        used_ns: when it was last asked for.
    """

    __slots__ = ("key", "labels", "lost_ns", "places", "provenance", "stored", "used_ns")

    def __init__(self, key: ContextKey) -> None:
        self.key = key
        self.labels: dict[str, int] = {}
        self.stored: dict[str, int] = {}
        self.provenance: Provenance | None = None
        self.places: dict[ContextKey, int] = {}
        self.lost_ns = 0
        self.used_ns = 0

    def seen(self) -> Provenance:
        """Its provenance, begun where there was none."""
        if self.provenance is None:
            self.provenance = Provenance()
        return self.provenance


class Contexts:
    """All contexts of this process.

    Args:
        cache: keeps the labels; its table `flow_labels` is ours.
        clock: the time.
        keep_ns: for how long a label can matter.
        most: labels of all contexts together.
    """

    def __init__(self, cache: TableCache, clock: Clock, keep_ns: int, most: int) -> None:
        self._cache = cache
        self._clock = clock
        self._keep_ns = keep_ns
        self._most = most
        self._process = new_id()
        self._contexts: dict[ContextKey, Context] = {}
        self._labels = 0
        self._chars = 0
        self._sweep_at = MOST_CONTEXTS
        self._swept_ns = 0
        self._table = cache.table("flow_labels", read_labels, self._changed)

    def find(self, key: ContextKey) -> Context | None:
        """The context of that key, if it has seen anything.

        Raises:
            StoreUnavailable: store_cold: the labels were not read yet.
        """
        self._table.all()
        return self._contexts.get(key)

    def get(self, key: ContextKey) -> Context:
        """The context of that key, begun where there was none.

        Raises:
            StoreUnavailable: store_cold: the labels were not read yet.
        """
        self._table.all()
        context = self._contexts.get(key)
        if context is None:
            if len(self._contexts) >= self._sweep_at:
                self._sweep(self._clock.now_ns())
                self._sweep_at = max(MOST_CONTEXTS, len(self._contexts) * 2)
            context = self._contexts[key] = Context(key)
        context.used_ns = self._clock.now_ns()
        return context

    def grown(self, chars: int) -> None:
        """So many characters of text were taken; beyond `MOST_CHARS` the oldest are let go."""
        self._chars += chars
        if self._chars > MOST_CHARS:
            self._sweep(self._clock.now_ns())

    def places(self, tenant: str, mad: str) -> list[Context]:
        """All places of a MAD that have seen anything."""
        start = f"{mad}:"
        return [
            context
            for key, context in self._contexts.items()
            if key.scope == "place" and key.tenant == tenant and key.subject.startswith(start)
        ]

    def note(self, contexts: Iterable[Context], labels: Mapping[str, int]) -> list[Due]:
        """Have contexts see labels at given times; what of it must be written before anybody relies on it.

        Raises:
            LimitExceeded: flows_full.
        """
        due: list[Due] = []
        for context in contexts:
            for label, seen_ns in labels.items():
                if label not in context.labels:
                    self._count(seen_ns)
                context.labels[label] = max(seen_ns, context.labels.get(label, 0))
                if context.stored.get(label, 0) < seen_ns:
                    due.append((LabelKey(*context.key, label, self._process), seen_ns + _SLACK_NS))
        return due

    async def write(self, due: list[Due]) -> None:
        """Make labels durable; where that fails they count all the same for as long as this process lives.

        Raises:
            StoreUnavailable: they could not be written.
        """
        if not due:
            return
        old = self._old(self._clock.now_ns())

        def work(connection: Connection) -> tuple[None, list[Change]]:
            put_labels(connection, due)
            remove_labels(connection, old)
            return None, [(self._table, dict(due) | dict.fromkeys(old))]

        for left in reversed(range(_TRIES)):
            try:
                await self._cache.write(work)
                break
            except StoreUnavailable as error:
                # Another process is just writing labels: transactions of a millisecond.
                if error.code != "store_lease_held" or left == 0:
                    raise
        for key, seen_ns in due:
            if context := self._contexts.get(ContextKey(*key[:3])):
                context.stored[key.label] = max(seen_ns, context.stored.get(key.label, 0))

    def _count(self, now_ns: int) -> None:
        if self._labels >= self._most:
            self._sweep(now_ns)
        if self._labels >= self._most:
            raise LimitExceeded(
                "flows_full",
                f"{self._most} labels are kept, as many as flows.max_labels allows; try again when some have lapsed.",
                retry_after=60,
            )
        self._labels += 1

    def _old(self, now_ns: int) -> list[LabelKey]:
        if now_ns - self._swept_ns < _SLACK_NS:
            return []
        self._swept_ns = now_ns
        since_ns = now_ns - self._keep_ns
        return [key for key, seen_ns in self._table.all().items() if seen_ns < since_ns]

    def _sweep(self, now_ns: int) -> None:
        """Forget labels whose time is over, contexts without any, and at need the text of those used longest ago."""
        since_ns = now_ns - self._keep_ns
        for key, context in list(self._contexts.items()):
            context.labels = {label: seen for label, seen in context.labels.items() if seen >= since_ns}
            if not context.labels and context.used_ns < since_ns:
                del self._contexts[key]
        self._labels = sum(len(context.labels) for context in self._contexts.values())
        kept = sorted((one for one in self._contexts.values() if one.provenance), key=lambda one: one.used_ns)
        chars = sum(one.provenance.chars for one in kept if one.provenance)
        for number, context in enumerate(kept):
            if chars <= MOST_CHARS // 2 and len(kept) - number <= MOST_CONTEXTS // 2:
                break
            assert context.provenance is not None
            chars -= context.provenance.chars
            if context.provenance.foreign:
                context.lost_ns = now_ns
            context.provenance = None
            if not context.labels:
                self._contexts.pop(context.key, None)
        self._chars = chars

    def _changed(self, keys: Collection[LabelKey]) -> None:
        rows = self._table.all()
        for key in keys:
            seen_ns = rows.get(key)
            if seen_ns is None or key.process == self._process:
                continue
            context = self._contexts.setdefault(place := ContextKey(*key[:3]), Context(place))
            if key.label not in context.labels:
                self._labels += 1
            context.labels[key.label] = max(seen_ns, context.labels.get(key.label, 0))
            if key.label == TAINT:
                context.lost_ns = max(seen_ns, context.lost_ns)
