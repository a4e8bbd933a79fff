"""Whatever is asked of the pipeline, in whatever order, and wherever a caller gives up: the books balance."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.access.limits import LimitExceeded
from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery, Record

ADA = Principal("ada", "default", ("developer",), "agent")
LIMIT = 100
"""Micro-US-dollars that Ada may spend."""
SECONDS = 30
"""Far more than anything here takes; only a hang meets it."""


class Probe(Mad):
    """Ends in every way a tool can, and looks into the database for its own intent before it does anything."""

    name = "probe"

    def __init__(self, database: Path) -> None:
        self.gate = asyncio.Event()
        self.spent: dict[str, int | None] = {}
        self.without_intent: list[str] = []
        self._database = database

    def price(self, arguments: Mapping[str, Any]) -> int:
        return int(arguments["bound"])

    @tool("test:run", effect="reads")
    async def look(self, call: Call, end: str) -> ToolContent:
        """Change nothing."""
        return await self._end(call, end, None)

    @tool("test:run", effect="writes")
    async def change(self, call: Call, end: str) -> ToolContent:
        """Change something."""
        self._prove_intent(call)
        return await self._end(call, end, None)

    @tool("test:run", effect="outside", cost="price")
    async def buy(self, call: Call, end: str, bound: int, spend: int | None) -> ToolContent:
        """Spend money."""
        self._prove_intent(call)
        return await self._end(call, end, spend)

    @tool("test:run", effect="writes", timeout=0.2)
    async def dawdle(self, call: Call, end: str) -> ToolContent:
        """Never end in time."""
        self._prove_intent(call)
        await self._end(call, end, None)
        return await asyncio.get_running_loop().create_future()

    @tool("colony:admin", effect="writes")
    async def rule(self, call: Call, end: str) -> ToolContent:
        """Nothing for a developer."""
        return await self._end(call, end, None)

    def _prove_intent(self, call: Call) -> None:
        with closing(sqlite3.connect(self._database)) as connection:
            statement = "SELECT count(*) FROM journal_record WHERE kind = 'intent' AND invocation = ?"
            if connection.execute(statement, (call.invocation,)).fetchone() != (1,):
                self.without_intent.append(call.invocation)

    async def _end(self, call: Call, end: str, spend: int | None) -> ToolContent:
        self.spent[call.invocation] = spend
        if spend is not None:
            call.spend(spend)
        if end == "wait":
            await self.gate.wait()
        if end == "refuse":
            raise CallInvalid("client_feature_missing", "not for this client")
        if end == "crash":
            raise RuntimeError("a bug")
        return ToolContent([{"type": "text", "text": "done"}], is_error=end == "report")


@dataclass(frozen=True)
class Step:
    """One call: of what, how its tool ends, where its caller gives up, and how far it is when the next begins."""

    what: str
    end: str = "answer"
    bound: int = 0
    spend: int | None = None
    cancel_in: str = ""
    twice: bool = False
    until: str = "ended"

    def invocation(self) -> Invocation:
        arguments: dict[str, Any] = {"end": self.end}
        if self.what == "buy":
            arguments |= {"bound": self.bound, "spend": self.spend}
        if self.what == "garbled":
            return Invocation("mads.probe.change", {"ned": self.end}, ADA)
        return Invocation(f"mads.probe.{self.what}", arguments, "cby_nobody" if self.what == "stranger" else ADA)


ENDS = {"answer": "", "wait": "", "report": "", "refuse": "client_feature_missing", "crash": "tool_failed"}
REFUSALS = {
    "nowhere": "tool_unknown", "garbled": "arguments_invalid", "stranger": "token_unknown",
    "rule": "action_not_allowed",
}  # fmt: skip
BEFORE = {"budget": "approve", "intend": "budget", "dispatch": "intend", "settle": "dispatch", "record": "redact"}
"""The stage that has just ended when a call is in this one."""
steps = st.builds(
    lambda what, end, bound, share, cancel_in, twice, until: Step(
        what, end, bound, None if share is None else bound * share // 4, cancel_in, twice, until
    ),
    st.sampled_from(["look", "change", *["buy"] * 8, "dawdle", *REFUSALS]),
    st.sampled_from([*ENDS, "wait", "wait", "wait"]),
    st.sampled_from([0, 3, 8, 15, 45]),
    st.sampled_from([None, 0, 1, 3, 4]),
    st.sampled_from([*[""] * 6, *BEFORE, "dispatch"]),
    st.booleans(),
    st.sampled_from(["begun", *["placed"] * 4, "ended"]),
)


@asynccontextmanager
async def colony_with_probe(folder: Path) -> AsyncIterator[tuple[Colony, Probe]]:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": [],
        "mailbox": {"concurrency": 1, "depth": 1},
        "budgets": {"agents": {"ada": LIMIT / 1e6}},
        "breaker": {"failures": 1_000_000},
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        probe = Probe(folder / "data" / "colony.db")
        await colony.parts.ports.host.add(probe)
        yield colony, probe


async def reached(stage: str, invocation: Invocation, task: asyncio.Task[Outcome]) -> bool:
    """Let the call go on until this stage is the last that has ended, or it is past that; says which."""
    while not task.done():
        ended = [name for name, _ in invocation.marks]
        if stage in ended or "record" in ended:
            return ended[-1] == stage
        await asyncio.sleep(0)
    return False


async def take(step: Step, colony: Colony, probe: Probe) -> tuple[Invocation, asyncio.Task[Outcome]]:
    """Make the call, and have its caller give up in the stage that the step says, if the call comes to wait there."""
    invocation = step.invocation()
    task = asyncio.create_task(colony.parts.pipeline.run(invocation))
    if step.cancel_in:
        if step.cancel_in in ("settle", "record"):
            probe.gate.set()
        if await reached(BEFORE[step.cancel_in], invocation, task):
            task.cancel()
            await asyncio.sleep(0)
            if step.twice:
                task.cancel()
    if step.until == "placed":
        await reached("intend", invocation, task)
    if step.until == "ended":
        probe.gate.set()
        await asyncio.wait([task])
    probe.gate.clear()
    return invocation, task


async def records_by_call(colony: Colony) -> dict[str, list[Record]]:
    """The records of each call, oldest first; without events."""
    found: dict[str, list[Record]] = {}
    cursor = ""
    while True:
        query = JournalQuery(newest_first=False, limit=500, cursor=cursor)
        page = await colony.parts.ports.journal.page(query)
        for record in page.records:
            if record.kind != "event":
                found.setdefault(record.invocation, []).append(record)
        if not (cursor := page.next):
            return found


async def all_ended(colony: Colony, invocations: list[Invocation]) -> dict[str, list[Record]]:
    """As `records_by_call`, once each call has a terminal record: one cancelled twice is recorded behind its back."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = await records_by_call(colony)
            ended = {key for key, records in found.items() if records[-1].kind in ("call", "outcome")}
            if ended >= {one.id for one in invocations}:
                return found
            await asyncio.sleep(0.01)


