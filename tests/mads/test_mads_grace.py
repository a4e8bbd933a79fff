"""Grace in a real colony: every call goes through the whole pipeline and the journal is on disk."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.access.approvals.approvals import Approvals
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.enrolment import Enrolment
from cenoby.access.flags import Flags
from cenoby.access.flows.flows import Flows
from cenoby.access.kills import Kills
from cenoby.access.limits import RateLimits
from cenoby.access.principals import Principal
from cenoby.access.roles import RoleTable
from cenoby.access.sealing import Seal
from cenoby.access.tokens import Identities
from cenoby.app.event_catalogue import present_form
from cenoby.app.event_schema import present_shape
from cenoby.app.networking import one_process
from cenoby.bus.memory import MemoryBus
from cenoby.colony.apis.published import Publications
from cenoby.colony.breaker import Breakers
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.mad import Mad
from cenoby.colony.outbox_queue import OutboxQueue
from cenoby.colony.pipeline import Pipeline
from cenoby.colony.stages import Ports
from cenoby.colony.supervisor import Supervisor
from cenoby.colony.tool import tool
from cenoby.kernel.clock import ManualClock, iso_time
from cenoby.kernel.settings import Settings
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.mads.grace import About, Grace, Nodes
from cenoby.mads.grace.records import QueryInvalid, time_ns
from cenoby.protection.redact import Redactor
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal
from cenoby.store.outbox import Outbox
from cenoby.telemetry.metrics import Metrics
from cenoby.telemetry.recorder import Recorder
from tests.stores import cache_of


@dataclass(frozen=True)
class Deployed:
    target: str


class Ops(Mad):
    """A MAD with something to approve and something to find."""

    name = "ops"
    summary = "Deploys."

    @tool("deploy:production", effect="outside")
    async def deploy(self, call: Call, target: str) -> Deployed:
        """Deploy a release to the machines that customers use."""
        del call
        return Deployed(target)

    @tool("web:fetch", effect="reads")
    async def fetch_weather(self, call: Call, city: str) -> Deployed:
        """Read today's forecasts for a city."""
        del call
        return Deployed(city)


@dataclass
class World:
    pipeline: Pipeline
    ports: Ports
    clock: ManualClock

    async def run(self, caller: str, name: str, arguments: dict[str, Any] | None = None) -> Outcome:
        who = Principal(caller, "default", ROLES.get(caller, (caller,)), "person")
        return await self.pipeline.run(Invocation(name, arguments or {}, who))

    async def call(self, caller: str, name: str, arguments: dict[str, Any] | None = None) -> Any:
        outcome = await self.run(caller, f"mads.grace.{name}", arguments)
        if outcome.error is not None:
            raise AssertionError(f"{name}: {outcome.error.to_wire()}")
        return outcome.value

    async def code(self, caller: str, name: str, arguments: dict[str, Any] | None = None) -> str:
        outcome = await self.run(caller, f"mads.grace.{name}", arguments)
        return outcome.error.code if outcome.error else outcome.status


