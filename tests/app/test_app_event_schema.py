"""The contract of events: what was published keeps its shape, and what an older colony wrote is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from cenoby.access.principals import Principal
from cenoby.app import event_schema
from cenoby.app.composition import open_colony
from cenoby.app.event_catalogue import EVENTS, present_form
from cenoby.bus.contract import payload_as
from cenoby.cli.main import run
from cenoby.colony.events import DeferredCall, ToolsChanged
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.events import tag_of
from cenoby.kernel.settings_file import load_settings
from cenoby.mads.rogers.events import MessagePosted
from cenoby.store.journal import Entry, JournalQuery
from docs import publish_events

OLA = Principal("ola", "default", ("operator",), "person")

OLD_RECORDS = {
    "mad_killed": b"\x83\xa3mad\xa6turing\xa6reason\xabtired of it\xa8restarts\x02",
    "circuit_open": b"\x83\xa7circuit\xa9mad:marco\xa6reason\xa1x\xa8failures\x00",
    "secret_read": b"\x82\xa4name\xa1k\xa7version\x01",
}
"""Payloads in msgpack, as the journal has them from before there were versions."""

READ_AS = {
    "mad_killed": {"event": "mad_killed.v2", "mad": "turing", "restarts": 2, "notes": "tired of it"},
    "circuit_open": {"event": "circuit_open.v2", "circuit": "mad:marco", "failures": 0, "notes": "x"},
    "secret_read": {"event": "secret_read.v2", "name": "k", "version": 1},
}


def test_published_versions_keep_their_shape() -> None:
    """A published version that changed or is gone fails here; the message says to add the next and an upgrader."""
    known, present = event_schema.published(), event_schema.shapes()
    assert event_schema.broken_promises(known, present) == []
    assert event_schema.unpublished(known, present) == [], "run ./dev events"


def test_what_breaks_the_contract_is_told() -> None:
    """A field that comes, goes, or changes its type or default; an event that is gone; a version without upgrader."""
    present = event_schema.shapes()
    tag = "token_created.v1"
    for change in (
        lambda fields: fields.pop("expires"),
        lambda fields: fields.update(colour={"type": "string"}),
        lambda fields: fields.update(agent={"type": "integer"}),
        lambda fields: fields["notes"].update(default="none"),
    ):
        published = json.loads(json.dumps(present))
        change(published[tag]["properties"])
        (problem,) = event_schema.broken_promises(published, present)
        assert "call the new one token_created.v2" in problem
        assert "the upgrader 1 to TokenCreated.upgraders" in problem
    assert "is gone" in event_schema.broken_promises({"cat_fed.v1": {}}, present)[0]
    without = {name: shape for name, shape in present.items() if name != tag}
    assert "TokenCreated.upgraders has no 1" in event_schema.broken_promises({tag: {}}, without)[0]


def test_publishing_adds_and_never_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new is written beside what was there; where a published shape changed nothing is written."""
    file = tmp_path / "published.json"
    known = event_schema.published()
    monkeypatch.setattr(publish_events, "FILE", file)
    monkeypatch.setattr(event_schema, "published", lambda: {tag: known[tag] for tag in known if tag != "mention.v1"})
    assert publish_events.main(["--check"]) == 1
    assert not file.exists()
    assert publish_events.main([]) == 0
    assert json.loads(file.read_text()) == known
    assert file.read_text() == publish_events_file()
    file.unlink()
    monkeypatch.setattr(event_schema, "published", lambda: known | {"mention.v1": {"type": "object"}})
    assert publish_events.main([]) == 1
    assert not file.exists()


def publish_events_file() -> str:
    return Path(event_schema.__file__).with_name(event_schema.FILE).read_text()


