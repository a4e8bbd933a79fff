"""What a case plays on: processes of one colony, a load on its gateway, and what is found when the load is over."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cenoby.cli.colony_client import ColonyClient
from faults.load import Heard, Load, Say
from faults.outcome import Outcome
from faults.postgres import PrivatePostgres
from tests.conftest import RunningColony
from tests.nodes.colonies import Colonies

TALLY = f"{Path(__file__).parent / 'tally_mad.py'}:Tally"
RATE = 100.0
_KNOWN_SECONDS = 20.0
_SILENT_SECONDS = 0.5
_RECOVERY_SECONDS = 30.0
T = TypeVar("T")
Fault = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Room:
    """What a case gets: a folder of its own, a PostgreSQL it may crash, and chance, which the seed decides."""

    folder: Path
    postgres: PrivatePostgres
    chance: random.Random

    def moment(self) -> float:
        """Seconds of load before a fault."""
        return self.chance.uniform(1.0, 2.0)


async def enter(stack: AsyncExitStack, manager: AbstractContextManager[T]) -> T:
    """Enter a context manager that blocks, and leave it with the stack; the loop goes on meanwhile."""
    value = await asyncio.to_thread(manager.__enter__)
    stack.push_async_callback(asyncio.to_thread, manager.__exit__, None, None, None)
    return value


def tally(number: int) -> tuple[str, dict[str, Any]]:
    """Calls of the tally MAD: an odd number may be written twice, an even one must not."""
    return f"mads__tally__write_{'again' if number % 2 else 'once'}", {"number": number}


async def knows(colony: RunningColony, hosts: int = 1) -> None:
    """Wait until the gateway knows the tally MAD, and that so many nodes host it."""
    client = ColonyClient(colony.url, colony.operator_token)
    deadline = time.monotonic() + _KNOWN_SECONDS
    while time.monotonic() < deadline:
        nodes = (await asyncio.to_thread(client.call, "mads.grace.list_nodes"))["nodes"]
        listed = (await asyncio.to_thread(client.request, "tools/list", {}))["tools"]
        there = sum(one["state"] in ("there", "here") and "tally" in one["mads"] for one in nodes)
        if there == hosts and any(one["name"] == "mads__tally__write_once" for one in listed):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{hosts} nodes with the tally MAD did not come up")


def colonies_of(room: Room, bus: str) -> Colonies:
    """A colony's processes on this bus, in a new database. The load is one agent's, so its own share is the whole."""
    shares = "gateway: {max_inflight: 4096, max_inflight_per_agent: 4096}\n"
    return Colonies(room.folder, bus, room.postgres.new_url(), shares)


async def endure(
    colony: RunningColony, room: Room, fault: Fault, *, after: float, say: Say = tally
) -> tuple[Heard, str]:
    """A load before, during and after a fault; what the callers heard, and what is wrong with the colony afterwards."""
    load = Load(colony.url, colony.operator_token, RATE, say)
    load.start()
    try:
        await asyncio.sleep(room.moment())
        begun = time.monotonic()
        await fault()
        load.heard.fault_s = time.monotonic() - begun
        goes_on = await _goes_on(load.heard, time.monotonic(), after)
    finally:
        heard = await load.stop()
    return heard, "; ".join(filter(None, [await chain_problem(colony), "" if goes_on else "it did not go on"]))


async def _goes_on(heard: Heard, healed: float, after: float) -> bool:
    """Wait until calls have been answered for `after` seconds on end; whether they were, before it took too long."""
    good_since = healed
    while (now := time.monotonic()) < healed + _RECOVERY_SECONDS:
        if now - max(heard.answered_at, default=0.0) > _SILENT_SECONDS:
            good_since = now
        if now - good_since > after:
            return True
        await asyncio.sleep(0.1)
    return False


async def chain_problem(colony: RunningColony) -> str:
    """What `cenoby journal verify` says against the chains; empty where they hold."""
    done = await asyncio.to_thread(colony.cenoby, "journal", "verify", "--json", check=False)
    try:
        return "" if json.loads(done.stdout)["ok"] else f"a chain does not verify: {done.stdout[:300]}"
    except ValueError:
        return f"the journal was not verified: {done.stderr[:300]}"


def judged(
    heard: Heard, found: Counter[int], problem: str, *, may_twice: Callable[[int], bool] = lambda number: False
) -> Outcome:
    """What callers heard beside what is found afterwards.

    Args:
        heard: by the callers.
        found: how often each number was found.
        problem: what else is wrong.
        may_twice: whether a number may be found more than once.
    """
    doubled = sum(times > 1 and not may_twice(number) for number, times in found.items())
    return Outcome(
        offered=heard.offered,
        acknowledged=len(heard.acknowledged),
        lost=sum(not found[number] for number in heard.acknowledged),
        duplicated=doubled + heard.surplus,
        fault_s=heard.fault_s,
        outage_s=heard.outage,
        slowest_s=max(heard.waits, default=0.0),
        refused=heard.refused,
        problem=problem,
    )


def written(room: Room, heard: Heard, problem: str) -> Outcome:
    """`judged`, by the files of the tally MAD, wherever it ran."""
    files = {file.resolve() for file in room.folder.rglob("mads/tally/numbers.txt")}
    found = Counter(int(line) for file in files for line in file.read_text().splitlines())
    return judged(heard, found, problem, may_twice=lambda number: bool(number % 2))
