"""The flight recorder: the last calls with the time each stage took, always on.

A finished call costs one append of the marks that it carried anyway; spans are only built when somebody looks. Building
OpenTelemetry spans on the way would cost about twenty times more, so those are an export (`otlp.py`) of a sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec


class CallTrace(msgspec.Struct, gc=False):
    """What one finished call, or one other piece of work, leaves behind.

    Attributes:
        correlation: id shared by everything that one call from outside set off.
        invocation: id of this call; the id of its root span.
        tool: canonical tool name, or the name of other work.
        agent: who called; empty for work of the colony's own.
        status: ok, error, refused, parked or cancelled.
        start_ns: wall time of the start, Unix nanoseconds.
        marks: `(name, monotonic nanoseconds)` at the END of each stage; the first entry is the start itself.
        parent: id of the span it happened in, where known.
        tenant: of who called; empty for work of the colony's own.
    """

    correlation: str
    invocation: str
    tool: str
    agent: str
    status: str
    start_ns: int
    marks: list[tuple[str, int]]
    parent: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A named stretch of time within a call; the root span of a call has its invocation's id."""

    id: str
    parent: str
    correlation: str
    name: str
    agent: str
    status: str
    start_ns: int
    duration_ns: int


class Recorder:
    """A bounded ring of finished calls; the oldest gives way.

    Args:
        spans: how many finished calls to keep.
        sink: told of each finished call, e.g. an exporter's `offer`; must be quick and never raise.
    """

    def __init__(self, spans: int, sink: Callable[[CallTrace], None] | None = None) -> None:
        self._ring: deque[CallTrace] = deque(maxlen=spans)
        self._sink = sink

    def __len__(self) -> int:
        return len(self._ring)

    def record(self, trace: CallTrace) -> None:
        """Keep a finished call."""
        self._ring.append(trace)
        if self._sink is not None:
            self._sink(trace)

    def traces(self, correlation: str | None = None, limit: int = 100, *, tenant: str | None = None) -> list[CallTrace]:
        """The last `limit` finished calls, newest first; only those of one correlation or tenant where one is given."""
        found: list[CallTrace] = []
        # A copy, because another thread may finish work while this one reads.
        for trace in reversed(self._ring.copy()):
            if len(found) >= limit:
                break
            if correlation in (None, trace.correlation) and tenant in (None, trace.tenant):
                found.append(trace)
        return found

    def spans(self, correlation: str | None = None, limit: int = 1000, *, tenant: str | None = None) -> list[Span]:
        """At most `limit` spans of the latest calls, in order of their start; see `traces`."""
        found: list[Span] = []
        for trace in self.traces(correlation, limit, tenant=tenant):
            found.extend(expand(trace))
            if len(found) >= limit:
                break
        return sorted(found[:limit], key=lambda span: (span.start_ns, -span.duration_ns))


def expand(trace: CallTrace) -> list[Span]:
    """The spans of one finished call: the root first, then one for each stage it passed."""
    begun = trace.marks[0][1]
    root = Span(
        id=trace.invocation,
        parent=trace.parent,
        correlation=trace.correlation,
        name=trace.tool or "unknown tool",
        agent=trace.agent,
        status=trace.status,
        start_ns=trace.start_ns,
        duration_ns=trace.marks[-1][1] - begun,
    )
    return [root, *_stages(trace, begun)]


def _stages(trace: CallTrace, begun: int) -> Iterator[Span]:
    previous = begun
    for position, (name, ended) in enumerate(trace.marks[1:], 1):
        yield Span(
            id=f"{trace.invocation}/{position}",
            parent=trace.invocation,
            correlation=trace.correlation,
            name=name,
            agent=trace.agent,
            status="ok" if position < len(trace.marks) - 1 else trace.status,
            start_ns=trace.start_ns + previous - begun,
            duration_ns=ended - previous,
        )
        previous = ended
