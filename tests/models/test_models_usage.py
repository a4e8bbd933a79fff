"""Costs added up per day, agent and model."""

from collections.abc import AsyncIterator

import pytest

from cenoby.kernel.clock import ManualClock
from cenoby.models.price import Charge
from cenoby.models.usage import UsageBook, UsageLine
from cenoby.store.database import Database
from cenoby.store.engine import Engine


@pytest.fixture
async def database(store: Engine) -> AsyncIterator[Database]:
    opened = await Database.open(store, clock=ManualClock())
    yield opened
    await opened.close()


def charge(micro_usd: int, *, estimated: bool = False) -> Charge:
    return Charge(input_tokens=10, output_tokens=5, micro_usd=micro_usd, estimated=estimated)


async def test_calls_add_up_per_model_and_agent(database: Database) -> None:
    """The dearest line comes first, and calls that were charged at their bounds can be told."""
    book = UsageBook(database, ManualClock())
    await book.add("default", "ada", "small", charge(3))
    await book.add("default", "ada", "small", charge(4, estimated=True))
    await book.add("default", "bob", "large", charge(100))
    found = await book.lines("default", book.today, book.today)
    assert found == [UsageLine("large", "bob", 1, 0, 10, 5, 100), UsageLine("small", "ada", 2, 1, 20, 10, 7)]
    assert await book.lines("default", book.today, book.today, "ada") == found[1:]


async def test_a_day_ends_at_midnight_utc(database: Database) -> None:
    """Calls of different days are found apart and together."""
    clock = ManualClock()
    book = UsageBook(database, clock)
    first = book.today
    await book.add("default", "ada", "small", charge(1))
    clock.advance(86_400)
    await book.add("default", "ada", "small", charge(2))
    assert [line.micro_usd for line in await book.lines("default", first, first)] == [1]
    assert [line.micro_usd for line in await book.lines("default", first + 1, first + 1)] == [2]
    assert [line.micro_usd for line in await book.lines("default", first, first + 1)] == [3]


async def test_nothing_crosses_tenants(database: Database) -> None:
    """Another tenant's costs are neither shown nor added."""
    book = UsageBook(database, ManualClock())
    await book.add("default", "ada", "small", charge(1))
    await book.add("other", "ada", "small", charge(50))
    assert [line.micro_usd for line in await book.lines("default", 0, book.today)] == [1]
