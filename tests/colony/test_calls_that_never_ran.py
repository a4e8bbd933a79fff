"""What is given back when an admitted call does not run, and what the journal keeps of calls that went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

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
OLA = Principal("ola", "default", ("operator",), "person")
PRICE = 100
"""Micro-US-dollars; Ada has as much for the day."""
KEY = "AKIAIOSFODNN7EXAMPLE"


class Shop(Mad):
    """Sells one thing, once a person has agreed."""

    name = "shop"
    events = {"complained": "Ada complained."}

    def price(self, arguments: Mapping[str, Any]) -> int:
        return PRICE

    @tool("test:run", effect="outside", cost="price")
    async def buy(self, call: Call, what: str) -> ToolContent:
        """Spend money."""
        return ToolContent([{"type": "text", "text": what}])

    @tool("test:run", effect="writes", sensitive=("value",))
    async def keep(self, call: Call, name: str, value: str) -> ToolContent:
        """Keep something secret."""
        return ToolContent([])

    @tool("test:run", effect="reads")
    async def complain(self, call: Call) -> ToolContent:
        """Note and say too much."""
        await call.note("complained", {"about": f"the key {KEY}"})
        raise CallInvalid("arguments_invalid", "No.", details={"because": [f"of {KEY}"]})


@asynccontextmanager
async def shop(folder: Path, **overrides: Any) -> AsyncIterator[Colony]:
    settings: dict[str, Any] = {
        "data": folder / "data",
        "mads": [],
        "budgets": {"agents": {"ada": PRICE / 1e6}},
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=settings | overrides), SystemClock()) as colony:
        await colony.parts.ports.host.add(Shop())
        yield colony


async def call(colony: Colony, verb: str, /, **arguments: Any) -> tuple[Outcome, list[Record]]:
    """The outcome of one call of Ada's, and its records with their payloads."""
    invocation = Invocation(f"mads.shop.{verb}", arguments, ADA)
    outcome = await colony.parts.pipeline.run(invocation)
    return outcome, await records_of(colony, invocation)


async def records_of(colony: Colony, invocation: Invocation) -> list[Record]:
    journal = colony.parts.ports.journal
    page = await journal.page(JournalQuery(correlation=invocation.correlation, newest_first=False, limit=100))
    whole = [await journal.get(record.id) for record in page.records]
    return [record for record in whole if record is not None]


async def approved(colony: Colony, verb: str, /, **arguments: Any) -> str:
    """Ask for a person's yes to this call and get it; the id of the approval."""
    outcome, _ = await call(colony, verb, **arguments)
    assert outcome.error is not None
    assert outcome.error.code == "approval_pending"
    identifier = str(outcome.error.details["approval_id"])
    await colony.parts.ports.approvals.decide(identifier, OLA, True)
    return identifier


APPROVING = {"approvals": {"require": ["test:run"]}}


async def test_an_approval_outlasts_a_call_that_the_budget_stopped(tmp_path: Path) -> None:
    """A call refused for want of money does not use the person's yes up, and its record names it."""
    async with shop(tmp_path, **APPROVING) as colony:
        identifier = await approved(colony, "buy", what="tea")
        held = await colony.parts.ports.ledger.reserve("ada", "default", PRICE)
        outcome, records = await call(colony, "buy", what="tea")
        assert outcome.error is not None
        assert outcome.error.code == "budget_exhausted"
        assert records[-1].payload is not None
        assert records[-1].payload["approval"] == identifier
        await colony.parts.ports.ledger.settle(held, 0)
        outcome, _ = await call(colony, "buy", what="tea")
        assert outcome.status == "ok"
        outcome, _ = await call(colony, "buy", what="tea")
        assert outcome.status == "parked"


async def test_an_approval_outlasts_a_caller_that_gave_up(tmp_path: Path) -> None:
    """Cancelled while the approval is being used up, the call leaves it for the next one."""
    async with shop(tmp_path, **APPROVING) as colony:
        await approved(colony, "buy", what="tea")
        invocation = Invocation("mads.shop.buy", {"what": "tea"}, ADA)
        task = asyncio.create_task(colony.parts.pipeline.run(invocation))
        while "authorise" not in [stage for stage, _ in invocation.marks]:  # noqa: ASYNC110 - it can only be looked at
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        outcome, _ = await call(colony, "buy", what="tea")
        assert outcome.status == "ok"


async def test_a_secret_under_a_wrong_name_is_not_journalled(tmp_path: Path) -> None:
    """Arguments that a tool with secrets does not know are withheld: one may be the secret, misnamed."""
    async with shop(tmp_path) as colony:
        outcome, records = await call(colony, "keep", name="db", secret="hunter2")
        assert outcome.error is not None
        assert outcome.error.code == "arguments_invalid"
        assert records[-1].payload is not None
        assert records[-1].payload["arguments"] == {"name": "db", "secret": "[not journalled]"}


async def test_details_notes_and_unknown_names_are_redacted(tmp_path: Path) -> None:
    """A key in an error's details, an event's payload or a tool's name reaches neither caller nor journal."""
    async with shop(tmp_path) as colony:
        outcome, records = await call(colony, "complain")
        assert outcome.error is not None
        assert outcome.error.details == {"because": ["of [redacted:aws_key]"]}
        outcome, unknown = await call(colony, KEY)
        assert outcome.error is not None
        assert outcome.error.code == "tool_unknown"
        assert len(records) == 2
        assert len(unknown) == 1
        assert KEY not in repr(records + unknown)
