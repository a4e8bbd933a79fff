"""Faults of processes, and what the rule promises all the same: one decision, one outcome, an approval used once."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench.servers import free_port
from cenoby.cli.colony_client import ColonyClient
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.errors import CenobyError
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.journal import Journal, JournalQuery, Record
from faults.load import Heard
from faults.outcome import Outcome
from faults.stage import TALLY, Room, endure, enter, judged, tally
from tests.conftest import RunningColony, run_colony

KILLS = 2
PARKED = 12
_END_SECONDS = 60.0


def mixed(number: int) -> tuple[str, dict[str, Any]]:
    """Calls that write, and among them some that are refused."""
    tool, arguments = tally(number)
    return tool, arguments if number % 7 else {"number": "none"}


async def call_kill(room: Room) -> Outcome:
    """The gateway is killed and started again, twice: each call has one decision, each effect one outcome."""
    async with AsyncExitStack() as stack:
        listen = f"127.0.0.1:{free_port()}"
        settings = f"mads: [grace, '{TALLY}']\ngateway: {{max_inflight: 4096, max_inflight_per_agent: 4096}}\n"
        alive = [await enter(stack, run_colony(room.folder / "data", settings=settings, listen=listen))]

        async def fault() -> None:
            for _ in range(KILLS):
                await asyncio.sleep(room.moment() / 2)
                alive[-1].kill()
                alive.append(await enter(stack, run_colony(room.folder / "data", settings=settings, listen=listen)))

        heard, problem = await endure(alive[0], room, fault, after=2, say=mixed)
        await asyncio.to_thread(alive[-1].stop)
        found = _numbers(room.folder)
        wrong = await _told_apart(room.folder / "data", found, heard)
        refused = heard.refused["arguments_invalid"]
        wrong += [] if refused else ["nothing was refused, so refusals were not tried"]
        return judged(
            heard, found, "; ".join(filter(None, [problem, *wrong])), may_twice=lambda number: bool(number % 2)
        )


async def _told_apart(data: Path, found: Counter[int], heard: Heard) -> list[str]:
    """What the journal lacks, or has too much of: decisions and outcomes of each call."""
    calls: dict[str, list[Record]] = defaultdict(list)
    database = await Database.open(engine_for("sqlite:///", data), clock=SystemClock())
    try:
        journal, cursor = Journal(database, node="reader", clock=SystemClock()), ""
        while True:
            page = await journal.page(JournalQuery(mad="tally", newest_first=False, limit=500, cursor=cursor))
            for record in page.records:
                if record.kind != "event":
                    calls[record.invocation].append(record)
            if not (cursor := page.next):
                break
        intended = {key: await _number(journal, records) for key, records in calls.items() if len(records) > 1}
    finally:
        await database.close()
    return wrong_records(list(calls.values()), intended, found, heard)


def wrong_records(
    calls: Sequence[Sequence[Record]], intended: dict[str, int], found: Counter[int], heard: Heard
) -> list[str]:
    """What is wrong with the records of calls.

    Args:
        calls: the records of each call, oldest first.
        intended: the number that a call with side effects was to write, by its invocation.
        found: how often each number was written.
        heard: what callers were told.
    """
    shapes = Counter("-".join(one.kind for one in records) for records in calls)
    odd = {shape: times for shape, times in shapes.items() if shape not in ("call", "decision-intent-outcome")}
    decisions = sum(sum(bool(one.decision) for one in records) != 1 for records in calls)
    ends: dict[int, list[str]] = defaultdict(list)
    for records in calls:
        if records[0].invocation in intended:
            ends[intended[records[0].invocation]].append(records[-1].status)
    untold = sum(number not in ends for number in found)
    not_ok = sum(ends[number] != ["ok"] for number in heard.acknowledged)
    said = (
        (f"calls with the records {odd}", odd),
        (f"{decisions} calls have not exactly one decision", decisions),
        (f"{untold} effects without a record", untold),
        (f"{not_ok} answered calls without the one outcome ok", not_ok),
        ("no call was under way at any kill", not any("unknown" in one for one in ends.values())),
    )
    return [text for text, wrong in said if wrong]


async def _number(journal: Journal, records: Sequence[Record]) -> int:
    (intent,) = [one for one in records if one.kind == "intent"]
    whole = await journal.get(intent.id)
    assert whole is not None, "a record that was listed is there"
    return int((whole.payload or {})["arguments"]["number"])


def _numbers(folder: Path) -> Counter[int]:
    files = {file.resolve() for file in folder.rglob("mads/tally/numbers.txt")}
    return Counter(int(line) for file in files for line in file.read_text().splitlines())


async def parked(room: Room) -> Outcome:
    """Calls are parked at one gateway, which is killed; approved at another one, which is killed while it runs them.

    It is started again: each call runs once at most, and its caller learns how it ended.
    """
    key = room.folder / "master.key"
    settings = (
        f"store: {room.postgres.new_url()}\nmads: [grace, '{TALLY}']\napprovals: {{require: ['test:run']}}\n"
        f"vault: {{file: {key}}}\ncolony: parked\n"
    )
    async with AsyncExitStack() as stack:
        one = await enter(stack, run_colony(room.folder / "one", settings=f"{settings}node: one\n"))
        token = await asyncio.to_thread(one.token, "ada", "developer")
        waiting = await asyncio.to_thread(_park, ColonyClient(one.url, token))
        one.kill()
        two = await _moved(stack, room, one, settings)
        await asyncio.to_thread(_approve, ColonyClient(two.url, two.operator_token), waiting)
        await asyncio.sleep(room.moment() / 40)
        two.kill()
        begun = time.monotonic()
        two = await enter(stack, run_colony(room.folder / "two", settings=f"{settings}node: two\n"))
        fault_s = time.monotonic() - begun
        ends = await asyncio.to_thread(_ends, ColonyClient(two.url, token), list(waiting.values()))
        done = await asyncio.to_thread(two.cenoby, "journal", "verify", "--json", check=False)
    found = _numbers(room.folder)
    acknowledged = [number for number, approval in waiting.items() if ends[approval] == "ok"]
    odd = Counter(end for end in ends.values() if end not in ("ok", "unknown"))
    problems = [f"ended otherwise: {dict(odd)}"] if odd else []
    problems += [] if json.loads(done.stdout)["ok"] else ["a chain does not verify"]
    return Outcome(
        offered=len(waiting),
        acknowledged=len(acknowledged),
        lost=sum(not found[number] for number in acknowledged),
        duplicated=sum(times > 1 for times in found.values()),
        fault_s=fault_s,
        refused=Counter(end for end in ends.values() if end != "ok"),
        problem="; ".join(problems),
    )


async def _moved(stack: AsyncExitStack, room: Room, one: RunningColony, settings: str) -> RunningColony:
    (room.folder / "two").mkdir(mode=0o700)
    shutil.copy(one.data / "admin.token", room.folder / "two")
    return await enter(stack, run_colony(room.folder / "two", settings=f"{settings}node: two\n"))


def _park(client: ColonyClient) -> dict[int, str]:
    """The requests under which calls are parked, by the number that each is to write."""
    waiting: dict[int, str] = {}
    for number in range(PARKED):
        try:
            client.call("mads.tally.write_once", {"number": number})
        except CenobyError as error:
            waiting[number] = str(error.details["approval_id"])
    return waiting


def _approve(client: ColonyClient, waiting: dict[int, str]) -> None:
    for approval in waiting.values():
        client.call("mads.grace.approve", {"approval_id": approval, "reason": "the rehearsal"})


def _ends(client: ColonyClient, approvals: list[str]) -> dict[str, str]:
    """How each parked call ended; those that have not within a minute are as they are then."""
    deadline, states = time.monotonic() + _END_SECONDS, dict[str, str]()
    while True:
        for approval in approvals:
            states[approval] = client.call("mads.grace.get_parked", {"approval_id": approval})["state"]
        if not {"pending", "approved", "running"} & set(states.values()) or time.monotonic() > deadline:
            return states
        time.sleep(0.2)
