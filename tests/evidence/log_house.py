"""A log of evidence at work in a test, with what it told the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cenoby.kernel.clock import ManualClock
from cenoby.kernel.events import Event
from cenoby.kernel.settings import EgressSettings
from cenoby.kernel.settings_evidence import EvidenceSettings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.evidence.destinations import destination_for
from cenoby.protection.evidence.log import EvidenceLog
from cenoby.protection.evidence.log_keys import LogKeys
from cenoby.protection.evidence.notes import NoteKey
from cenoby.store.database import Database
from cenoby.store.journal import Journal


async def no_secret(name: str) -> str:
    """Stands for the vault where no destination needs one."""
    raise AssertionError(name)


class House:
    """A log at work.

    Args:
        database: where journal and log are.
        folder: where its key and working copies are.
        clock: of both.
        allow: inside addresses that may be reached.
        settings: of the log.
    """

    def __init__(
        self, database: Database, folder: Path, clock: ManualClock, allow: tuple[str, ...] = (), **settings: Any
    ) -> None:
        self.events: list[Event] = []
        self.clock = clock
        self.database = database
        self.keys = LogKeys("file", folder / "log.key", {})
        self.settings = EvidenceSettings(**settings)
        self.egress = EgressGuard(EgressSettings(allow=list(allow)))
        self.log = EvidenceLog(
            database,
            clock,
            self.settings,
            self.keys,
            colony="main",
            note=self.events.append,
            destinations=[
                destination_for(one, self.egress, folder / "copies", no_secret) for one in self.settings.publish
            ],
        )
        self.journal = Journal(database, node="n1", clock=clock)

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.log._origin

    async def verify_keys(self) -> list[NoteKey]:
        """The public keys that sign."""
        return [NoteKey.from_text(text) for text in (await self.log.view()).keys]

    async def stop(self) -> None:
        """Stop it, as a colony does."""
        await self.log.stop()
        await self.egress.aclose()
