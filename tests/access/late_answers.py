"""A database that lets a test look at the moment between a durable write and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from cenoby.store.database import Database
from cenoby.store.engine import Connection

T = TypeVar("T")


class LateAnswers:
    """Writes and reads like `database`, but answers a write, `written` by then, only once `release` is set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.written = asyncio.Event()
        self.release = asyncio.Event()

    async def write(self, work: Callable[[Connection], T], *, size: int = 512) -> T:
        result = await self._database.write(work, size=size)
        self.written.set()
        await self.release.wait()
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._database.read(work)
