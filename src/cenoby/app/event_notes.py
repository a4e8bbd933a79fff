"""Journalling what happens beside calls: whoever tells of an event does not wait for its record, and none is lost."""

from __future__ import annotations

import asyncio

from cenoby.colony.breaker import BreakerView, CircuitState
from cenoby.colony.events import CircuitClosed, CircuitOpen, NodeJoined
from cenoby.kernel.events import Event, name_of, plain_event
from cenoby.store.journal import Entry, Journal, RecordRef
from cenoby.telemetry.logs import get_logger

_log = get_logger("app")


class EventNotes:
    """Takes events of the colony itself, and sees to their records.

    Args:
        journal: where they are recorded.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._under_way: set[asyncio.Task[RecordRef]] = set()

    def __call__(self, event: Event) -> None:
        """Log an event and begin its record."""
        facts = plain_event(event)
        log = _log.info if isinstance(event, NodeJoined) else _log.warning
        log(name_of(event), **{name: value for name, value in facts.items() if name != "event"})
        task = asyncio.ensure_future(self._journal.append(Entry.event(event)))
        self._under_way.add(task)
        task.add_done_callback(self._recorded)

    def circuit(self, view: BreakerView) -> None:
        """The event of a circuit that changed; a probe is none."""
        circuit, failures, why = view.name, view.failures, view.reason
        if view.state is CircuitState.CLOSED:
            self(CircuitClosed(circuit=circuit, failures=failures, notes=why))
        elif view.state is CircuitState.OPEN:
            self(CircuitOpen(circuit=circuit, failures=failures, held=view.retry_after is None, notes=why))

    async def settle(self) -> None:
        """Wait until every event that was told has its record, or has failed to get one, which is logged."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _recorded(self, task: asyncio.Task[RecordRef]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("event_not_recorded", reason=str(error))
