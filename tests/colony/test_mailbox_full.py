"""A full mailbox, seen from outside: refused calls say when to come back, leave a record, and cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.app.faces import serve_gateway
from cenoby.cli.colony_client import ColonyClient
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery, Record

ADA = Principal("ada", "default", ("developer",), "agent")
DEPTH = 3
SECONDS = 30
"""Far more than anything here takes; only a hang meets it."""


@dataclass(frozen=True, slots=True)
class Done:
    text: str


class Desk(Mad):
    """Serves one call at a time, and each until the test lets go."""

    name = "desk"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.served = list[str]()

    def price(self, arguments: Mapping[str, Any]) -> int:
        return 1000

    @tool("test:run", effect="reads")
    async def read(self, call: Call, text: str) -> Done:
        """Change nothing."""
        return await self._serve(text)

    @tool("test:run", effect="writes")
    async def write(self, call: Call, text: str) -> Done:
        """Change something."""
        return await self._serve(text)

    @tool("test:run", effect="outside", cost="price")
    async def buy(self, call: Call, text: str) -> Done:
        """Spend money."""
        return await self._serve(text)

    async def _serve(self, text: str) -> Done:
        self.served.append(text)
        await self.gate.wait()
        return Done(text)


class Stand:
    """A colony whose desk is as busy as a test wants."""

    def __init__(self, colony: Colony, desk: Desk) -> None:
        self.colony = colony
        self.desk = desk
        self.calls = list[asyncio.Task[Outcome]]()

    async def occupy(self, waiting: int) -> None:
        """One call under way and so many that wait; returns when all are where they should be."""
        for number in range(1 + waiting):
            call = self.colony.call(ADA, "mads.desk.read", {"text": f"n{number}"})
            self.calls.append(asyncio.create_task(call))
            await self.until(running=1, waiting=number)

    async def until(self, *, running: int, waiting: int) -> None:
        async with asyncio.timeout(SECONDS):
            while (self.state.running, self.state.waiting) != (running, waiting):  # noqa: ASYNC110 - it can only be looked at
                await asyncio.sleep(0.001)

    @property
    def state(self) -> Any:
        return self.colony.parts.ports.host.mailbox_states()["desk"]

    async def records_of(self, invocation: Invocation) -> list[Record]:
        query = JournalQuery(correlation=invocation.correlation, newest_first=False)
        return (await self.colony.parts.ports.journal.page(query)).records


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[Stand]:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "listen": "127.0.0.1:0",
        "mads": [],
        "mailbox": {"concurrency": 1, "depth": DEPTH},
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        desk = Desk()
        await colony.parts.ports.host.add(desk)
        stand = Stand(colony, desk)
        yield stand
        desk.gate.set()
        await asyncio.gather(*stand.calls, return_exceptions=True)


@pytest.mark.parametrize(
    ("what", "kinds"),
    [("read", ["call"]), ("write", ["decision", "intent", "outcome"]), ("buy", ["decision", "intent", "outcome"])],
)
async def test_one_call_too_many_is_refused_and_the_next_after_the_drain_is_served(
    tmp_path: Path, what: str, kinds: list[str]
) -> None:
    """It gets `mailbox_full` with `retry_after`, its record says refused, it never runs and costs nothing."""
    async with standing(tmp_path) as stand:
        await stand.occupy(waiting=DEPTH)
        extra = Invocation(f"mads.desk.{what}", {"text": "extra"}, ADA)
        refused = await stand.colony.parts.pipeline.run(extra)
        assert refused.status == "refused"
        assert refused.error is not None
        assert (refused.error.code, refused.error.family) == ("mailbox_full", "unavailable")
        assert refused.error.retry_after is not None
        assert refused.error.retry_after > 0
        records = await stand.records_of(extra)
        assert [record.kind for record in records] == kinds
        assert (records[-1].status, records[-1].code) == ("refused", "mailbox_full")
        assert (stand.state.running, stand.state.waiting, stand.state.refused) == (1, DEPTH, 1)

        stand.desk.gate.set()
        served = await asyncio.gather(*stand.calls)
        assert [outcome.value for outcome in served] == [{"text": f"n{number}"} for number in range(1 + DEPTH)]
        assert (await stand.colony.call(ADA, f"mads.desk.{what}", {"text": "again"})).status == "ok"
        assert stand.desk.served == [*(f"n{number}" for number in range(1 + DEPTH)), "again"]
        usage = await stand.colony.parts.ports.ledger.usage("default", agent="ada", days=2)
        assert sum(day.spent + day.held for day in usage) == (1000 if what == "buy" else 0)


async def test_every_waiting_place_is_given(tmp_path: Path) -> None:
    """The last place is still given: with one free, a call waits and is served, and nobody is refused."""
    async with standing(tmp_path) as stand:
        await stand.occupy(waiting=DEPTH - 1)
        last = asyncio.create_task(stand.colony.call(ADA, "mads.desk.write", {"text": "last"}))
        await stand.until(running=1, waiting=DEPTH)
        stand.desk.gate.set()
        assert (await last).status == "ok"
        assert stand.state.refused == 0


async def test_a_client_of_a_full_mad_is_told_to_come_back(tmp_path: Path) -> None:
    """Over HTTP as well: the command line's client raises `mailbox_full` with `retry_after` and the record's id."""
    async with standing(tmp_path) as stand, serve_gateway(stand.colony.parts) as url:
        token = (await stand.colony.parts.ports.identities.create_token("eve", ["developer"])).text
        client = ColonyClient(url, token)
        await stand.occupy(waiting=DEPTH)
        with pytest.raises(CenobyError) as refused:
            await asyncio.to_thread(client.call, "mads.desk.read", {"text": "extra"})
        assert refused.value.code == "mailbox_full"
        assert refused.value.exit_code == 6
        assert refused.value.retry_after is not None
        record = await stand.colony.parts.ports.journal.get(refused.value.record)
        assert record is not None
        assert (record.agent, record.status, record.code) == ("eve", "refused", "mailbox_full")
        stand.desk.gate.set()
        await asyncio.gather(*stand.calls)
        assert await asyncio.to_thread(client.call, "mads.desk.read", {"text": "again"}) == {"text": "again"}


async def test_who_gave_up_waiting_takes_no_place(tmp_path: Path) -> None:
    """With all waiting calls cancelled, the next call may wait; it is not refused because of them."""
    async with standing(tmp_path) as stand:
        await stand.occupy(waiting=DEPTH)
        for waiting in stand.calls[1:]:
            waiting.cancel()
        await asyncio.wait(stand.calls[1:])
        invocation = Invocation("mads.desk.read", {"text": "late"}, ADA)
        late = asyncio.create_task(stand.colony.parts.pipeline.run(invocation))
        while "intend" not in [stage for stage, _ in invocation.marks]:  # noqa: ASYNC110 - it can only be looked at
            await asyncio.sleep(0)
        stand.desk.gate.set()
        assert (await late).status == "ok"
        assert stand.desk.served == ["n0", "late"]
