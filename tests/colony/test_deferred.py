"""Calls for later: made through the pipeline over failures and restarts, or found among the dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
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
from cenoby.store.journal import JournalQuery

OLA = Principal("ola", "default", ("operator",), "person")


class Sender(Mad):
    """Sends, unless it is told to fail."""

    name = "sender"

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.sent: list[str] = []

    @tool("test:run", effect="outside", idempotent=True)
    async def send(self, call: Call, text: str) -> ToolContent:
        """Send a text."""
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no line")
        self.sent.append(text)
        return ToolContent([])

    @tool("test:run", effect="outside")
    async def pay(self, call: Call) -> ToolContent:
        """Pay; twice would be twice."""
        return ToolContent([])


@asynccontextmanager
async def sending(folder: Path, sender: Sender) -> AsyncIterator[Colony]:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["grace"],
        "breaker": {"failures": 1000},
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        await colony.parts.ports.host.add(sender)
        yield colony


async def operator(colony: Colony, verb: str, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(f"mads.grace.{verb}", arguments, OLA))


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


async def test_a_call_for_later_is_made_as_the_mad_and_journalled(tmp_path: Path) -> None:
    """It passes the pipeline: the journal has it under the id that was given, with the MAD as the agent; and once."""
    sender = Sender()
    async with sending(tmp_path, sender) as colony:
        identifier = await colony.parts.deferred.put("keeper", "mads.sender.send", {"text": "hello"}, key="once")
        await colony.parts.deferred.put("keeper", "mads.sender.send", {"text": "hello"}, key="once")
        await until(lambda: sender.sent == ["hello"])
        journal = colony.parts.ports.journal

        async def recorded() -> bool:
            page = await journal.page(JournalQuery(correlation=identifier, newest_first=False, limit=10))
            return [(one.kind, one.agent) for one in page.records] == [
                ("decision", "keeper"),
                ("intent", "keeper"),
                ("outcome", "keeper"),
            ]

        await until(recorded)


async def test_it_outlasts_the_process_and_failures(tmp_path: Path) -> None:
    """Put while its MAD fails, it is made again until it succeeds, also after the colony was stopped and started."""
    failing = Sender(failures=1_000_000)
    async with sending(tmp_path, failing) as colony:
        await colony.parts.deferred.put("keeper", "mads.sender.send", {"text": "late"})
        await until(lambda: failing.failures < 1_000_000)
    sound = Sender()
    async with sending(tmp_path, sound) as colony:
        await until(lambda: sound.sent == ["late"])
        await until(lambda: _empty(colony))


async def _empty(colony: Colony) -> bool:
    return await colony.parts.work.depth("main.deferred") == 0


async def test_what_never_succeeds_is_a_dead_letter_that_an_operator_handles(tmp_path: Path) -> None:
    """After its tries it is listed with what it met; retried it is made, dropped it is gone, others are refused."""
    sender = Sender(failures=10)
    async with sending(tmp_path, sender) as colony:
        letters = [
            await colony.parts.deferred.put("keeper", "mads.sender.send", {"text": text}) for text in ("one", "two")
        ]
        await until(lambda: _empty(colony))
        listed = (await operator(colony, "list_dead_letters")).value["letters"]
        assert {one["id"] for one in listed} == set(letters)
        assert listed[0]["sender"] == "keeper"
        assert listed[0]["deliveries"] == 5
        assert "tool_failed" in listed[0]["error"] or "mads.sender.send failed" in listed[0]["error"]
        assert listed[0]["payload"]["tool"] == "mads.sender.send"
        assert (await operator(colony, "retry_dead_letter", letter=letters[0])).status == "ok"
        await until(lambda: sender.sent == ["one"])
        assert (await operator(colony, "drop_dead_letter", letter=letters[1])).status == "ok"
        assert (await operator(colony, "list_dead_letters")).value["letters"] == []
        refused = await operator(colony, "retry_dead_letter", letter=letters[1])
        assert refused.error is not None
        assert refused.error.code == "arguments_invalid"


async def test_only_what_may_be_repeated_is_called_later(tmp_path: Path) -> None:
    """A tool that is not idempotent, or does not exist, is refused at once."""
    async with sending(tmp_path, Sender()) as colony:
        for name in ("mads.sender.pay", "mads.sender.nothing"):
            with pytest.raises(CallInvalid):
                await colony.parts.deferred.put("keeper", name, {})
