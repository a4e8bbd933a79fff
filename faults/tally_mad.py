"""The MAD that the fault suite calls: each time a number is written, that is one line in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Grants, Mad
from cenoby.colony.tool import tool


@dataclass(frozen=True, slots=True)
class Written:
    number: int
    pid: int


class Tally(Mad):
    """Writes numbers."""

    name = "tally"
    summary = "Writes numbers."

    def __init__(self, files: Path) -> None:
        self._file = files / "numbers.txt"

    @classmethod
    def create(cls, grants: Grants) -> Self:
        return cls(grants.files())

    @tool("test:run", effect="writes")
    async def write_once(self, call: Call, number: int) -> Written:
        """Write a number; doing it twice would be wrong."""
        del call
        return self._write(number)

    @tool("test:run", effect="writes", idempotent=True)
    async def write_again(self, call: Call, number: int) -> Written:
        """Write a number; doing it twice does no harm."""
        del call
        return self._write(number)

    def price(self, arguments: Mapping[str, Any]) -> int:
        """A hundred micro-US-dollars, whatever is bought."""
        del arguments
        return 100

    @tool("test:run", effect="outside", cost="price")
    async def buy(self, call: Call, number: int) -> Written:
        """Write a number, for money."""
        call.spend(100)
        return self._write(number)

    @tool("memory:write", effect="writes")
    async def sign(self, call: Call, number: int) -> Written:
        """Write a number, where a person may have to agree."""
        del call
        return self._write(number)

    def _write(self, number: int) -> Written:
        # Two processes share the file while the MAD moves; one short write that appends stays whole.
        line = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(line, f"{number}\n".encode())
        finally:
            os.close(line)
        return Written(number, os.getpid())
