"""Kill switches: what they stop, for whom, what is at work meanwhile, and who lifts them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.access.kills import Kills
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.database import Database
from cenoby.store.journal import JournalQuery
from tests.stores import cache_of

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
EVE = Principal("eve", "elsewhere", ("operator",), "person")
MARY = Principal("mary", "elsewhere", ("developer",), "agent")
STATUS, SWITCH = "mads.grace.status", "mads.grace.throw_kill_switch"


def colony_on(folder: Path) -> Any:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["rogers", "grace"],
        "telemetry": {"log_level": "error"},
    }
    return open_colony(load_settings(environment={}, overrides=overrides), SystemClock())


async def call(colony: Colony, verb: str, who: Principal | str, /, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(verb, arguments, who))


async def throw(colony: Colony, who: Principal, scope: str, name: str = "") -> Outcome:
    return await call(colony, SWITCH, who, scope=scope, name=name, reason="it drifts.")


def code(outcome: Outcome) -> str:
    return outcome.error.code if outcome.error else ""


@pytest.mark.parametrize(
    ("scope", "name"),
    [("agent", "ada"), ("mad", "rogers"), ("tool", "mads.rogers.search"), ("tenant", "default"), ("all", "")],
)
async def test_what_is_stopped_is_refused_until_a_person_lifts_it(tmp_path: Path, scope: str, name: str) -> None:
    """Of every scope: refused with the reason, also after a restart; people still see the colony and lift the switch;
    both are journalled."""
    async with colony_on(tmp_path) as colony:
        await colony.parts.ports.identities.create_token("ada", ["developer"])
        assert (await call(colony, "mads.rogers.search", ADA, query="x")).status == "ok"
        assert (await throw(colony, OLA, scope, name)).status == "ok"
        assert code(await call(colony, "mads.rogers.search", ADA, query="x")) == "killed"
    async with colony_on(tmp_path) as colony:
        refused = await call(colony, "mads.rogers.search", ADA, query="x")
        assert refused.error is not None
        assert (refused.status, refused.error.code) == ("refused", "killed")
        assert "it drifts." in refused.error.message
        listed = (await call(colony, "mads.grace.list_kill_switches", OLA)).value["switches"]
        assert [(one["scope"], one["name"], one["set_by"]) for one in listed] == [(scope, name, "ola")]
        assert (await call(colony, STATUS, OLA)).status == "ok"
        lifted = await call(colony, "mads.grace.lift_kill_switch", OLA, scope=scope, name=name)
        assert lifted.value == {"switches": []}
        assert (await call(colony, "mads.rogers.search", ADA, query="x")).status == "ok"
        for event in ("kill_switch_thrown", "kill_switch_lifted"):
            page = await colony.parts.ports.journal.page(JournalQuery(code=event, kind="event", limit=10))
            assert len(page.records) == 1


async def test_a_stopped_agent_is_refused_at_the_door_and_what_stands_open_ends(tmp_path: Path) -> None:
    """Its token opens nothing, not even a list of tools, and a hold on it is told at once; lifted, the token works."""
    async with colony_on(tmp_path) as colony:
        identities = colony.parts.ports.identities
        token = (await identities.create_token("ada", ["developer"])).text
        told = list[str]()
        identities.hold(identities.authenticate(token), lambda error: told.append(error.code))
        await throw(colony, OLA, "agent", "ada")
        assert told == ["killed"]
        with pytest.raises(AccessRefused) as refused:
            identities.authenticate(token)
        assert refused.value.code == "killed"
        assert code(await call(colony, STATUS, token)) == "killed"
        await call(colony, "mads.grace.lift_kill_switch", OLA, scope="agent", name="ada")
        assert identities.authenticate(token).agent == "ada"


async def test_a_call_at_work_is_cut_off(tmp_path: Path) -> None:
    """One that waits for news ends within the switch, others than those meant go on, and its outcome is recorded."""
    async with colony_on(tmp_path) as colony:
        for agent in ("ada", "bob"):
            await colony.parts.ports.identities.create_token(agent, ["developer"])
        bob = Principal("bob", "default", ("developer",), "agent")
        opened = (await call(colony, "mads.rogers.create_conversation", ADA, name="news", participants=["bob"])).value
        waiting = {
            who.agent: asyncio.ensure_future(
                call(colony, "mads.rogers.watch_conversation", who, conversation=opened["id"], seconds=20)
            )
            for who in (ADA, bob)
        }
        while colony.parts.ports.host.calls_under_way < 2:  # noqa: ASYNC110 - nobody tells when they have begun
            await asyncio.sleep(0.01)
        await throw(colony, OLA, "agent", "ada")
        ended = await asyncio.wait_for(waiting["ada"], 30)
        assert (ended.status, code(ended)) == ("error", "mad_stopped")
        assert not waiting["bob"].done()
        waiting["bob"].cancel()
        page = await colony.parts.ports.journal.page(JournalQuery(code="mad_stopped", limit=10))
        assert [record.agent for record in page.records] == ["ada"]


async def test_who_may_throw_and_lift(tmp_path: Path) -> None:
    """Not without the capability; an agent lifts none even with it; a name that is not there would stop nothing."""
    async with colony_on(tmp_path) as colony:
        await colony.parts.ports.identities.create_token("ada", ["developer"])
        robot = Principal("robot", "default", ("operator",), "agent")
        assert code(await throw(colony, ADA, "all")) == "action_not_allowed"
        assert code(await throw(colony, OLA, "agent", "adda")) == "arguments_invalid"
        assert (await throw(colony, robot, "agent", "ada")).status == "ok"
        lift = "mads.grace.lift_kill_switch"
        assert code(await call(colony, lift, robot, scope="agent", name="ada")) == "kill_not_yours"
        assert code(await call(colony, lift, OLA, scope="tool", name="mads.rogers.search")) == "arguments_invalid"
        assert (await call(colony, lift, OLA, scope="agent", name="ada")).status == "ok"


async def test_a_tenant_stops_its_own_alone(tmp_path: Path) -> None:
    """Another tenant's operator stops a MAD for its own callers, and cannot stop all or a foreign tenant or agent."""
    async with colony_on(tmp_path) as colony:
        await colony.parts.ports.identities.create_token("ada", ["developer"])
        assert code(await throw(colony, EVE, "all")) == "kill_not_yours"
        assert code(await throw(colony, EVE, "tenant", "default")) in {"kill_not_yours", "arguments_invalid"}
        assert code(await throw(colony, EVE, "agent", "ada")) == "arguments_invalid"
        assert (await throw(colony, EVE, "mad", "rogers")).status == "ok"
        assert code(await call(colony, "mads.rogers.search", MARY, query="x")) == "killed"
        assert (await call(colony, "mads.rogers.search", ADA, query="x")).status == "ok"
        assert (await call(colony, "mads.grace.list_kill_switches", OLA)).value == {"switches": []}


