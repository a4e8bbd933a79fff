"""The MADs that `./dev bench monolith` adds to Rogers and Turing: one asks the other, and both can work hard."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Grants, Mad, ToolCaller
from cenoby.colony.tool import tool

_BLOCK = bytes(1024)
"""Short enough that hashing it holds the interpreter, as the Python code of a tool does."""


@dataclass(frozen=True, slots=True)
class Said:
    text: str


def hash_blocks(blocks: int) -> str:
    """Work of a fixed size, whatever else the machine does."""
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(_BLOCK)
    return digest.hexdigest()


class Mill(Mad):
    """Says what it is told, and works."""

    name = "mill"
    summary = "Says what it is told, and works."

    @tool(action="tool:call", effect="reads")
    async def say(self, call: Call, text: str) -> Said:
        """Say the text."""
        return Said(text)

    @tool(action="tool:call", effect="writes")
    async def write(self, call: Call, text: str) -> Said:
        """Say the text, as a call with side effects."""
        return Said(text)

    @tool(action="tool:call", effect="reads")
    async def grind(self, call: Call, blocks: int) -> Said:
        """Hash so many blocks of 1 KiB before the answer."""
        hash_blocks(blocks)
        return Said("ground")


class Kiln(Mad):
    """Asks the mill, and works."""

    name = "kiln"
    summary = "Asks the mill, and works."

    def __init__(self, call_tool: ToolCaller) -> None:
        self._call_tool = call_tool

    @classmethod
    def create(cls, grants: Grants) -> Self:
        return cls(grants.call_tool)

    @tool(action="tool:call", effect="reads")
    async def ask(self, call: Call, text: str) -> Said:
        """Have the mill say the text: a call of one MAD by another."""
        return Said((await self._call_tool("mads.mill.say", {"text": text}))["text"])

    @tool(action="tool:call", effect="reads")
    async def fire(self, call: Call, blocks: int) -> Said:
        """Hash so many blocks of 1 KiB before the answer."""
        hash_blocks(blocks)
        return Said("fired")
