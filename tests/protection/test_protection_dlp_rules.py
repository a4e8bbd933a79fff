"""What the rules of `dlp` do to data by direction, tenant and destination, in a real colony and alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.cli.demo_servers import ScriptedModelServer
from cenoby.colony.invocation import Outcome
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import RedactionSettings
from cenoby.kernel.settings_dlp import DlpSettings
from cenoby.kernel.settings_file import SettingsError, load_settings
from cenoby.protection.dlp.guard import DataGuard, DataRefused, DataWithheld
from cenoby.protection.dlp.log_lines import log_redaction
from cenoby.protection.redact import Redactor
from cenoby.store.journal import JournalQuery

ADA = Principal("ada", "default", ("developer",), "agent")
CARD, MAIL, KEY = "4111 1111 1111 1111", "bob@example.com", "ghp_" + "a1B2" * 9
CANARY = "the-blue-heron-flies-at-noon"


def guard(*rules: dict[str, Any], **settings: Any) -> DataGuard:
    return DataGuard(DlpSettings.model_validate({"rules": rules, **settings}), RedactionSettings())


def judged(one: DataGuard, direction: Any, value: Any, tenant: str = "default", place: str = "mads.a.b") -> Any:
    """What goes on, or the code of the refusal."""
    try:
        answer = one.judge(direction, tenant, (place,), value)
    except (DataRefused, DataWithheld) as error:
        assert CARD not in error.message
        return error.code
    return value if answer is None else answer.value


def test_each_action_does_what_it_says() -> None:
    """Allow leaves, redact replaces, block refuses, ask lets a person decide; what no rule names passes."""
    rules = [
        {"types": ["card"], "action": "block", "directions": ["in"]},
        {"types": ["secret"], "action": "redact", "directions": ["in"]},
        {"types": ["email"], "action": "ask", "directions": ["in"]},
    ]
    one = guard(*rules)
    assert judged(one, "in", {"text": f"pay {CARD}"}) == "data_blocked"
    assert judged(one, "in", {"text": f"use {KEY}"}) == {"text": "use [redacted:github_token]"}
    asked = one.judge("in", "default", ("mads.a.b",), {"to": MAIL})
    assert asked is not None
    assert asked.value == {"to": MAIL}
    assert asked.asked == ("email",)
    clean = {"text": "SSN 536-22-1234"}
    passed = one.judge("in", "default", ("mads.a.b",), clean)
    assert passed is not None
    assert passed.value is clean


def test_the_first_rule_that_fits_decides_by_tenant_and_destination() -> None:
    """A rule for one tenant and some tools stands before the general one, and holds nowhere else."""
    one = guard(
        {
            "types": ["card"],
            "action": "allow",
            "directions": ["in"],
            "tenants": ["shop"],
            "destinations": ["mads.pay.*"],
        },
        {"types": ["*"], "action": "block", "directions": ["in"]},
    )
    value = {"number": CARD}
    assert judged(one, "in", value, "shop", "mads.pay.charge") == value
    assert judged(one, "in", value, "shop", "mads.rogers.post") == "data_blocked"
    assert judged(one, "in", value, "other", "mads.pay.charge") == "data_blocked"
    assert judged(one, "in", {"number": "an allowed name stays", MAIL: 1}, "shop", "mads.pay.charge") == "data_blocked"


def test_an_allowed_name_of_a_member_keeps_its_spelling() -> None:
    """Where one find is redacted, names that hold another, allowed one stay as they are."""
    one = guard({"types": ["secret"], "action": "redact", "directions": ["in"]})
    assert judged(one, "in", {MAIL: KEY}) == {MAIL: "[redacted:github_token]"}


def test_groups_and_categories_name_many_kinds() -> None:
    """`national_id` is every country's number, `personal` all of them, and an unknown type is an error at start."""
    value = {"text": "RSSMRA85T10A562S"}
    for name in ("it_codice_fiscale", "national_id", "personal", "*"):
        assert (
            judged(guard({"types": [name], "action": "block", "directions": ["out"]}), "out", value) == "data_withheld"
        )
    assert (
        judged(guard({"types": ["secret"], "action": "block", "directions": ["out"]}), "out", value) != "data_withheld"
    )
    with pytest.raises(SettingsError, match="nothing finds cards"):
        guard({"types": ["cards"], "action": "block", "directions": ["in"]})
    with pytest.raises(ValidationError, match="there already"):
        guard({"types": ["card"], "action": "ask", "directions": ["out"]})
    with pytest.raises(ValidationError, match="12 characters"):
        guard(canaries={"short": "bird"})


def test_a_rule_for_results_keeps_what_redaction_does_for_all_else() -> None:
    """One kind let through on the way out; the others are redacted as without rules."""
    one = guard({"types": ["email"], "action": "allow", "directions": ["out"]})
    assert judged(one, "out", [f"{MAIL} {KEY}"]) == [f"{MAIL} [redacted:github_token]"]


