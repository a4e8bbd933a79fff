"""The trivial MAD that benchmarks call: one reading tool, one writing tool, and as many further tools as asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool


@dataclass(frozen=True, slots=True)
class Said:
    text: str


class Echo(Mad):
    """Says what it is told."""

    name = "echo"
    summary = "Says what it is told."

    @tool(action="tool:call", effect="reads")
    async def say(self, call: Call, text: str) -> Said:
        """Say the text."""
        return Said(text)

    @tool(action="tool:call", effect="writes")
    async def write(self, call: Call, text: str) -> Said:
        """Say the text, as a call with side effects."""
        return Said(text)


def _further(number: int) -> None:
    @tool(action="tool:call", effect="reads")
    async def extra(self: Echo, call: Call, text: str) -> Said:
        """Say the text, too."""
        return Said(text)

    setattr(Echo, f"extra_{number}", extra)


for _number in range(int(os.environ.get("BENCH_EXTRA_TOOLS", "0"))):
    _further(_number)
