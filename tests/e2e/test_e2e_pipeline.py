"""What the pipeline promises of every call, on a whole colony in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Invocation
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.database import StoreUnavailable
from cenoby.store.journal import JournalQuery, Record

MAD = '''
import asyncio
from dataclasses import dataclass
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool

@dataclass(frozen=True)
class Said:
    text: str

class Probe(Mad):
    name = "probe"

    @tool(action="tool:call", effect="reads")
    async def say(self, call: Call, text: str) -> Said:
        """Say it."""
        return Said(text)

    @tool(action="tool:call", effect="reads")
    async def tell(self, call: Call) -> Said:
        """Tell too much."""
        return Said("write to ada@example.org with ghp_" + "a1B2c3D4e5F6" * 3)

    @tool(action="tool:call", effect="writes", sensitive=("text",))
    async def keep(self, call: Call, text: str) -> Said:
        """Keep it."""
        return Said("kept")

    @tool(action="tool:call", effect="writes")
    async def break_down(self, call: Call) -> Said:
        """Fail."""
        raise RuntimeError("a bug with a secret: sk-proj-" + "a1B2" * 12)

    @tool(action="tool:call", effect="writes", timeout=0.2)
    async def linger(self, call: Call) -> Said:
        """Take too long."""
        await asyncio.sleep(30)
        return Said("never")

    @tool(action="secret:write", effect="writes")
    async def hide(self, call: Call) -> Said:
        """Needs approval."""
        return Said("hidden")
'''
ADA = Principal("ada", "default", ("developer",), "agent")
EVE = Principal("eve", "default", ("observer",), "agent")


@asynccontextmanager
async def colony_of(tmp_path: Path) -> AsyncIterator[Colony]:
    (tmp_path / "probe.py").write_text(MAD)
    overrides: dict[str, Any] = {
        "data": tmp_path / "data",
        "mads": ["grace", f"{tmp_path}/probe.py:Probe"],
        "approvals": {"require": ["secret:write"]},
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        yield colony


async def records_of(colony: Colony, invocation: Invocation) -> list[Record]:
    """The journal's records of one call, oldest first."""
    journal = colony.parts.ports.journal
    page = await journal.page(JournalQuery(correlation=invocation.correlation, newest_first=False, limit=1000))
    return [record for record in page.records if record.invocation == invocation.id]


CALLS: list[tuple[str, Principal | str, str, dict[str, Any], str, str]] = [
    ("reading", ADA, "mads.probe.say", {"text": "hello"}, "ok", ""),
    ("writing", ADA, "mads.probe.keep", {"text": "hello"}, "ok", ""),
    ("unauthenticated", "cby_nobody", "mads.probe.say", {"text": "x"}, "refused", "token_unknown"),
    ("unknown tool", ADA, "mads.probe.sya", {}, "refused", "tool_unknown"),
    ("hidden characters", ADA, "mads.probe.say", {"text": b"a\\u0000b".decode("unicode_escape")}, "refused", ""),
    ("wrong arguments", ADA, "mads.probe.say", {"txet": "x"}, "refused", "arguments_invalid"),
    ("wrong role", EVE, "mads.probe.say", {"text": "x"}, "refused", "action_not_allowed"),
    ("needs approval", ADA, "mads.probe.hide", {}, "parked", "approval_pending"),
    ("a bug in the tool", ADA, "mads.probe.break_down", {}, "error", "tool_failed"),
    ("too slow", ADA, "mads.probe.linger", {}, "error", "tool_timeout"),
]


@pytest.mark.parametrize(
    ("credential", "tool", "arguments", "status", "code"), [one[1:] for one in CALLS], ids=[one[0] for one in CALLS]
)
async def test_every_call_has_exactly_one_decision(
    tmp_path: Path, credential: Principal | str, tool: str, arguments: dict[str, Any], status: str, code: str
) -> None:
    """However it ends, one record decides; a call that began to change something has one intent and one outcome."""
    async with colony_of(tmp_path) as colony:
        invocation = Invocation(tool, arguments, credential)
        outcome = await colony.parts.pipeline.run(invocation)
        assert outcome.status == status
        if code:
            assert outcome.error is not None
            assert outcome.error.code == code
        records = await records_of(colony, invocation)
        assert sum(1 for record in records if record.decision) == 1
        kinds = Counter(record.kind for record in records if record.kind != "event")
        began = invocation.intended
        assert kinds == ({"decision": 1, "intent": 1, "outcome": 1} if began else {"call": 1})
        assert outcome.record is not None
        assert outcome.record.id == records[-1].id
        assert (await colony.parts.ports.journal.verify()).ok


async def test_a_cancelled_call_is_recorded_as_such(tmp_path: Path) -> None:
    """A caller that gives up while the tool runs leaves an outcome behind, and the colony goes on."""
    async with colony_of(tmp_path) as colony:
        invocation = Invocation("mads.probe.linger", {}, ADA)
        task = asyncio.create_task(colony.parts.pipeline.run(invocation))
        while not invocation.began:  # noqa: ASYNC110 - the tool runs in another task's turns
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        records = await records_of(colony, invocation)
        assert [(record.kind, record.status) for record in records] == [
            ("decision", ""), ("intent", ""), ("outcome", "cancelled"),
        ]  # fmt: skip
        assert (await colony.call(ADA, "mads.probe.say", {"text": "still here"})).status == "ok"


async def test_sensitive_arguments_and_secrets_in_errors_are_not_journalled(tmp_path: Path) -> None:
    """The value of a sensitive argument is nowhere in the database; a key in an exception reaches nobody."""
    async with colony_of(tmp_path) as colony:
        await colony.call(ADA, "mads.probe.keep", {"text": "a-value-that-nobody-may-find"})
        broken = await colony.call(ADA, "mads.probe.break_down", {})
        assert broken.error is not None
        assert "sk-proj" not in broken.error.message
    written = b"".join(file.read_bytes() for file in (tmp_path / "data").glob("colony.db*"))
    assert b"a-value-that-nobody-may-find" not in written
    assert b"sk-proj-a1B2" not in written


async def test_results_are_redacted_on_the_way_out(tmp_path: Path) -> None:
    """A key and an address in a result are blacked out for the caller and in the journal."""
    async with colony_of(tmp_path) as colony:
        outcome = await colony.call(ADA, "mads.probe.tell", {})
        assert outcome.redacted == 2
        assert "ada@example.org" not in outcome.json.decode()
        assert "ghp_" not in outcome.json.decode()


async def test_nothing_is_answered_that_could_not_be_recorded(tmp_path: Path) -> None:
    """With the store gone, a reading call that ran is refused instead of answered; nor can the stop be recorded."""
    with pytest.raises(StoreUnavailable):
        async with colony_of(tmp_path) as colony:
            await colony.parts.database.close()
            outcome = await colony.parts.pipeline.run(Invocation("mads.probe.say", {"text": "x"}, ADA))
            assert outcome.error is not None
            assert outcome.error.code == "store_closed"
            assert outcome.value is None
