"""What lowers an agent by itself: security, budget and errors; who is spared; and that only a person raises it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cenoby.access.autonomy.autonomy import Level, subject_of
from cenoby.access.autonomy.events import AutonomyLowered
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.autonomy.watch import AutonomyWatch
from cenoby.access.limits import LimitExceeded
from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.errors import ColonyUnavailable, ToolFault
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings_autonomy import AutonomySettings, LowerSettings
from cenoby.kernel.settings_file import load_settings
from cenoby.protection.rules.errors import RuleRefused
from cenoby.store.database import Database
from cenoby.store.journal import JournalQuery
from tests.stores import cache_of

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
FAULT, DOWN = ToolFault("tool_failed", "It failed."), ColonyUnavailable("mad_down", "It is down.")
VIOLATED = RuleRefused("rule_violated", "No.")


class Watched:
    """A watch on levels of their own, and what it noted."""

    def __init__(self, levels: AutonomyLevels, clock: ManualClock) -> None:
        self.levels, self.clock = levels, clock
        self.noted: list[AutonomyLowered] = []
        settings = AutonomySettings(lower=LowerSettings(on=True, seconds=60, calls=4, errors=0.5))
        self.watch = AutonomyWatch(levels, settings, clock, self._note)

    async def _note(self, event: AutonomyLowered, principal: Principal) -> None:
        assert principal.agent == event.agent
        self.noted.append(event)

    async def ended(self, *errors: CenobyError | None, who: Principal = ADA, began: bool = True) -> Level:
        for error in errors:
            await self.watch.ended(who, error, began)
        return self.levels.standing(subject_of(who)).level


@pytest.fixture
async def watched(database: Database, clock: ManualClock) -> Watched:
    cache = cache_of(database)
    levels = AutonomyLevels(cache, clock, AutonomySettings())
    await cache.warm()
    return Watched(levels, clock)


async def test_too_many_errors_in_a_span(watched: Watched) -> None:
    """Half of at least four calls: supervised. Fewer calls, a smaller share, an older span, what the agent cannot help
    and what never ran count for nothing."""
    assert await watched.ended(FAULT, FAULT, FAULT) is Level.FULL
    watched.clock.advance(61)
    assert await watched.ended(FAULT, None, None, None, None, DOWN, DOWN) is Level.FULL
    watched.clock.advance(61)
    assert await watched.ended(*[FAULT] * 9, began=False) is Level.FULL
    assert await watched.ended(None, FAULT, None) is Level.FULL
    assert await watched.ended(FAULT) is Level.SUPERVISED
    [event] = watched.noted
    assert (event.was, event.now, event.cause, event.notes) == ("full", "supervised", "errors", "2 of 4 calls failed")


async def test_a_spent_budget_of_its_own(watched: Watched) -> None:
    """The agent's own account lowers it; that of a MAD, a tenant or another agent does not."""

    def exhausted(account: str) -> LimitExceeded:
        return LimitExceeded("budget_exhausted", "No.", details={"account": account})

    others = [exhausted(one) for one in ("mad 'fiedler'", "tenant 'default'", "agent 'bob'")]
    assert await watched.ended(*others, began=False) is Level.FULL
    assert await watched.ended(exhausted("agent 'ada'"), began=False) is Level.SUPERVISED


async def test_a_security_event_locks_and_only_a_person_opens(watched: Watched) -> None:
    """Locked from whatever level; more errors do not lift it; a person raises it, and the next event locks again; the
    person who caused one is spared."""
    person = msgspec.structs.replace(ADA, kind="person")
    assert await watched.ended(VIOLATED, who=person, began=False) is Level.FULL
    assert await watched.ended(VIOLATED, VIOLATED, began=False) is Level.LOCKED
    assert await watched.ended(*[FAULT] * 8) is Level.LOCKED
    watched.clock.advance(5)
    await watched.levels.set(OLA, "agent", subject_of(ADA), Level.SEMI, "forgiven", Level.LOCKED)
    assert await watched.ended(None) is Level.SEMI
    assert await watched.ended(VIOLATED, began=False) is Level.LOCKED
    assert [(one.was, one.now, one.cause) for one in watched.noted] == [
        ("full", "locked", "security"),
        ("semi", "locked", "security"),
    ]


async def call(colony: Colony, verb: str, who: Principal, /, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(verb, arguments, who))


@pytest.mark.parametrize("on", [True, False])
async def test_a_broken_rule_locks_the_caller_before_it_is_answered(tmp_path: Path, on: bool) -> None:
    """In the pipeline: the very next call waits for a person; journalled with the agent; nothing of it where it is off,
    as shipped."""
    overrides: dict[str, Any] = {
        "data": tmp_path / "data",
        "mads": ["rogers", "grace"],
        "telemetry": {"log_level": "error"},
        "autonomy": {"lower": {"on": on}},
    }
    search = "mads.rogers.search"
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        refused = await call(colony, search, ADA, query="-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n")
        assert refused.error is not None and refused.error.code == "rule_violated"
        assert (await call(colony, search, ADA, query="x")).status == ("parked" if on else "ok")
        page = await colony.parts.ports.journal.page(JournalQuery(code="autonomy_lowered", limit=5))
        assert [one.agent for one in page.records] == (["ada"] if on else [])
