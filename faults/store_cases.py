"""Faults below the store: a disk without room, a database that crashes."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

from cenoby.cli.colony_client import ColonyClient
from faults.outcome import Outcome
from faults.stage import Room, endure, enter, judged
from tests.conftest import RunningColony, run_colony

FULL_SECONDS = 2.0
DOWN_SECONDS = 1.0
_PAGE = 500


async def full_disk(room: Room) -> Outcome:
    """No file of the process may grow or be written any more, for two seconds: posts to Rogers, on SQLite."""
    return await _posts_during(room, "", _fill)


async def database_restart(room: Room) -> Outcome:
    """PostgreSQL crashes, is gone for a second, and recovers: posts to Rogers."""

    async def fault(colony: RunningColony) -> None:
        del colony
        await asyncio.to_thread(room.postgres.crash)
        await asyncio.sleep(DOWN_SECONDS)
        await asyncio.to_thread(room.postgres.start)

    return await _posts_during(room, f"store: {room.postgres.new_url()}\n", fault)


async def _fill(colony: RunningColony) -> None:
    pid, unlimited = colony.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, unlimited))
    try:
        await asyncio.sleep(FULL_SECONDS)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


async def _posts_during(room: Room, settings: str, fault: Any) -> Outcome:
    async with AsyncExitStack() as stack:
        colony = await enter(stack, run_colony(room.folder / "data", settings=f"mads: [grace, rogers]\n{settings}"))
        client = ColonyClient(colony.url, colony.operator_token)
        made = await asyncio.to_thread(client.call, "mads.rogers.create_conversation", {"name": "faults"})

        def post(number: int) -> tuple[str, dict[str, Any]]:
            return "mads__rogers__post_message", {"conversation": made["id"], "content": f"number {number}"}

        heard, problem = await endure(colony, room, lambda: fault(colony), after=3, say=post)
        found = await asyncio.to_thread(_posted, client, made["id"])
        if not heard.refused:
            problem = f"{problem}; nothing was refused, so there was no fault".strip("; ")
        return judged(heard, found, problem)


def _posted(client: ColonyClient, conversation: str) -> Counter[int]:
    """How often each number stands in the conversation."""
    found, after = Counter[int](), 0
    while True:
        arguments = {"conversation": conversation, "limit": _PAGE, "after": after}
        messages = client.call("mads.rogers.get_history", arguments)["messages"]
        if not messages:
            return found
        found.update(int(one["content"].split()[1]) for one in messages)
        after = messages[-1]["seq"]
