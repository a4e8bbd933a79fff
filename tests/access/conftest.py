"""What the tests of `access` share: a database of either engine, and files for those that need one."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cenoby.kernel.clock import ManualClock
from cenoby.store.database import Database
from cenoby.store.engine import Engine


@pytest.fixture(scope="session")
def fresh_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes the path of a new migrated database file at every call."""
    folder = tmp_path_factory.mktemp("access")
    template = folder / "template.db"

    async def migrate() -> None:
        await (await Database.open(template, clock=ManualClock())).close()

    asyncio.run(migrate())
    numbers = itertools.count()

    def make() -> Path:
        return Path(shutil.copy(template, folder / f"{next(numbers)}.db"))

    return make


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves when told to."""
    return ManualClock()


@pytest.fixture
async def database(store: Engine, clock: ManualClock) -> AsyncIterator[Database]:
    """An open database with empty tables."""
    opened = await Database.open(store, clock=clock)
    yield opened
    await opened.close()