def test_the_command_prints_a_valid_schema_of_every_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The document is JSON Schema 2020-12; it takes events of any version, each by one branch, and refuses others."""
    with pytest.raises(SystemExit) as ended:
        run(["events", "schema"])
    assert ended.value.code == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(document)
    assert set(document["$defs"]) == set(event_schema.published())
    assert {tag_of(kind) for kind in EVENTS.values()} <= set(document["$defs"])
    assert document["$defs"]["mad_killed.v2"]["description"].startswith("A MAD was stopped at once")
    check = Draft202012Validator(document)
    message = dict.fromkeys(("id", "conversation", "sender", "content", "correlation", "time"), "x")
    message |= {"seq": 1, "recipient": None, "tags": [], "mentions": []}
    for event in (
        READ_AS["mad_killed"],
        {"event": "mad_killed.v1", "mad": "turing", "reason": "r", "restarts": 0},
        {"event": "message_posted.v2", "message": message},
        {"event": "message_posted.v1", **message},
    ):
        check.validate(event)
        assert not check.is_valid({**event, "event": "mad_killed.v9"})
    assert not check.is_valid({"event": "mad_killed.v2", "mad": "turing", "restarts": "0"})
    assert not check.is_valid({"event": "message_posted.v2", "message": {**message, "seq": "1"}})


@pytest.mark.parametrize("code", OLD_RECORDS)
def test_a_record_from_before_versions_is_read(code: str) -> None:
    """Its payload is that of the first version, and the upgraders make the present one of it."""
    assert present_form(code, msgspec.msgpack.decode(OLD_RECORDS[code])) == READ_AS[code]


def test_every_first_version_that_was_superseded_has_a_way_here() -> None:
    """Something that fits the published shape of an old version is read as the present one, for each there is."""
    present = event_schema.shapes()
    old = {tag: shape for tag, shape in event_schema.published().items() if tag not in present}
    assert len(old) >= 13
    for tag, shape in old.items():
        name = tag.partition(".")[0]
        kind = EVENTS[name]
        fields = {field: _sample(says) for field, says in shape["properties"].items() if field != "event"}
        envelope = Envelope(id="", tenant="", correlation="", sender="", recipient="", event=tag, payload=fields)
        assert type(payload_as(envelope, kind)) is kind, tag


async def test_old_records_are_shown_beside_what_they_mean_today(tmp_path: Path) -> None:
    """Grace shows the payload as it was recorded, and as the event's present version has it; a broken one alone."""
    overrides = {"data": tmp_path / "data", "mads": ["grace"], "telemetry": {"log_level": "error"}}
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        journal = colony.parts.ports.journal
        payloads: dict[str, Any] = {code: msgspec.msgpack.decode(data) for code, data in OLD_RECORDS.items()}
        for code, payload in {**payloads, "token_revoked": {"token_id": 7}}.items():
            await journal.append(
                Entry(kind="event", tenant="default", agent="ada", correlation="c", code=code, payload=payload)
            )

        async def shown(code: str) -> Any:
            (record,) = (await journal.page(JournalQuery(code=code, kind="event"))).records
            called = await colony.call(OLA, "mads.grace.get_record", {"record_id": record.id})
            return called.unwrap()

        for code, payload in payloads.items():
            detail = await shown(code)
            assert (detail["payload"], detail["event"]) == (payload, READ_AS[code])
        broken = await shown("token_revoked")
        assert (broken["payload"], broken["event"]) == ({"token_id": 7}, None)
        started = await shown("colony_started")
        assert started["event"] == started["payload"] == {"event": "colony_started.v1", "node": "main-1"}


def test_old_envelopes_are_read() -> None:
    """From the bus and from the queue of deferred calls, by the version that the envelope names."""

    def sent(event: str, payload: bytes) -> Envelope:
        plain = msgspec.msgpack.decode(payload)
        return Envelope(id="1", tenant="", correlation="", sender="", recipient="", event=event, payload=plain)

    every = sent("tools_changed.v1", b"\x81\xa3mad\xa6turing")
    assert payload_as(every, ToolsChanged) == ToolsChanged(mad="turing", lists=("tools", "prompts", "resources"))
    some = sent("tools_changed.v1", b"\x82\xa3mad\xa6turing\xa5lists\x91\xa5tools")
    assert payload_as(some, ToolsChanged) == ToolsChanged(mad="turing", lists=("tools",))
    call = sent("deferred_call.v1", b"\x82\xa4tool\xacmads.ops.sum\xa9arguments\x81\xa1a\x01")
    assert payload_as(call, DeferredCall) == DeferredCall(tool="mads.ops.sum", arguments={"a": 1})
    message = sent(
        "message_posted.v1",
        b"\x8a\xa2id\xa11\xacconversation\xa1c\xa3seq\x01\xa6sender\xa3ada\xa9recipient\xc0\xa7content\xa2hi\xa4tags\x90"
        b"\xa8mentions\x90\xabcorrelation\xa1r\xa4time\xb42026-07-28T12:00:00Z",
    )
    assert payload_as(message, MessagePosted).message.content == "hi"


def _sample(says: dict[str, Any]) -> Any:
    if says.get("$ref", "").endswith("/Principal"):
        return {"agent": "x", "tenant": "x", "roles": [], "kind": "agent"}
    if says.get("contentEncoding") == "base64":
        return ""
    kind = says.get("type") or says["anyOf"][0]["type"]
    return {"string": "x", "integer": 1, "boolean": True, "array": [], "object": {}}[kind]
