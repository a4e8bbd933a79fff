"""Events are declared where they are emitted, and nothing else is emitted."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.database import Database
from cenoby.store.journal import Journal, JournalQuery
from docs.generate import SOURCE, declared_events, is_bus_event

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
    overrides = {"data": folder / "data", "mads": ["turing", "grace"], "telemetry": {"log_level": "error"}}
    return load_settings(environment={}, overrides=overrides)


def test_every_declaration_says_what_it_means() -> None:
    """Codes are snake_case, those of the bus with a version; each is declared once and has a sentence."""
    for code, (module, meaning) in declared_events().items():
        assert is_bus_event(code) or re.fullmatch(r"[a-z]+(_[a-z]+)*", code), f"{module}: {code}"
        assert meaning.endswith("."), f"{module}: {code}"


def test_every_bus_event_in_the_code_is_declared() -> None:
    """No literal of the form `what.v1` that nobody declares, and none declared that is nowhere else."""
    found: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        tree = ast.walk(ast.parse(file.read_text()))
        literals = {node.value for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        found |= {text for text in literals if is_bus_event(text)}
    assert found == {code for code in declared_events() if is_bus_event(code)}


async def test_every_event_in_the_journal_is_declared(tmp_path: Path) -> None:
    """A colony keeps secrets, moves a MAD, makes tokens, erases, stops: all events that it journals are declared."""
    async with open_colony(settings(tmp_path), SystemClock()) as colony:
        for name, arguments in (
            ("turing.set_secret", {"name": "k", "value": "v" * 20, "readers": ["agent:nobody"]}),
            ("turing.get_secret", {"name": "k"}),
            ("turing.rotate_secret", {"name": "k"}),
            ("turing.set_secret", {"name": "k", "value": "v" * 20, "readers": []}),
            ("turing.get_secret", {"name": "k"}),
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
            ("grace.create_token", {"agent": "eve", "role": "observer"}),
        ):
            outcome = await call(colony, f"mads.{name}", **arguments)
        await call(colony, "mads.grace.revoke_token", token_id=outcome.value["token_id"])
        journal = colony.parts.ports.journal
        record = (await journal.page(JournalQuery(code="secret_read"))).records[0]
        await call(colony, "mads.grace.erase_payload", record_id=record.id, reason="r")
    database = await Database.open(tmp_path / "data" / "colony.db", clock=SystemClock())
    page = await Journal(database, node="main-1", clock=SystemClock()).page(JournalQuery(kind="event", limit=500))
    await database.close()
    codes = {record.code for record in page.records}
    declared = {code for code in declared_events() if not is_bus_event(code)}
    assert codes <= declared
    assert declared - codes == {"colony_cut_off", "approval_approved", "approval_denied", "mad_failed"}


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
