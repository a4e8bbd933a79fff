"""The watch over autonomy, where the settings want one: given its way into the journal."""

from __future__ import annotations

from cenoby.access.autonomy.events import AutonomyLowered
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.autonomy.watch import AutonomyWatch
from cenoby.access.principals import Principal
from cenoby.kernel.clock import Clock
from cenoby.kernel.settings_autonomy import AutonomySettings
from cenoby.store.journal import Entry, Journal, RecordRef


def make_watch(
    settings: AutonomySettings, levels: AutonomyLevels, clock: Clock, journal: Journal
) -> AutonomyWatch | None:
    """What lowers agents by itself; None where the settings leave that to people."""
    if not settings.lower.on:
        return None

    async def note(event: AutonomyLowered, principal: Principal) -> RecordRef:
        return await journal.append(Entry.event(event, tenant=principal.tenant, agent=principal.agent))

    return AutonomyWatch(levels, settings, clock, note)
