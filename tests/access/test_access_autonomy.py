"""Autonomy: what each level leaves to a person, whose level holds, who changes it, and what wins a race."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.access.actions import RiskTier, known_actions, tier_of
from cenoby.access.autonomy.autonomy import Level, LevelRow, Scope, Standing, Subject, ask_of, standing_of
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.kernel.settings_autonomy import AutonomySettings
from cenoby.kernel.settings_file import load_settings
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.journal import JournalQuery
from tests.stores import cache_of

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
ROBOT = Principal("robot", "default", ("operator",), "agent")
SUBJECT = Subject("default", "ada", "lab", "", "")
SEARCH, SET = "mads.rogers.search", "mads.grace.set_autonomy"

ASKS = {
    "code:write": (Level.SUPERVISED, Level.LOCKED),
    "code:read": (Level.LOCKED,),
    "code:delete": (Level.SEMI, Level.SUPERVISED, Level.LOCKED),
    "vcs:commit": (Level.SUPERVISED, Level.LOCKED),
    "vcs:push": (Level.SEMI, Level.SUPERVISED, Level.LOCKED),
    "test:run": (Level.LOCKED,),
    "docs:write": (Level.SUPERVISED, Level.LOCKED),
    "comms:internal": (Level.SUPERVISED, Level.LOCKED),
    "comms:external": (Level.SEMI, Level.SUPERVISED, Level.LOCKED),
    "db:query": (Level.LOCKED,),
    "db:mutate": (Level.SEMI, Level.SUPERVISED, Level.LOCKED),
    "web:fetch": (Level.SEMI, Level.SUPERVISED, Level.LOCKED),
    "approval:decide": (Level.SEMI, Level.SUPERVISED, Level.LOCKED),
    "colony:read": (Level.LOCKED,),
    "kill:switch": (Level.LOCKED,),
    "nobody:knows": (Level.SEMI, Level.SUPERVISED, Level.LOCKED),
}


def row(scope: Scope, name: str, level: Level) -> LevelRow:
    return LevelRow("default", scope, name, level, "a test", "ola", 1)


def standing(subject: Subject, *rows: LevelRow, company: Any = "full", departments: Any = None) -> Standing:
    chosen = AutonomySettings(company=company, departments=departments or {})
    return standing_of(subject, {(one.tenant, one.scope, one.name): one for one in rows}, chosen)


@pytest.mark.parametrize("action", ASKS)
def test_what_each_level_leaves_to_a_person(action: str) -> None:
    """The presets, action type by action type; one that nobody registered asks at every level but full."""
    asking = {level for level in Level if ask_of(Standing(level, "agent"), action, tier_of(action))}
    assert asking == set(ASKS[action])


def test_a_stricter_level_never_asks_less() -> None:
    """For every registered action type and tier: what a level asks for, every stricter one asks for, too; a tier that
    an operator raised asks although the category passes; locked asks for everything."""
    for action in known_actions():
        for risk in RiskTier:
            asked = [ask_of(Standing(level, "agent"), action, risk) is not None for level in Level]
            assert asked == sorted(asked, reverse=True), (action, risk)
            assert asked[Level.LOCKED] and not asked[Level.FULL]
    assert ask_of(Standing(Level.SEMI, "agent"), "docs:write", RiskTier.HIGH) is not None


def test_whose_level_holds() -> None:
    """The agent's own, else its department's, else the company's; what was set wins over the settings; another tenant's
    and another department's do not matter."""
    lab, company, own = (
        row("department", "lab", Level.SEMI),
        row("company", "", Level.LOCKED),
        row("agent", "ada", Level.FULL),
    )
    assert standing(SUBJECT) == (Level.FULL, "company")
    assert standing(SUBJECT, company="supervised") == (Level.SUPERVISED, "company")
    assert standing(SUBJECT, departments={"lab": "locked"}) == (Level.LOCKED, "department")
    assert standing(SUBJECT, company) == (Level.LOCKED, "company")
    assert standing(SUBJECT, lab, company, departments={"lab": "locked"}) == (Level.SEMI, "department")
    assert standing(SUBJECT, own, lab, company) == (Level.FULL, "agent")
    assert standing(SUBJECT._replace(department="shop"), lab) == (Level.FULL, "company")
    assert standing(SUBJECT._replace(tenant="elsewhere"), own, lab, company) == (Level.FULL, "company")


