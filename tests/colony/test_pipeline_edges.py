"""Ways through the pipeline that end at its edges: a caller that leaves too early, a tool that raises too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery, Record

ADA = Principal("ada", "default", ("developer",), "agent")
LIMIT = 100
"""Micro-US-dollars that Ada may spend."""


class Edgy(Mad):
    """Raises what `except Exception` does not catch, and remembers what it was asked to do."""

    name = "edgy"

    def __init__(self) -> None:
        self.ran = list[str]()

    def price(self, arguments: Mapping[str, Any]) -> int:
        return LIMIT

    @tool("test:run", effect="writes")
    async def change(self, call: Call) -> ToolContent:
        """Change something."""
        self.ran.append("change")
        return ToolContent([])

    @tool("test:run", effect="outside", cost="price")
    async def buy(self, call: Call) -> ToolContent:
        """Spend money."""
        self.ran.append("buy")
        return ToolContent([])

    @tool("test:run", effect="writes")
    async def await_cancelled(self, call: Call) -> ToolContent:
        """Wait for a task of its own that was cancelled."""
        own = asyncio.create_task(asyncio.sleep(60))
        own.cancel()
        await own
        return ToolContent([])

    @tool("test:run", effect="writes")
    async def leave(self, call: Call) -> ToolContent:
        """Do as a script does when it is done."""
        raise SystemExit(3)


@asynccontextmanager
async def colony_with_edgy(folder: Path) -> AsyncIterator[tuple[Colony, Edgy]]:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": [],
        "budgets": {"agents": {"ada": LIMIT / 1e6}},
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        edgy = Edgy()
        await colony.parts.ports.host.add(edgy)
        yield colony, edgy


async def records_of(colony: Colony, invocation: Invocation) -> list[Record]:
    query = JournalQuery(correlation=invocation.correlation, newest_first=False, limit=100)
    return (await colony.parts.ports.journal.page(query)).records


@pytest.mark.parametrize("what", ["change", "buy"])
async def test_a_caller_that_gives_up_while_its_intent_is_written(tmp_path: Path, what: str) -> None:
    """The intent has one decision before it and one outcome after it; the tool never ran and the money is free."""
    async with colony_with_edgy(tmp_path) as (colony, edgy):
        invocation = Invocation(f"mads.edgy.{what}", {}, ADA)
        task = asyncio.create_task(colony.parts.pipeline.run(invocation))
        while "follow" not in [stage for stage, _ in invocation.marks]:  # noqa: ASYNC110 - it can only be looked at
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert edgy.ran == []
        assert await colony.parts.ports.ledger.reserve("ada", "default", LIMIT)
        assert [(record.kind, record.status) for record in await records_of(colony, invocation)] == [
            ("decision", ""), ("intent", ""), ("outcome", "cancelled"),
        ]  # fmt: skip


@pytest.mark.parametrize("what", ["await_cancelled", "leave"])
async def test_whatever_a_tool_raises_is_a_fault_of_that_call(tmp_path: Path, what: str) -> None:
    """The caller gets `tool_failed` and the journal the outcome, also where the tool raises no Exception."""
    async with colony_with_edgy(tmp_path) as (colony, _):
        invocation = Invocation(f"mads.edgy.{what}", {}, ADA)
        try:
            outcome = await colony.parts.pipeline.run(invocation)
        except (asyncio.CancelledError, SystemExit) as error:
            pytest.fail(f"{type(error).__name__} came through the pipeline")
        assert outcome.error is not None
        assert outcome.error.code == "tool_failed"
        assert [one.kind for one in await records_of(colony, invocation)] == ["decision", "intent", "outcome"]
