"""Events beside calls reach the journal, also those of a stop's last moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from cenoby.app import event_notes
from cenoby.app.event_notes import EventNotes
from cenoby.colony.events import MadKilled
from cenoby.kernel.clock import ManualClock
from cenoby.store.database import Database
from cenoby.store.journal import Journal, JournalQuery


class _Log:
    """Keeps the names of what is logged."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def warning(self, event: str, **facts: object) -> None:
        self._lines.append(event)

    error = warning


async def test_what_was_told_is_recorded_before_settle_returns(tmp_path: Path) -> None:
    """Nobody waits for a record but whoever takes the colony down."""
    clock = ManualClock()
    database = await Database.open(tmp_path / "colony.db", clock=clock)
    journal = Journal(database, node="main-1", clock=clock)
    await journal.start()
    notes = EventNotes(journal)
    for number in range(3):
        notes(MadKilled(mad=f"mad{number}", restarts=0))
    await notes.settle()
    assert len((await journal.page(JournalQuery(code="mad_killed"))).records) == 3
    await notes.settle()
    await database.close()


async def test_an_event_that_cannot_be_recorded_is_logged_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is gone takes neither whoever told of it nor the stop with it."""
    clock = ManualClock()
    database = await Database.open(tmp_path / "colony.db", clock=clock)
    journal = Journal(database, node="main-1", clock=clock)
    await journal.start()
    await database.close()
    notes = EventNotes(journal)
    logged: list[str] = []
    monkeypatch.setattr(event_notes, "_log", _Log(logged))
    notes(MadKilled(mad="marco", restarts=0))
    await notes.settle()
    assert logged == ["mad_killed", "event_not_recorded"]
