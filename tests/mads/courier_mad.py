"""A MAD of somebody's own, which sends a secret along without ever holding it, and asks to be told one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Grants, Mad
from cenoby.colony.tool import tool


@dataclass(frozen=True, slots=True)
class Brought:
    status: int
    body: str


class Courier(Mad):
    """Fetches pages with a secret in a header."""

    name = "courier"

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    @classmethod
    def create(cls, grants: Grants) -> Self:
        return cls(grants)

    @tool("test:run", effect="reads")
    async def fetch(self, call: Call, url: str, secret: str) -> Brought:
        """Fetch a page with a secret."""
        status, _, body = await self._grants.fetch(url, secret=secret, header="x-key", form="key={}")
        return Brought(status, body.decode())

    @tool("test:run", effect="writes", sensitive_result=True)
    async def mint(self, call: Call) -> Brought:
        """Make a value that is nobody's yet."""
        return Brought(0, "minted-by-a-tool")

    @tool("test:run", effect="writes")
    async def blab(self, call: Call) -> Brought:
        """Make a value in a result that is journalled."""
        return Brought(0, "minted-for-all-to-see")

    @tool("test:run", effect="reads")
    async def hold(self, call: Call, secret: str) -> Brought:
        """Be told a secret."""
        return Brought(len(await self._grants.secret(secret)), "")