def check_records(step: Step, invocation: Invocation, task: asyncio.Task[Outcome], records: list[Record]) -> None:
    """One decision, one end; what ran was allowed; and the caller was told what the journal says."""
    kinds = [record.kind for record in records]
    assert kinds in (["call"], ["decision", "intent", "outcome"]), (step, kinds)
    assert [record.decision for record in records if record.decision] == [records[0].decision]
    last = records[-1]
    if step.what in REFUSALS:
        assert (last.kind, last.status, last.code) == ("call", "refused", REFUSALS[step.what]), step
    elif not task.cancelled() and step.what != "dawdle" and last.code not in ("mailbox_full", "budget_exhausted"):
        assert last.code == ENDS[step.end], step
    if task.cancelled():
        return
    outcome = task.result()
    assert outcome.record is not None
    assert outcome.record.id == last.id
    assert (outcome.status, outcome.error.code if outcome.error else "") == (last.status, last.code), step


async def check_money(
    colony: Colony, probe: Probe, bought: list[tuple[Step, str]], records: dict[str, list[Record]]
) -> None:
    """Spent is what tools said they spent; held is what ran without saying; all else can be had again."""
    ledger, journal = colony.parts.ports.ledger, colony.parts.ports.journal
    with suppress(LimitExceeded):
        # A reservation whose caller gave up while it was written is given back with the next one.
        await ledger.settle(await ledger.reserve("ada", "default", 1), 0)
    ran = [(step, probe.spent[key]) for step, key in bought if key in probe.spent and step.bound]
    spent = sum(spend for _, spend in ran if spend is not None)
    held = sum(step.bound for step, spend in ran if spend is None)
    usage = await ledger.usage("default", agent="ada", days=2)
    assert (sum(day.spent for day in usage), sum(day.held for day in usage)) == (spent, held)
    written = 0
    for _, key in bought:
        record = await journal.get(records[key][-1].id)
        assert record is not None
        written += (record.payload or {}).get("spent_micro_usd", 0)
    assert written == spent
    assert spent + held <= LIMIT
    if spent + held < LIMIT:
        await ledger.reserve("ada", "default", LIMIT - spent - held)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("ada", "default", 1)


async def run_sequence(sequence: list[Step], folder: Path) -> None:
    async with colony_with_probe(folder) as (colony, probe), asyncio.timeout(SECONDS):
        calls = [(step, *await take(step, colony, probe)) for step in sequence]
        probe.gate.set()
        await asyncio.wait([task for _, _, task in calls])
        records = await all_ended(colony, [invocation for _, invocation, _ in calls])
        for step, invocation, task in calls:
            check_records(step, invocation, task, records[invocation.id])
            if invocation.id in probe.spent:
                assert records[invocation.id][0].decision == "allowed"
                assert step.what == "look" or len(records[invocation.id]) == 3
        assert probe.without_intent == []
        await check_money(colony, probe, [(step, one.id) for step, one, _ in calls if step.what == "buy"], records)
        state = colony.parts.ports.host.mailbox_states()["probe"]
        assert (state.running, state.waiting) == (0, 0)
        assert colony.parts.ports.host._live == {}
        assert (await colony.parts.ports.journal.verify()).ok


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, min_size=8, max_size=30))
def test_after_any_sequence_of_calls_the_books_balance(sequence: list[Step]) -> None:
    """Calls that succeed, fail, are refused, cost too much or are given up anywhere, one after another or at once.

    Each has one decision and one end in the journal, no side effect is without its intent, the ledger holds what was
    spent and nothing else, no place in the mailbox is lost, and the chain verifies.
    """
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run_sequence(sequence, Path(folder)))