def test_what_holds_a_level_down() -> None:
    """A junior never has full; a hold is above everything that was set; registering lowers and never lifts."""
    junior, own = SUBJECT._replace(seniority="junior"), row("agent", "ada", Level.FULL)
    assert standing(junior) == (Level.SEMI, "seniority")
    assert standing(junior, own) == (Level.SEMI, "seniority")
    assert standing(junior, company="locked") == (Level.LOCKED, "company")
    assert standing(SUBJECT, own, row("held", "ada", Level.LOCKED)) == (Level.LOCKED, "held")
    assert standing(SUBJECT, row("held", "ada", Level.SEMI), company="locked") == (Level.LOCKED, "company")
    assert standing(SUBJECT._replace(own="supervised")) == (Level.SUPERVISED, "registration")
    assert standing(SUBJECT._replace(own="full"), company="semi") == (Level.SEMI, "company")


async def test_department_seniority_and_registration_come_with_the_caller(
    database: Database, clock: ManualClock
) -> None:
    """What identity says of an agent decides its level at each call, and a change holds at the next one."""
    levels = await levels_on(database, clock, "full")

    def asked(**of: Any) -> str:
        ask = levels.ask(Principal("ada", "default", ("developer",), "agent", **of), "web:fetch", RiskTier.MEDIUM)
        return ask.by if ask else ""

    assert [asked(), asked(seniority="junior"), asked(autonomy="locked")] == ["", "autonomy:semi", "autonomy:locked"]
    await levels.set(OLA, "department", SUBJECT, Level.SUPERVISED, "audit")
    assert [asked(), asked(department="lab")] == ["", "autonomy:supervised"]
    await levels.set(OLA, "company", SUBJECT, Level.LOCKED, "audit")
    assert [asked(), asked(department="lab")] == ["autonomy:locked", "autonomy:supervised"]
    assert levels.ask(msgspec.structs.replace(ADA, kind="person"), "web:fetch", RiskTier.MEDIUM) is None


async def levels_on(database: Database, clock: ManualClock, company: Any = "semi") -> AutonomyLevels:
    cache = cache_of(database)
    levels = AutonomyLevels(cache, clock, AutonomySettings(company=company))
    await cache.warm()
    return levels


async def refusal(levels: AutonomyLevels, who: Principal, level: Level, **more: Any) -> str:
    with pytest.raises(AccessRefused) as refused:
        await levels.set(who, "agent", more.pop("subject", SUBJECT), level, "why", **more)
    return refused.value.code


async def test_only_a_person_of_the_tenant_sets_a_level(database: Database, clock: ManualClock) -> None:
    """Not an agent with every capability, not another tenant's person, not above a junior's ceiling, and not upon a
    level that is another by now. What a person sets outlasts the process, and can be taken back."""
    levels = await levels_on(database, clock)
    elsewhere = Principal("eve", "elsewhere", ("operator",), "person")
    assert await refusal(levels, ROBOT, Level.LOCKED) == "autonomy_by_person"
    assert await refusal(levels, elsewhere, Level.FULL) == "autonomy_by_person"
    assert await refusal(levels, OLA, Level.FULL, subject=SUBJECT._replace(seniority="junior")) == "autonomy_ceiling"
    assert await refusal(levels, OLA, Level.FULL, seen=Level.LOCKED) == "autonomy_changed"
    assert levels.standing(SUBJECT) == (Level.SEMI, "company")
    assert await levels.set(OLA, "agent", SUBJECT, Level.FULL, "trusted", Level.SEMI) == (Level.SEMI, Level.FULL)
    assert (await levels_on(database, clock)).standing(SUBJECT) == (Level.FULL, "agent")
    assert await levels.set(OLA, "department", SUBJECT, Level.LOCKED, "audit") == (Level.SEMI, Level.LOCKED)
    assert await levels.set(OLA, "agent", SUBJECT, None, "back") == (Level.FULL, Level.LOCKED)
    assert await levels.set(OLA, "company", SUBJECT, Level.FULL, "all") == (Level.SEMI, Level.FULL)
    assert [(one.scope, one.level) for one in levels.list("default")] == [("company", 3), ("department", 0)]