ROLES = {"second": ("operator",)}


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that each test copies."""
    file = tmp_path_factory.mktemp("grace") / "fresh.db"

    async def make() -> None:
        await (await Database.open(file, clock=ManualClock())).close()

    asyncio.run(make())
    return file


async def _key() -> bytes:
    return bytes(32)


@pytest.fixture
async def world(fresh_database: Path, tmp_path: Path) -> AsyncIterator[World]:
    # One operator decides here, and time says no; tests/access looks at pairs of people and at the other time-outs.
    settings, clock = Settings(approvals=ApprovalSettings(timeout="deny", four_eyes_from="never")), ManualClock()
    database = await Database.open(Path(shutil.copy(fresh_database, tmp_path / "colony.db")), clock=clock)
    journal = Journal(database, node="main-1", clock=clock)
    await journal.start()
    roles = RoleTable({})
    bus = MemoryBus(clock=clock)
    cache = cache_of(database)
    host = Host(bus, "main", settings.mailbox, clock)
    kills, autonomy = Kills(cache, clock), AutonomyLevels(cache, clock, settings.autonomy)
    ports = Ports(
        clock=clock,
        host=host,
        journal=journal,
        identities=Identities(cache, clock, roles),
        limits=RateLimits(settings.limits, clock),
        flags=Flags(cache, clock),
        kills=kills,
        flows=Flows(cache, clock, settings.flows),
        autonomy=autonomy,
        limit_settings=settings.limits,
        roles=roles,
        approvals=Approvals(database, journal, clock, settings.approvals, Seal(_key)),
        ledger=Ledger(database, settings.budgets, clock),
        breakers=Breakers(settings.breaker, clock, lambda view: None),
        redactor=Redactor(settings.redaction),
        metrics=Metrics(),
        recorder=Recorder(100),
        publications=Publications([], host, clock, present_shape),
    )
    await cache.warm()
    supervisor = Supervisor(ports.host, settings.supervision, clock, lambda change: None)
    grace = Grace(
        about=About("main", "main-1", "1.2.3", clock.now_ns(), lambda: {"landlock": "ABI 4"}),
        host=ports.host,
        publications=ports.publications,
        journal=journal,
        identities=ports.identities,
        approvals=ports.approvals,
        ledger=ports.ledger,
        breakers=ports.breakers,
        flags=ports.flags,
        kills=kills,
        autonomy=autonomy,
        supervisor=supervisor,
        work=OutboxQueue(Outbox(database, clock), clock),
        nodes=Nodes(Enrolment(database, clock), None, None, lambda: one_process(settings)),
        roles=roles,
        recorder=ports.recorder,
        metrics=ports.metrics,
        present_form=present_form,
        clock=clock,
    )
    for make in (lambda: grace, Ops):
        await supervisor.start(make)
    yield World(Pipeline(ports), ports, clock)
    await supervisor.stop()
    await bus.close()
    await database.close()


async def test_status_shows_what_runs(world: World) -> None:
    """MADs with tools and mailboxes, journal head, calls so far, protections and uptime are on one page."""
    world.clock.advance(90)
    await world.call("operator", "list_agents")
    await world.code("developer", "list_agents")
    status = await world.call("operator", "status")
    assert (status["colony"], status["node"], status["version"], status["uptime_seconds"]) == (
        "main",
        "main-1",
        "1.2.3",
        90,
    )
    assert status["calls"] == {"ok": 1, "refused": 1}
    assert status["protections"] == {"landlock": "ABI 4"}
    assert {mad["name"]: mad["tools"] for mad in status["mads"]} == {"grace": 65, "ops": 2}
    assert next(mad for mad in status["mads"] if mad["name"] == "grace")["running"] == 1
    assert (await world.ports.journal.get(status["journal"]["id"])) is not None


OPERATORS_ONLY = [
    "list_agents", "create_token", "list_tokens", "revoke_token", "approve", "deny", "open_circuit", "close_circuit",
    "pause_mad", "resume_mad", "restart_mad", "kill_mad", "list_dead_letters", "retry_dead_letter",
    "set_flag", "remove_flag", "erase_payload", "show_approval", "revoke_approval",
]  # fmt: skip
READERS = ["list_records", "get_record", "verify_journal", "list_spans", "costs"]


@pytest.mark.parametrize("name", OPERATORS_ONLY + READERS + ["list_approvals"])
async def test_a_developer_has_no_admin_tools(world: World, name: str) -> None:
    """Status and tool search are for everybody; agents, tokens, journal and approvals are not."""
    arguments = {
        "create_token": {"agent": "x", "roles": ["operator"]},
        "revoke_token": {"token_id": "x"},
        "get_record": {"record_id": "x"},
        "approve": {"approval_id": "x"},
        "open_circuit": {"circuit": "mad:ops", "reason": "x"},
        "close_circuit": {"circuit": "mad:ops"},
        "pause_mad": {"mad": "ops", "reason": "x"},
        "resume_mad": {"mad": "ops"},
        "restart_mad": {"mad": "ops", "reason": "x"},
        "kill_mad": {"mad": "ops", "reason": "x"},
        "retry_dead_letter": {"letter": "x"},
        "set_flag": {"flag": "mads.ops", "percentage": 0, "reason": "x"},
        "remove_flag": {"flag": "mads.ops"},
        "deny": {"approval_id": "x"},
        "show_approval": {"approval_id": "x"},
        "revoke_approval": {"approval_id": "x"},
        "erase_payload": {"record_id": "x", "reason": "x"},
    }
    assert await world.code("developer", name, arguments.get(name)) == "action_not_allowed"
    assert await world.code("developer", "status") == "ok"


async def test_an_auditor_reads_and_changes_nothing(world: World) -> None:
    """An auditor sees the journal, spans, costs and approvals, and cannot decide or make tokens."""
    for name in ("list_records", "verify_journal", "list_spans", "costs", "list_approvals", "status"):
        assert await world.code("auditor", name) == "ok"
    assert await world.code("auditor", "approve", {"approval_id": "x"}) == "action_not_allowed"
    assert await world.code("auditor", "create_token", {"agent": "x", "roles": ["auditor"]}) == "action_not_allowed"


async def test_a_token_is_made_shown_once_listed_and_revoked(world: World) -> None:
    """Its text is in the answer and nowhere in the journal; from the revocation on it opens nothing."""
    made = await world.call("operator", "create_token", {"agent": "ann", "roles": ["developer"], "ttl_hours": 2})
    assert made["roles"] == ["developer"]
    assert made["expires"] == iso_time(world.clock.now_ns() + 7_200_000_000_000)
    assert world.ports.identities.authenticate(made["token"]).agent == "ann"
    (agent,) = (await world.call("operator", "list_agents"))["agents"]
    assert (agent["name"], agent["roles"], agent["live_tokens"]) == ("ann", ["developer"], 1)
    (listed,) = (await world.call("operator", "list_tokens", {"agent": "ann"}))["tokens"]
    assert (listed["id"], listed["state"]) == (made["token_id"], "live")
    assert "token" not in listed
    revoked = await world.call("operator", "revoke_token", {"token_id": made["token_id"]})
    assert revoked["state"] == "revoked"
    with pytest.raises(Exception, match="revoked"):
        world.ports.identities.authenticate(made["token"])
    records = (await world.call("auditor", "list_records", {"limit": 1000}))["records"]
    details = [await world.call("auditor", "get_record", {"record_id": record["id"]}) for record in records]
    assert made["token"] not in str(details)
    events = {detail["code"]: detail["payload"] for detail in details if detail["kind"] == "event"}
    assert events["token_created"]["roles"] == ["developer"]
    assert events["token_revoked"]["token_id"] == made["token_id"]


async def test_one_role_may_be_given_by_itself_and_expiry_is_shown(world: World) -> None:
    """`role` is short for a list of one, and a token whose time is over is listed as expired."""
    made = await world.call("operator", "create_token", {"agent": "eve", "role": "observer", "ttl_hours": 0.5})
    assert made["roles"] == ["observer"]
    world.clock.advance(1800)
    (listed,) = (await world.call("operator", "list_tokens"))["tokens"]
    assert listed["state"] == "expired"


async def test_other_tenants_stay_unseen(world: World) -> None:
    """Agents, tokens and records of another tenant are neither listed nor shown nor revoked."""
    foreign = await world.ports.identities.create_token("mallory", ["developer"], tenant="other")
    ref = await world.ports.journal.append(
        Entry(kind="event", tenant="other", agent="mallory", correlation="c", code="x")
    )
    assert (await world.call("operator", "list_agents"))["agents"] == []
    assert (await world.call("operator", "list_tokens"))["tokens"] == []
    assert await world.code("operator", "revoke_token", {"token_id": foreign.id}) == "token_not_found"
    assert await world.code("operator", "get_record", {"record_id": ref.id}) == "record_unknown"
    assert (await world.call("operator", "list_records", {"agent": "mallory"}))["records"] == []
    assert await world.code("operator", "create_token", {"agent": "mallory"}) == "roles_differ"


async def test_records_are_filtered_and_paged(world: World) -> None:
    """Every filter narrows, and pages in either order hold each record exactly once."""
    for city in ("Rome", "Oslo", "Bern"):
        await world.run("developer", "mads.ops.fetch_weather", {"city": city})
        world.clock.advance(60)
    middle = iso_time(world.clock.now_ns() - 120_000_000_000)
    await world.code("developer", "list_agents")

    async def listed(**query: Any) -> list[dict[str, Any]]:
        return (await world.call("auditor", "list_records", query))["records"]

    assert len(await listed(mad="ops")) == 3
    assert len(await listed(tool="mads.ops.fetch_weather", since=middle)) == 2
    assert len(await listed(tool="mads.ops.fetch_weather", until=middle)) == 1
    assert [one["tool"] for one in await listed(code="action_not_allowed")] == ["mads.grace.list_agents"]
    assert await listed(kind="intent") == []
    (one,) = await listed(mad="ops", limit=1)
    assert [found["id"] for found in await listed(correlation=one["correlation"])] == [one["id"]]
    for newest_first in (True, False):
        seen: list[int] = []
        cursor = None
        while True:
            query = {"agent": "developer", "limit": 2, "newest_first": newest_first, "cursor": cursor}
            page = await world.call("auditor", "list_records", query)
            seen += [record["seq"] for record in page["records"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert seen == sorted(set(seen), reverse=newest_first)
        assert len(seen) == 4


async def test_a_record_is_shown_with_its_payload_and_place_in_the_chain(world: World) -> None:
    """What an auditor needs: arguments without secrets, and the hashes to check it by."""
    await world.run("developer", "mads.ops.fetch_weather", {"city": "mail ann@example.org"})
    (listed,) = (await world.call("auditor", "list_records", {"mad": "ops"}))["records"]
    record = await world.call("auditor", "get_record", {"record_id": listed["id"]})
    assert record["seq"] == listed["seq"]
    assert "ann@example.org" not in str(record["payload"])
    assert "mail" in str(record["payload"]["arguments"])
    assert len(record["hash"]) == len(record["prev_hash"]) == len(record["payload_digest"]) == 64
    assert await world.code("auditor", "get_record", {"record_id": "nothing"}) == "record_unknown"


async def test_the_journal_verifies(world: World) -> None:
    """The whole chain is checked and its end is named, so that it can be kept elsewhere."""
    await world.run("developer", "mads.ops.fetch_weather", {"city": "Rome"})
    found = await world.call("auditor", "verify_journal")
    assert found["ok"]
    assert found["problem"] == ""
    assert found["records"] >= 1
    assert found["heads"][0]["node"] == "main-1"


async def test_a_wrong_time_is_refused_in_words(world: World) -> None:
    """The message names the value and the form that fits."""
    outcome = await world.run("auditor", "mads.grace.list_records", {"since": "yesterday"})
    assert outcome.error is not None
    assert outcome.error.code == "time_invalid"
    assert "yesterday" in outcome.error.message


async def test_spans_show_the_stages_of_a_call(world: World) -> None:
    """Whoever looks for the slow stage finds all of them under the call's correlation id."""
    await world.run("developer", "mads.ops.fetch_weather", {"city": "Rome"})
    (listed,) = (await world.call("auditor", "list_records", {"mad": "ops"}))["records"]
    spans = (await world.call("auditor", "list_spans", {"correlation": listed["correlation"]}))["spans"]
    names = [span["name"] for span in spans]
    assert "mads.ops.fetch_weather" in names
    assert {"identify", "authorise", "dispatch", "record"} <= set(names)


