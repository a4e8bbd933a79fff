"""Events are declared as structs with a version, and nothing else is journalled or sent."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path
from typing import Any

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.app.event_catalogue import EVENTS, declared_in, is_tagged
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.mad import Mad
from cenoby.colony.nodes import events as node_events
from cenoby.colony.tool import ToolContent, tool
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.events import BusEvent, Event, by_name, name_of, plain_event, read_event, reason_to_notes, tag_of
from cenoby.kernel.settings_file import load_settings
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal, JournalQuery
from docs.generate import SOURCE, declared_events, modules

OLA = Principal("ola", "default", ("operator",), "person")


class Diary(Mad):
    """Notes one event that it declares, and one that it does not."""

    name = "diary"
    events = {"page_turned": "A page was turned."}

    @tool("test:run", effect="reads")
    async def note(self, call: Call, code: str) -> ToolContent:
        """Note."""
        await call.note(code, {})
        return ToolContent([])


async def call(colony: Colony, tool_name: str, **arguments: Any) -> Any:
    return await colony.parts.pipeline.run(Invocation(tool_name, arguments, OLA))


def settings(folder: Path) -> Any:
    overrides = {"data": folder / "data", "mads": ["turing", "grace", "rogers"], "telemetry": {"log_level": "error"}}
    overrides |= {"agents": {"ann": {"roles": ["observer"]}}}
    return load_settings(environment={}, overrides=overrides)


class Leaf(Event, frozen=True, tag="leaf_torn.v2"):
    """A leaf was torn; `notes` says how, which was `reason` before."""

    page: int
    upgraders = {1: reason_to_notes}


class Album(Mad):
    """Notes one event that is a struct."""

    name = "album"
    events = by_name(Leaf)

    @tool("test:run", effect="reads")
    async def tear(self, call: Call) -> ToolContent:
        """Tear a leaf."""
        await call.note(Leaf(page=3, notes="ask ola@example.org"))
        return ToolContent([])

    @tool("test:run", effect="reads")
    async def tear_by_name(self, call: Call, page: int | str) -> ToolContent:
        """Tear a leaf, said as others say it."""
        await call.note("leaf_torn", {"page": page})
        return ToolContent([])


def subclasses(kind: type[Event]) -> set[type[Event]]:
    return {kind}.union(*(subclasses(one) for one in kind.__subclasses__()))


def test_every_declaration_says_what_it_means() -> None:
    """Each is declared once, has a name with a version, and a sentence."""
    for tag, (module, meaning) in declared_events().items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.v[1-9]", tag), f"{module}: {tag}"
        assert meaning.endswith("."), f"{module}: {tag}"


def test_every_struct_is_in_the_catalogue() -> None:
    """A module of events that the catalogue does not list would be missing from the schema."""
    list(modules())
    ours = {one for one in subclasses(Event) if one.__module__.startswith("cenoby.") and is_tagged(one)}
    assert ours == set(EVENTS.values())


def test_every_struct_is_emitted() -> None:
    """No event is declared that no other module names, and no literal `what.v1` stands anywhere but in a tag."""
    named: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        if file.name.endswith("events.py") and file.parent.name not in ("kernel", "cli"):
            continue
        nodes = list(ast.walk(ast.parse(file.read_text())))
        named |= {node.id for node in nodes if isinstance(node, ast.Name)}
        named |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        literals = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        assert [text for text in literals if re.fullmatch(r"[a-z_]+\.v\d+", text)] == [], file
    assert [kind.__name__ for kind in EVENTS.values() if kind.__name__ not in named] == []


async def test_every_event_in_the_journal_is_declared(tmp_path: Path) -> None:
    """A colony keeps secrets, moves a MAD, makes tokens, erases, stops: what it journals are events that are declared,
    in the present version and complete."""
    async with open_colony(settings(tmp_path), SystemClock()) as colony:
        outcome: Any = None
        for name, arguments in (
            ("turing.set_secret", {"name": "k", "value": "v" * 20, "readers": ["agent:nobody"]}),
            ("turing.get_secret", {"name": "k"}),
            ("turing.rotate_secret", {"name": "k"}),
            ("turing.set_secret", {"name": "k", "value": "v" * 20, "readers": []}),
            ("turing.set_secret_policy", {"name": "k", "permits": [{"who": ["agent:ola"]}], "reason": "r"}),
            ("turing.get_secret", {"name": "k", "lease_seconds": 60}),
            ("turing.renew_lease", {"lease_id": "?"}),
            ("turing.revoke_secret", {"name": "k"}),
            ("turing.rotate_master_key", {}),
            ("grace.open_circuit", {"circuit": "mad:turing", "reason": "r"}),
            ("grace.close_circuit", {"circuit": "mad:turing"}),
            ("grace.pause_mad", {"mad": "turing", "reason": "r"}),
            ("grace.resume_mad", {"mad": "turing"}),
            ("grace.restart_mad", {"mad": "turing", "reason": "r"}),
            ("grace.kill_mad", {"mad": "turing", "reason": "r"}),
            ("grace.set_flag", {"flag": "mads.turing", "percentage": 100, "reason": "r"}),
            ("grace.remove_flag", {"flag": "mads.turing"}),
            ("grace.throw_kill_switch", {"scope": "mad", "name": "turing", "reason": "r"}),
            ("grace.lift_kill_switch", {"scope": "mad", "name": "turing"}),
            ("grace.block_subject", {"agent": "corp#ann", "reason": "r"}),
            ("grace.unblock_subject", {"agent": "corp#ann"}),
            ("grace.set_autonomy", {"scope": "company", "level": "semi", "reason": "r"}),
            ("grace.create_canary", {"label": "here"}),
            ("grace.reveal", {"token": "<email:made-up>", "reason": "r"}),
            ("grace.create_token", {"agent": "eve", "role": "observer"}),
        ):
            if "lease_id" in arguments:
                arguments = {"lease_id": outcome.value["lease"]["lease_id"]}
            outcome = await call(colony, f"mads.{name}", **arguments)
        await call(colony, "mads.grace.rotate_token", token_id=outcome.value["token_id"])
        await call(colony, "mads.grace.revoke_token", token_id=outcome.value["token_id"])
        await colony.parts.database.write(lambda connection: connection.execute("DELETE FROM tokens").rowcount)
        await colony.parts.cache.reconcile()
        journal = colony.parts.ports.journal
        record = (await journal.page(JournalQuery(code="secret_read"))).records[0]
        await call(colony, "mads.grace.erase_payload", record_id=record.id, reason="r")
        erased = record.id
    database = await Database.open(tmp_path / "data" / "colony.db", clock=SystemClock())
    journal = Journal(database, node="main-1", clock=SystemClock())
    page = await journal.page(JournalQuery(kind="event", limit=500))
    for record in page.records:
        whole = await journal.get(record.id)
        assert whole is not None
        if record.id != erased:
            kind = EVENTS[record.code]
            assert whole.payload["event"] == tag_of(kind)
            assert plain_event(read_event(kind, whole.payload, record.code)) == whole.payload
    await database.close()
    codes = {record.code for record in page.records}
    journalled = {name for name, kind in EVENTS.items() if not issubclass(kind, BusEvent)}
    assert journalled - codes == {
        "colony_cut_off",
        # These need a model: tests/e2e/test_e2e_content.py.
        "content_flagged",
        "content_refused",
        "content_rules_loaded",
        "content_rules_rejected",
        # These need a planted text: tests/protection/test_protection_canaries.py.
        "canary_seen",
        "canary_deleted",
        # These need a call that waits for a person: tests/access/test_parked_flow.py.
        "approval_approved",
        "approval_denied",
        "approval_escalated",
        "approval_grant_revoked",
        "approval_granted",
        "approval_seconded",
        "approval_timed_out",
        "call_parked",
        "parked_call_cancelled",
        "parked_call_ended",
        "parked_call_resumed",
        "mad_failed",
        "memory_limit_passed",
        "policy_rejected",
        "workflow_failed",
        "rules_disabled",
        "tool_pinned",
        "tool_quarantined",
        "tool_accepted",
        # These need two people, and a renewal that fails: tests/mads/test_turing_renewal.py.
        "glass_broken",
        "secret_renewal_failed",
        # Alarms about the log: tests/evidence.
        "evidence_inconsistent",
        "evidence_published_again",
        "evidence_unpublished",
        "file_refused",  # needs a file: tests/e2e/test_e2e_files.py
        # These need a file of rules: tests/e2e/test_e2e_egress.py.
        "egress_rules_loaded",
        "egress_rules_rejected",
        # Nothing lowers an agent unless the settings say so.
        "autonomy_lowered",
        # These need a vault with a seal: tests/e2e/test_e2e_vault.py.
        "seal_made",
        "shares_made",
        "share_given",
        "unseal_refused",
        "vault_unsealed",
        "vault_closed",
        # These need several processes: tests/nodes.
        "node_joined",
        "node_left",
        "node_lost",
        "node_drained",
        "node_enrolled",
        "node_revoked",
        "mad_split",
        "mad_merged",
        "message_refused",
    }


async def test_an_event_that_its_mad_does_not_declare_is_refused(tmp_path: Path) -> None:
    """`Call.note` records what the MAD declares, and nothing else."""
    async with open_colony(settings(tmp_path), SystemClock()) as colony:
        await colony.parts.ports.host.add(Diary())
        assert (await call(colony, "mads.diary.note", code="page_turned")).error is None
        outcome = await call(colony, "mads.diary.note", code="page_torn")
        assert outcome.error.code == "tool_failed"
        assert str(outcome.error.__cause__) == (
            "the MAD 'diary' declares no event 'page_torn'; add it to `events` of its class"
        )
        assert (await colony.parts.ports.journal.page(JournalQuery(code="page_torn"))).records == []


async def test_every_event_on_the_bus_is_declared(tmp_path: Path) -> None:
    """Whoever listens to the whole bus hears structs that are declared, under their tags, and each of them once."""
    heard: dict[str, Any] = {}

    async def hear(envelope: Envelope) -> None:
        heard[envelope.event] = envelope.payload

    async with open_colony(settings(tmp_path), SystemClock()) as colony:
        await colony.parts.bus.subscribe("main.>", hear)
        made = (await call(colony, "mads.rogers.create_conversation", name="x")).value["id"]
        await call(colony, "mads.rogers.invite", conversation=made, agents=["ada"])
        await call(colony, "mads.rogers.post_message", conversation=made, content="@ada hello")
        await colony.parts.ports.host.add(Diary())
        async with asyncio.timeout(10):
            while len(heard) < 6:  # noqa: ASYNC110 - it can only be looked at
                await asyncio.sleep(0.01)
    assert {event: tag_of(payload) for event, payload in heard.items()} == {event: event for event in heard}
    assert all(EVENTS[name_of(payload)] is type(payload) for payload in heard.values())
    # Those that are asked for, and not published: requests and work are no listener's business.
    silent = {name for name, kind in EVENTS.items() if issubclass(kind, BusEvent)} - {
        name_of(payload) for payload in heard.values()
    }
    between_nodes = {name_of(kind) for kind in declared_in(node_events)}
    assert silent == {"tool_call", "deferred_call", "approval_news"} | between_nodes


async def test_a_mad_may_declare_a_struct(tmp_path: Path) -> None:
    """It is journalled with its version and redacted, refused where it does not fit, and its first version is read."""
    async with open_colony(settings(tmp_path), SystemClock()) as colony:
        await colony.parts.ports.host.add(Album())
        journal = colony.parts.ports.journal
        assert (await call(colony, "mads.album.tear")).error is None
        assert (await call(colony, "mads.album.tear_by_name", page=4)).error is None
        assert (await call(colony, "mads.album.tear_by_name", page="x")).error.code == "message_invalid"
        old = Entry(
            kind="event", tenant="", agent="", correlation="", code="leaf_torn", payload={"page": 1, "reason": "age"}
        )
        await journal.append(old)
        records = (await journal.page(JournalQuery(code="leaf_torn", newest_first=False))).records
        shown = [(await call(colony, "mads.grace.get_record", record_id=one.id)).value for one in records]
    first, second, third = shown
    assert first["payload"] == first["event"]
    assert (first["event"]["event"], first["event"]["page"]) == ("leaf_torn.v2", 3)
    assert "ola@example.org" not in first["event"]["notes"]
    assert second["event"] == {"event": "leaf_torn.v2", "page": 4}
    assert third["payload"] == {"page": 1, "reason": "age"}
    assert third["event"] == {"event": "leaf_torn.v2", "page": 1, "notes": "age"}