NAMES = {
    "agent": ["ada", "mary"],
    "mad": ["rogers", "grace"],
    "tool": ["mads.rogers.search"],
    "tenant": [],
    "all": [""],
}
CALLERS = [
    Principal(agent, tenant, ("operator",), kind)
    for agent, tenant in (("ada", "default"), ("mary", "elsewhere"))
    for kind in ("agent", "person")
]
SWITCHES = [(scope, name) for scope, names in NAMES.items() for name in names]
MOVES = st.lists(st.tuples(st.booleans(), st.sampled_from([OLA, EVE]), st.sampled_from(SWITCHES)), max_size=12)
CALLS = [
    ("rogers", "mads.rogers.search", "comms:read"),
    ("grace", STATUS, "colony:read"),
    ("grace", SWITCH, "kill:switch"),
]


def stopped(thrown: set[tuple[str, str, str]], who: Principal, mad: str, tool: str, action: str) -> bool:
    """The rule once more, the long way."""
    for tenant, scope, name in thrown:
        if tenant not in ("", who.tenant):
            continue
        if scope == "agent" and name == who.agent:
            return True
        for_people = who.kind == "person" and action in {"kill:switch", "colony:read", "journal:read", "approval:read"}
        if not for_people and (scope == "all" or (scope, name) in {("mad", mad), ("tool", tool)}):
            return True
    return False


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that each example copies."""
    file = tmp_path_factory.mktemp("kills") / "fresh.db"

    async def make() -> None:
        await (await Database.open(file, clock=ManualClock())).close()

    asyncio.run(make())
    return file


@settings(max_examples=25, deadline=None)
@given(MOVES)
def test_any_sequence_stops_exactly_what_is_thrown(
    fresh: Path, moves: list[tuple[bool, Principal, tuple[Any, str]]]
) -> None:
    """After each change every caller's every call is stopped or not as the switches in force say, also for another
    process that reads them later."""

    async def play(file: Path) -> None:
        database = await Database.open(file, clock=ManualClock())
        mine, other = (cache_of(database), cache_of(database))
        kills, elsewhere = Kills(mine, ManualClock()), Kills(other, ManualClock())
        await mine.warm()
        await other.warm()
        thrown = set[tuple[str, str, str]]()
        for throws, who, (scope, name) in moves:
            key = ("" if who is OLA else "elsewhere", scope, name)
            if scope == "all" and who is EVE:
                with pytest.raises(AccessRefused):
                    await kills.throw(who, scope, name, "why")
            elif throws:
                await kills.throw(who, scope, name, "why")
                thrown.add(key)
            else:
                assert await kills.lift(who, scope, name) is (key in thrown)
                thrown.discard(key)
            await other.refresh()
            for caller in CALLERS:
                for mad, tool, action in CALLS:
                    expected = stopped(thrown, caller, mad, tool, action)
                    assert [refuses(one, caller, mad, tool, action) for one in (kills, elsewhere)] == [expected] * 2
        await database.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(shutil.copy(fresh, folder))))


def refuses(kills: Kills, who: Principal, mad: str, tool: str, action: str) -> bool:
    try:
        kills.check(who, mad, tool, action)
    except AccessRefused:
        return True
    return False
