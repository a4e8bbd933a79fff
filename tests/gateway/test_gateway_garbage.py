"""What a call made is gone with its answer, by reference count: under load nothing waits for the garbage collector.

Collections are rare on purpose (`settle_garbage_collector`), so that a cycle in each call would grow the process.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool
from tests.gateway.conftest import McpHttp, Said, StartStand

CALLS = 20
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "reads": ("mads.probe.say", {"text": "x"}),
    "writes": ("mads.probe.write", {"text": "x"}),
    "suspends": ("mads.slow.rest", {}),
    "misfit": ("mads.probe.say", {"text": 5}),
    "refused": ("mads.probe.hidden", {}),
}


class Slow(Mad):
    """A tool that answers later."""

    name = "slow"

    @tool("test:run", effect="reads")
    async def rest(self, call: Call) -> Said:
        """Wait for another turn of the loop."""
        await asyncio.sleep(0.001)
        return Said("rested")


@contextmanager
def collected(found: Counter[str]) -> Iterator[None]:
    """Counts the objects of ours that were left in cycles by what happens in the block."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
        found.update(name for name in names if name.startswith("cenoby."))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("era", ["stateless", "handshake"])
@pytest.mark.parametrize("kind", KINDS)
def test_calls_leave_no_cycles(start_stand: StartStand, kind: str, era: str) -> None:
    """Answered and refused calls, and their connections, leave nothing that only the garbage collector could free."""
    # On the loop that `cenoby up` runs on, whose timers keep their callbacks when they are cancelled.
    found = uvloop.run(_left_by(start_stand, kind, era))
    assert not found


async def _left_by(start_stand: StartStand, kind: str, era: str) -> Counter[str]:
    name, arguments = KINDS[kind]
    found: Counter[str] = Counter()
    async with start_stand() as stand:
        await stand.host.add(Slow())
        mcp = McpHttp(stand)
        if era == "handshake":
            await mcp.open()
        send = getattr(mcp, era)
        await send("tools/call", {"name": name, "arguments": arguments})
        with collected(found):
            for _ in range(CALLS):
                await send("tools/call", {"name": name, "arguments": arguments})
            await asyncio.sleep(0.05)  # connections and tasks that have just ended
    return found