def test_log_lines_lose_secrets_always_and_else_what_the_rules_say() -> None:
    """Without redaction of secrets, and with a rule that allows all: keys go; addresses and networks as rules say."""
    line = f"from 203.0.113.7 came {MAIL} with {KEY}"

    def written(*rules: dict[str, Any], **redaction: Any) -> str:
        dlp, settings = DlpSettings.model_validate({"rules": rules}), RedactionSettings.model_validate(redaction)
        return log_redaction(dlp, settings, Redactor(settings))(line)

    assert written() == "from 203.0.113.7 came [redacted:email] with [redacted:github_token]"
    assert written(secrets=False, personal_data=[]) == f"from 203.0.113.7 came {MAIL} with [redacted:github_token]"
    allow_all = {"types": ["*"], "action": "allow", "directions": ["log"]}
    assert written(allow_all) == f"from 203.0.113.7 came {MAIL} with [redacted:github_token]"
    more = {"types": ["ip"], "action": "redact", "directions": ["log"]}
    assert written(more) == "from [redacted:ip] came [redacted:email] with [redacted:github_token]"
    with pytest.raises(ValidationError, match="cannot wait"):
        DlpSettings.model_validate({"rules": [{"types": ["ip"], "action": "block", "directions": ["log"]}]})


@pytest.mark.parametrize("direction", ["in", "out", "model"])
def test_a_canary_is_refused_everywhere(direction: Any) -> None:
    """Whatever the rules allow: a planted text goes nowhere, also with invisible characters inside."""
    one = guard({"types": ["*"], "action": "allow", "directions": ["in", "out", "model"]}, canaries={"heron": CANARY})
    for text in (CANARY, CANARY.replace("blue", "bl\u200bue"), f"x{CANARY}y"):
        assert judged(one, direction, {"deep": [{"text": text}]}) == "canary_seen"
    assert judged(one, direction, {"text": "a blue heron"}) == {"text": "a blue heron"}


@asynccontextmanager
async def colony(folder: Path, **settings: Any) -> AsyncIterator[Colony]:
    overrides = {"data": folder / "data", "telemetry": {"log_level": "error"}, **settings}
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as running:
        yield running


async def open_talk(running: Colony, name: str) -> Outcome:
    return await running.call(ADA, "mads.rogers.create_conversation", {"name": name})


async def payloads_of(running: Colony) -> list[dict[str, Any]]:
    """What all records say beyond their headers."""
    journal = running.parts.ports.journal
    page = await journal.page(JournalQuery())
    records = [await journal.get(record.id) for record in page.records]
    return [record.payload for record in records if record is not None and record.payload is not None]


async def test_arguments_meet_the_rules_before_the_tool(tmp_path: Path) -> None:
    """Through the pipeline: blocked is refused, redacted arrives redacted, asked is parked; no record holds it."""
    rules = [
        {"types": ["card"], "action": "block", "directions": ["in"]},
        {"types": ["secret"], "action": "redact", "directions": ["in"]},
        {"types": ["iban"], "action": "ask", "directions": ["in"], "destinations": ["mads.rogers.*"]},
    ]
    async with colony(tmp_path, mads=["rogers"], dlp={"rules": rules}) as running:
        blocked = await open_talk(running, f"card {CARD}")
        assert blocked.status == "refused"
        assert blocked.error is not None
        assert blocked.error.code == "data_blocked"
        redacted = await open_talk(running, f"key {KEY}")
        assert redacted.status == "ok", redacted.error
        assert redacted.value["name"] == "key [redacted:github_token]"
        parked = await open_talk(running, "to DE89370400440532013000")
        assert parked.status == "parked"
        payloads = await payloads_of(running)
        told = json.dumps(payloads)
        assert CARD not in told
        assert KEY not in told
        assert ["dlp:iban"] in [payload.get("asked_by") for payload in payloads]


async def test_a_canary_in_a_call_is_a_security_event(tmp_path: Path) -> None:
    """The call is refused and `canary_seen` is journalled with caller and tool, without the text itself."""
    async with colony(tmp_path, mads=["rogers"], dlp={"canaries": {"heron": CANARY}}) as running:
        refused = await open_talk(running, f"look: {CANARY}")
        assert refused.error is not None
        assert refused.error.code == "canary_seen"
        assert (await open_talk(running, "nothing planted")).status == "ok"
        found = await running.parts.ports.journal.page(JournalQuery(code="canary_seen", kind="event"))
        (event,) = found.records
        assert event.agent == "ada"
        payloads = await payloads_of(running)
        assert "mads.rogers.create_conversation" in [payload.get("tool") for payload in payloads]
        assert CANARY not in json.dumps(payloads)


async def test_prompts_lose_secrets_before_they_leave(tmp_path: Path) -> None:
    """Without any rule a provider gets no key; with one, no address; and the model's name is a destination."""
    async with ScriptedModelServer() as server:
        models = [{"name": name, "url": server.url, "model": "scripted"} for name in ("near", "far")]
        for model in models:
            model |= {"context_tokens": 8192, "input_usd_per_million": 1, "output_usd_per_million": 1}
        rules = [{"types": ["email"], "action": "block", "directions": ["model"], "destinations": ["model:far"]}]
        settings = {
            "mads": ["fiedler"],
            "models": models,
            "egress": {"allow": [server.address]},
            "dlp": {"rules": rules},
        }
        async with colony(tmp_path, **settings) as running:
            ask = "mads.fiedler.complete"
            near = await running.call(ADA, ask, {"prompt": f"say {KEY} and {MAIL}", "model": "near"})
            assert near.status == "ok", near.error
            far = await running.call(ADA, ask, {"prompt": f"say {MAIL}", "model": "far"})
            assert far.error is not None
            assert far.error.code == "data_blocked"
            sent = b"".join(request.body for request in server.requests).decode()
            assert KEY not in sent
            assert "[redacted:github_token]" in sent
            assert sent.count(MAIL) == 1