async def test_a_call_is_approved_by_somebody_else_once(world: World) -> None:
    """Parked, listed with its arguments, not approvable by its asker, approved, let through once."""
    deploy = {"target": "eu-1"}
    parked = await world.run("operator", "mads.ops.deploy", deploy)
    assert parked.error is not None
    assert parked.error.code == "approval_pending"
    (waiting,) = (await world.call("second", "list_approvals"))["approvals"]
    assert (waiting["agent"], waiting["tool"], waiting["arguments"]) == ("operator", "mads.ops.deploy", deploy)
    assert (await world.call("second", "status"))["approvals_waiting"] == 1
    decision = {"approval_id": waiting["id"], "reason": "release 7"}
    assert await world.code("operator", "approve", decision) == "approval_own"
    decided = await world.call("second", "approve", decision)
    assert (decided["status"], decided["decided_by"], decided["reason"]) == ("approved", "second", "release 7")
    assert await world.code("second", "deny", decision) == "approval_decided"
    other = await world.run("operator", "mads.ops.deploy", {"target": "us-1"})
    assert other.error is not None
    assert (await world.run("operator", "mads.ops.deploy", deploy)).status == "ok"
    again = await world.run("operator", "mads.ops.deploy", deploy)
    assert again.error is not None
    events = (await world.call("auditor", "list_records", {"code": "approval_approved"}))["records"]
    assert [event["agent"] for event in events] == ["second"]


