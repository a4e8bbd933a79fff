"""`./dev bench bus` measures what it says: each of its patterns works on both sides, with few messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from bench import bus_memory, bus_nats, bus_redis
from bench.bus_rounds import Compared, take_turns
from tests.conftest import needs_service

FEW = 40


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bus_memory, bus_nats, bus_redis):
        for name in ("PUBLISHED", "REQUESTED", "QUEUED"):
            monkeypatch.setattr(module, name, FEW)


async def test_memory() -> None:
    """Each message is delivered, each request goes through the mailbox, and the outbox ends empty."""
    assert await bus_memory.published_per_s() > 0
    p50, p99 = await bus_memory.request_us()
    assert 0 < p50 <= p99
    assert all(rate > 0 for rate in await bus_memory.outbox_rates())


@pytest.mark.parametrize(
    ("service", "patterns"), [("nats", bus_nats.nats_patterns), ("redis", bus_redis.redis_patterns)]
)
async def test_brokers(service: str, patterns: Callable[[str], AbstractAsyncContextManager[list[Compared]]]) -> None:
    """Both sides deliver, answer and acknowledge all that was sent."""
    names: list[str] = []
    async with patterns(needs_service(service)) as found:
        for one in found:
            names += [seen.name for seen in await take_turns(one, rounds=1) if seen.ratio > 0]
    assert names == ["publish", "request", "request_one", "put", "work"]
