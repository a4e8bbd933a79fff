"""Canaries: made while the colony runs, found wherever they turn up, told of to those who may know."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.access.autonomy.autonomy import Level, subject_of
from cenoby.access.principals import Principal
from cenoby.app.composition import Colony
from cenoby.colony.invocation import Outcome
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings import RedactionSettings
from cenoby.kernel.settings_dlp import Direction, DlpSettings
from cenoby.protection.dlp.canaries import Canaries
from cenoby.protection.dlp.canary_book import CanaryBook
from cenoby.protection.dlp.checksums import passes_luhn
from cenoby.protection.dlp.guard import DataGuard, DataRefused
from cenoby.protection.dlp.minting import KINDS, CanaryKind, mint
from cenoby.protection.redact import Redactor
from cenoby.protection.streaming import RedactedStream
from cenoby.store.database import Database
from cenoby.store.journal import JournalQuery
from tests.protection.test_protection_dlp_rules import colony
from tests.stores import cache_of

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
EVE = Principal("eve", "rival", ("developer",), "agent")
TALK = "mads.rogers.create_conversation"
DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "capitals": str.upper,
    "zero width": "\u200b".join,
    "full width": lambda text: "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text),
    "base64": lambda text: base64.b64encode(f"take this: {text}, and go".encode()).decode(),
    "hexadecimal": lambda text: f"take this: {text}, and go".encode().hex(),
    "percent signs": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "other blanks": lambda text: text.replace(" ", "\n"),
    "groups": lambda text: "-".join(text[at : at + 4] for at in range(0, 16, 4)) if text.isdigit() else text,
}


REDACTOR = Redactor(RedactionSettings(), Canaries())


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(list(DISGUISES)), st.text(max_size=30), st.text(max_size=30))
def test_a_canary_is_found_in_every_disguise_and_its_mark_alone_is_none(
    kind: CanaryKind, disguise: str, before: str, after: str
) -> None:
    """Whatever stands around it: nothing of it is left; with one character changed it is no canary any more."""
    minted = mint(kind, id="c1", tenant="default", label="l", host="example.com", made_by="ola", made_ns=1)
    REDACTOR.canaries.keep([minted.canary])
    redactor = REDACTOR
    hidden = DISGUISES[disguise](minted.value)
    kinds = [kind for _, _, kind in redactor.spans(f"{before} {hidden} {after}")]
    assert "canary:c1" in kinds
    shown = redactor.text(f"{before} {hidden} {after}")
    assert "[redacted:canary]" in shown
    assert hidden not in shown
    nearly = minted.value[:-1] + ("1" if minted.value[-1] != "1" else "2")
    assert "canary:c1" not in [kind for _, _, kind in redactor.spans(f"{before} {nearly}")]
    if kind == "card":
        assert passes_luhn(minted.value)


def test_a_stream_hides_a_canary_that_comes_in_pieces() -> None:
    """Three characters at a time, what goes out is what the redaction of the whole is."""
    minted = mint("text", id="c1", tenant="default", label="l", host="x", made_by="ola", made_ns=1)
    redactor = Redactor(RedactionSettings(), Canaries([minted.canary]))
    text = f"{'word ' * 90}{minted.value} {'word ' * 90}"
    stream = RedactedStream(redactor)
    out = "".join(stream.add(text[at : at + 3]) for at in range(0, len(text), 3)) + stream.end()
    assert out == redactor.text(text)
    assert "[redacted:canary]" in out


async def made(running: Colony, kind: str = "api_key", label: str = "backup") -> dict[str, Any]:
    outcome = await running.call(OLA, "mads.grace.create_canary", {"label": label, "kind": kind})
    assert outcome.status == "ok", outcome.error
    return outcome.value


def code(outcome: Outcome) -> str:
    return outcome.error.code if outcome.error else outcome.status


async def sightings(running: Colony) -> list[tuple[str, str, dict[str, Any]]]:
    """Tenant, agent and payload of each event."""
    journal = running.parts.ports.journal
    page = await journal.page(JournalQuery(code="canary_seen", kind="event"))
    records = [await journal.get(one.id) for one in page.records]
    return [(one.tenant, one.agent, one.payload or {}) for one in records if one is not None]


async def test_a_canary_made_at_run_time_locks_whoever_sends_it(tmp_path: Path) -> None:
    """Refused at once, in arguments and in results, journalled with label and caller, until it is deleted; only its
    owner was ever told the text."""
    async with colony(tmp_path, mads=["rogers", "grace"], autonomy={"lower": {"on": True}}) as running:
        first = await made(running, "email")
        talk = await running.call(OLA, TALK, {"name": "plans"})
        assert code(await running.call(ADA, TALK, {"name": f"see {first['value']}"})) == "canary_seen"
        ((tenant, agent, payload),) = await sightings(running)
        assert (tenant, agent, payload["canary"], payload["tool"]) == ("default", "ada", "backup", TALK)
        held = running.parts.ports.autonomy.held(subject_of(ADA))
        assert held is not None
        assert held.level is Level.LOCKED
        # One that stands in a result: it was stored before anybody looked for it.
        listed = (await running.call(OLA, "mads.grace.list_canaries", {})).value["canaries"]
        assert [(one["label"], one["kind"], one["created_by"]) for one in listed] == [("backup", "email", "ola")]
        assert first["value"] not in json.dumps(listed)
        kept = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("colony.db*"))
        assert first["value"].encode() not in kept
        assert code(await running.call(OLA, "mads.grace.delete_canary", {"canary": first["id"]})) == "ok"
        post = {"conversation": talk.value["id"], "content": f"see {first['value']}"}
        assert code(await running.call(OLA, "mads.rogers.post_message", post)) == "ok"


@pytest.mark.parametrize("direction", ["in", "out", "model"])
def test_a_guard_that_runs_refuses_a_new_canary(direction: Direction) -> None:
    """Made after the guard: refused in every direction, with the canary for the journal and not for the caller."""
    minted = mint("email", id="c1", tenant="default", label="sales", host="x.example", made_by="ola", made_ns=1)
    canaries = Canaries()
    guard = DataGuard(DlpSettings(), RedactionSettings(), canaries)
    canaries.keep([minted.canary])
    with pytest.raises(DataRefused) as refused:
        guard.judge(direction, "default", ("mads.a.b",), {"deep": [f"to {minted.value}"]})
    assert refused.value.canaries == (minted.canary,)
    assert "sales" not in json.dumps(refused.value.to_wire())
    canaries.keep([])
    guard.judge(direction, "default", ("mads.a.b",), {"deep": [f"to {minted.value}"]})


async def test_neither_tenant_learns_of_the_other_by_a_canary(tmp_path: Path) -> None:
    """Another tenant's caller is refused, and its journal has no label; the owner's has the label and no caller."""
    async with colony(tmp_path, mads=["rogers", "grace"]) as running:
        value = (await made(running, label="the owner's secret place"))["value"]
        assert code(await running.call(EVE, TALK, {"name": value})) == "canary_seen"
        seen = {tenant: (agent, payload.get("canary", "")) for tenant, agent, payload in await sightings(running)}
        assert seen == {"rival": ("eve", ""), "default": ("", "the owner's secret place")}
        boss = Principal("rob", "rival", ("operator",), "person")
        assert (await running.call(boss, "mads.grace.list_canaries", {})).value == {"canaries": []}
        mine = (await running.call(OLA, "mads.grace.list_canaries", {})).value["canaries"][0]["id"]
        assert code(await running.call(boss, "mads.grace.delete_canary", {"canary": mine})) == "arguments_invalid"


async def test_another_process_looks_for_it_as_soon_as_it_follows(tmp_path: Path) -> None:
    """Two processes on one database: what one makes, and deletes, holds in the other after its next look."""
    clock = ManualClock()
    here = await Database.open(tmp_path / "colony.db", clock=clock)
    there = await Database.open(tmp_path / "colony.db", clock=clock)
    try:
        caches, looks = (cache_of(here), cache_of(there)), (Canaries(), Canaries())
        books = [CanaryBook(cache, clock, look) for cache, look in zip(caches, looks, strict=True)]
        for cache in caches:
            await cache.warm()
        minted = await books[0].create("default", "l", "card", host="x", made_by="ola")
        redactor = Redactor(RedactionSettings(secrets=False, personal_data=[]), looks[1])
        assert redactor.text(minted.value) == minted.value
        await caches[1].refresh()
        assert redactor.text(minted.value) == "[redacted:canary]"
        await books[0].delete("default", minted.canary.id)
        await caches[1].refresh()
        assert redactor.text(minted.value) == minted.value
    finally:
        await here.close()
        await there.close()