async def test_a_hold_is_as_strict_as_the_strictest_and_ends_by_a_person(
    database: Database, clock: ManualClock
) -> None:
    """Two at once: the stricter holds, in whichever order; a person who lowers leaves it, one who raises ends it."""
    levels = await levels_on(database, clock, "full")
    await asyncio.gather(*(levels.hold("default", "ada", one, "x") for one in (Level.LOCKED, Level.SUPERVISED)))
    assert levels.standing(SUBJECT) == (Level.LOCKED, "held")
    assert (await levels_on(database, clock, "full")).standing(SUBJECT) == (Level.LOCKED, "held")
    await levels.set(OLA, "company", SUBJECT, Level.FULL, "does not lift it")
    assert await levels.set(OLA, "agent", SUBJECT, Level.LOCKED, "as it is") == (Level.LOCKED, Level.LOCKED)
    assert [one.scope for one in levels.list("default")] == ["agent", "company", "held"]
    assert await levels.set(OLA, "agent", SUBJECT, Level.SEMI, "forgiven") == (Level.LOCKED, Level.SEMI)
    assert [one.scope for one in levels.list("default")] == ["agent", "company"]


async def test_a_hold_wins_over_a_raise_that_is_under_way(database: Database, clock: ManualClock) -> None:
    """Begun together: whichever is written first, the agent is held at the end. A hold of the same level that came
    after the one that the person knew of is none that a raise may end."""
    levels = await levels_on(database, clock, "supervised")
    for order in ((0, 1), (1, 0)):
        clock.advance(1)
        raising = levels.set(OLA, "agent", SUBJECT, Level.FULL, "trusted")
        holding = levels.hold("default", "ada", Level.LOCKED, "x")
        both = [raising, holding]
        await asyncio.gather(*(both[place] for place in order), return_exceptions=True)
        assert levels.standing(SUBJECT) == (Level.LOCKED, "held")
    other = await levels_on(database, clock, "supervised")
    clock.advance(1)
    await other.hold("default", "ada", Level.LOCKED, "again, on another node")
    assert await refusal(levels, OLA, Level.FULL, seen=Level.LOCKED) == "autonomy_changed"
    assert await refusal(levels, OLA, Level.FULL) == "autonomy_changed"


STEP = st.one_of(
    st.tuples(st.sampled_from(["agent", "department", "company"]), st.sampled_from([*Level, None])),
    st.tuples(st.just("held"), st.sampled_from(list(Level))),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=8), st.sampled_from(["", "junior", "senior"]))
def test_no_sequence_of_changes_lets_a_call_pass_that_the_level_in_force_asks_for(
    fresh_file: Callable[[], Path], steps: list[tuple[Any, Any]], seniority: str
) -> None:
    """After any changes the level is what a plain model says, here and in a process that reads the rows anew; it is
    never above the strictest hold that no person has raised since, nor above a junior's."""
    subject = SUBJECT._replace(seniority=seniority)
    ceiling = Level.SEMI if seniority == "junior" else Level.FULL
    asyncio.run(_play(fresh_file(), subject, ceiling, steps))


