"""The MAD that is attacked: tools that do nothing, and tell the suite what reached them."""

from __future__ import annotations

from dataclasses import dataclass

from cenoby.colony.errors import ToolFault
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool

REACHED: list[str] = []
"""Every text that reached a tool, in order: what is not in here was stopped."""

ANSWERS: dict[str, str] = {}
"""What `give`, `fail` and `stream` say, by number."""


@dataclass(frozen=True, slots=True)
class Said:
    text: str


class Target(Mad):
    """Tools that note what reaches them."""

    name = "target"

    @tool("tool:call", effect="writes")
    async def say(self, call: Call, text: str) -> Said:
        """Take a text."""
        return _took(text)

    @tool("tool:call", effect="outside", kinds={"url": "url"})
    async def visit(self, call: Call, url: str) -> Said:
        """Go there."""
        return _took(url)

    @tool("tool:call", effect="writes", kinds={"path": "path"})
    async def open_file(self, call: Call, path: str) -> Said:
        """Open a file."""
        return _took(path)

    @tool("colony:admin", effect="writes")
    async def govern(self, call: Call, text: str) -> Said:
        """For operators alone."""
        return _took(f"govern {text}")

    @tool("test:run", effect="writes")
    async def press(self, call: Call, text: str, times: int = 1) -> Said:
        """What a person must approve."""
        return _took(text)

    @tool("tool:call", effect="outside")
    async def give(self, call: Call, number: str) -> Said:
        """Give back what somebody else wrote."""
        return Said(ANSWERS[number])

    @tool("tool:call", effect="outside")
    async def give_pair(self, call: Call, number: str) -> dict[str, object]:
        """Give it back deep inside."""
        return {"rows": [{"note": ANSWERS[number]}, {ANSWERS[number]: 1}]}

    @tool("tool:call", effect="outside")
    async def fail(self, call: Call, number: str) -> Said:
        """Fail, and say why."""
        raise ToolFault("tool_failed", f"it broke at {ANSWERS[number]}", details={"at": ANSWERS[number]})

    @tool("tool:call", effect="outside")
    async def break_down(self, call: Call, number: str) -> Said:
        """Raise what no tool should raise."""
        raise RuntimeError(ANSWERS[number])

    @tool("tool:call", effect="outside")
    async def stream(self, call: Call, number: str, size: int) -> Said:
        """Give it back piece by piece."""
        text, stream = ANSWERS[number], call.stream()
        for start in range(0, len(text), size):
            await call.progress(start, len(text), stream.add(text[start : start + size]))
        await call.progress(len(text), len(text), stream.end())
        return Said("done")


def _took(text: str) -> Said:
    REACHED.append(text)
    return Said("taken")
