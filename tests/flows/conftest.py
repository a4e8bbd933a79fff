"""What the tests of the flows share: a clock that moves when told to, and a database file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cenoby.kernel.clock import ManualClock
from cenoby.store.database import Database
from tests.stores import MakeStore


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves when told to."""
    return ManualClock()


@pytest.fixture
async def database_here(sqlite_stores: MakeStore, clock: ManualClock) -> AsyncIterator[Database]:
    """An open database with empty tables."""
    opened = await Database.open(sqlite_stores(), clock=clock)
    yield opened
    await opened.close()