async def _play(file: Path, subject: Subject, ceiling: Level, steps: list[tuple[Any, Any]]) -> None:
    clock = ManualClock()
    database = await Database.open(engine_for(f"sqlite:///{file}", file.parent), clock=clock)
    levels = await levels_on(database, clock, "semi")
    said: dict[str, Level | None] = {}
    hold = Level.FULL
    for scope, level in steps:
        clock.advance(1)
        if scope == "held":
            await levels.hold("default", "ada", level, "x")
            hold = min(hold, level)
        elif scope == "agent" and level is not None and level > ceiling:
            assert await refusal(levels, OLA, level, subject=subject) == "autonomy_ceiling"
        else:
            await levels.set(OLA, scope, subject, level, "x")
            said[scope] = level
            if scope == "agent" and (level is None or level > hold):
                hold = Level.FULL
        wide = next((one for one in map(said.get, ("agent", "department", "company")) if one is not None), Level.SEMI)
        wanted = min(wide, ceiling, hold)
        for one in (levels, await levels_on(database, clock, "semi")):
            found = one.standing(subject)
            assert found.level is wanted
    await database.close()


def colony_on(folder: Path, company: str) -> Any:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["rogers", "grace"],
        "telemetry": {"log_level": "error"},
        "autonomy": {"company": company},
    }
    return open_colony(load_settings(environment={}, overrides=overrides), SystemClock())


async def call(colony: Colony, verb: str, who: Principal, /, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(verb, arguments, who))


async def payloads(colony: Colony, code: str) -> list[dict[str, Any]]:
    """Of the records with this code, the newest first."""
    journal = colony.parts.ports.journal
    found = [await journal.get(one.id) for one in (await journal.page(JournalQuery(code=code, limit=20))).records]
    return [one.payload for one in found if one is not None and isinstance(one.payload, dict)]


def code(outcome: Outcome) -> str:
    return outcome.error.code if outcome.error else ""


async def test_a_call_that_a_level_asks_for_waits_for_a_person(tmp_path: Path) -> None:
    """In the pipeline: supervised reads and asks before it writes; a person is never asked; what no policy permits is
    denied and not asked; full and locked from the next call on; the journal has who, whose, from, to and why."""
    async with colony_on(tmp_path, "supervised") as colony:
        await colony.parts.ports.identities.create_token("ada", ["developer"])
        opens = ("mads.rogers.create_conversation",)
        assert (await call(colony, SEARCH, ADA, query="x")).status == "ok"
        waiting = await call(colony, *opens, ADA, name="news")
        assert (waiting.status, code(waiting)) == ("parked", "approval_pending")
        assert (await call(colony, *opens, OLA, name="notes")).status == "ok"
        assert code(await call(colony, "mads.grace.list_tokens", ADA)) == "action_not_allowed"
        [asked_for] = await payloads(colony, "approval_pending")
        assert asked_for["asked_by"] == ["autonomy:supervised"]

        asked = {"scope": "agent", "name": "ada", "reason": "proven"}
        assert code(await call(colony, SET, ROBOT, **asked, level="full")) == "approval_pending"
        assert code(await call(colony, SET, OLA, **asked, level="full", seen="semi")) == "autonomy_changed"
        assert code(await call(colony, SET, OLA, **asked | {"name": "adda"}, level="full")) == "arguments_invalid"
        changed = await call(colony, SET, OLA, **asked, level="full", seen="supervised")
        assert (changed.value["was"], changed.value["now"]) == ("supervised", "full")
        assert (await call(colony, *opens, ADA, name="later")).status == "ok"
        assert code(await call(colony, "mads.grace.list_tokens", ADA)) == "action_not_allowed"
        await call(colony, SET, OLA, **asked, level="locked")
        assert code(await call(colony, SEARCH, ADA, query="x")) == "approval_pending"
        changes = [
            (one["name"], one["was"], one["now"], one["notes"]) for one in await payloads(colony, "autonomy_set")
        ]
        assert changes == [("ada", "full", "locked", "proven"), ("ada", "supervised", "full", "proven")]
        shown = (await call(colony, "mads.grace.list_autonomy", OLA)).value
        assert {"agent": "ada", "level": "locked", "by": "agent"} in shown["agents"]
        assert {"agent": "rogers", "level": "supervised", "by": "company"} in shown["agents"]
        status = (await call(colony, "mads.grace.status", OLA)).value
        assert status["protections"]["autonomy"] == "supervised, 1 levels set"