async def test_a_denial_reaches_the_agent_with_its_reason(world: World) -> None:
    """The next try is told who said no and why."""
    await world.run("operator", "mads.ops.deploy", {"target": "eu-1"})
    (waiting,) = (await world.call("second", "list_approvals"))["approvals"]
    await world.call("second", "deny", {"approval_id": waiting["id"], "reason": "freeze"})
    refused = await world.run("operator", "mads.ops.deploy", {"target": "eu-1"})
    assert refused.error is not None
    assert (refused.error.code, refused.error.details["reason"]) == ("approval_denied", "freeze")
    assert (await world.call("second", "list_approvals"))["approvals"] == []
    (kept,) = (await world.call("second", "list_approvals", {"pending": False}))["approvals"]
    assert kept["status"] == "denied"


async def test_approvals_are_paged(world: World) -> None:
    """Each request is on exactly one page, the newest first, no page is empty, and all are counted."""
    for number in range(4):
        await world.run("operator", "mads.ops.deploy", {"target": f"m{number}"})
    seen: list[list[str]] = []
    cursor = None
    while True:
        page = await world.call("auditor", "list_approvals", {"limit": 2, "cursor": cursor})
        seen.append([one["arguments"]["target"] for one in page["approvals"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [["m3", "m2"], ["m1", "m0"]]
    assert (await world.call("auditor", "status"))["approvals_waiting"] == 4
    world.clock.advance(240 * 60)
    assert (await world.call("auditor", "status"))["approvals_waiting"] == 0


async def test_a_payload_is_erased_on_the_record_and_the_chain_still_holds(world: World) -> None:
    """Only the operator erases, once; the record stays with its hashes, and who erased it and why is on record."""
    await world.run("developer", "mads.ops.fetch_weather", {"city": "Rome"})
    (listed,) = (await world.call("auditor", "list_records", {"mad": "ops"}))["records"]
    before = await world.call("auditor", "get_record", {"record_id": listed["id"]})
    assert "Rome" in str(before["payload"])
    wish = {"record_id": listed["id"], "reason": "a person asked for it"}
    assert await world.code("auditor", "erase_payload", wish) == "action_not_allowed"
    erased = await world.call("operator", "erase_payload", wish)
    assert erased == before | {"payload": None}
    assert await world.call("auditor", "get_record", {"record_id": listed["id"]}) == erased
    assert await world.code("operator", "erase_payload", wish) == "payload_unknown"
    (event,) = (await world.call("auditor", "list_records", {"code": "payload_erased"}))["records"]
    assert (event["agent"], event["causation"]) == ("operator", listed["id"])
    (intent, *_) = (await world.call("auditor", "list_records", {"kind": "intent"}))["records"][::-1]
    whole = await world.call("auditor", "get_record", {"record_id": intent["id"]})
    assert "a person asked for it" in str(whole["payload"])
    found = await world.call("auditor", "verify_journal")
    assert (found["ok"], found["erased"]) == (True, 1)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("weather forecast", "mads.ops.fetch_weather"),
        ("forecasts of a city", "mads.ops.fetch_weather"),
        ("status of the colony", "mads.grace.status"),
    ],
)
async def test_tools_are_found_by_what_they_do(world: World, query: str, first: str) -> None:
    """The words of a wish find the tool, with the schema that is needed to call it."""
    found = (await world.call("developer", "find_tools", {"query": query}))["tools"]
    assert found[0]["name"] == first
    assert found[0]["input_schema"]["type"] == "object"


async def test_only_tools_that_the_caller_may_use_are_found(world: World) -> None:
    """A search reveals no tool that would be refused."""
    mine = {one["name"] for one in (await world.call("developer", "find_tools", {"limit": 100}))["tools"]}
    assert mine == {
        "mads.grace.status",
        "mads.grace.find_tools",
        "mads.grace.list_circuits",
        "mads.grace.list_flags",
        "mads.grace.list_kill_switches",
        "mads.grace.list_autonomy",
        "mads.grace.vault_status",
        "mads.grace.list_nodes",
        "mads.grace.list_apis",
        "mads.grace.get_api",
        "mads.grace.get_parked",
        "mads.grace.cancel_parked",
        "mads.grace.rotate_token",
        "mads.ops.fetch_weather",
    }
    assert (await world.call("developer", "find_tools", {"query": "deploy release customers"}))["tools"] == []
    everything = (await world.call("operator", "find_tools", {"limit": 100}))["tools"]
    assert len(everything) == 67


async def test_usage_shows_costs_against_budgets(world: World) -> None:
    """Spent and held money by agent and day, in dollars."""
    ledger = world.ports.ledger
    await ledger.settle(await ledger.reserve("ann", "default", 2_000_000), 500_000)
    await ledger.reserve("ann", "default", 1_000_000)
    (used,) = (await world.call("auditor", "costs"))["costs"]
    assert used == {"day": "2026-01-01", "agent": "ann", "spent_usd": 0.5, "held_usd": 1.0, "limit_usd": 5.0}
    world.clock.advance(86_400)
    assert (await world.call("auditor", "costs"))["costs"] == []
    assert len((await world.call("auditor", "costs", {"days": 2}))["costs"]) == 1


async def test_records_are_resources(world: World) -> None:
    """A client reads a record by its URI, by way of the same tool and the same rule."""
    (kind,) = world.ports.host.resources
    assert (kind.template, kind.tool) == ("cenoby://journal/{record_id}", "mads.grace.get_record")
    await world.call("auditor", "list_spans")
    (listed, *_) = (await world.call("auditor", "list_records"))[kind.list_key]
    assert listed["id"]
    assert listed["name"] == "auditor mads.grace.list_spans ok"


@given(st.integers(0, 4_102_444_800_000_000))
def test_times_survive_the_way_out_and_in(microseconds: int) -> None:
    """A time that Grace shows is a time that she takes, to the microsecond."""
    assert time_ns(iso_time(microseconds * 1000)) == microseconds * 1000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-01T01:00:00+01:00", 0), ("1970-01-01", 0), ("1970-01-01T00:01:00", 60), ("1970-01-01T00:00:01.5Z", 1.5)],
)
def test_times_in_other_forms(text: str, seconds: float) -> None:
    """Offsets count, a missing one means UTC, a date is its midnight."""
    assert time_ns(text) == seconds * 1e9


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "0001-01-01T00:00:00+23:59x", "9" * 100])
def test_what_is_no_time(text: str) -> None:
    """Anything else is refused with the code that the documentation lists."""
    with pytest.raises(QueryInvalid) as caught:
        time_ns(text)
    assert caught.value.code == "time_invalid"
