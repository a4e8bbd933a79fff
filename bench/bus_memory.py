"""The bus in memory as a colony has it: traced, and with a host's mailboxes behind it; and the outbox on SQLite."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from bench.bus_ours import LISTENED, OurQueue
from bench.bus_rounds import Count, Rates, envelopes
from bench.echo_mad import Echo
from cenoby.access.principals import Principal
from cenoby.bus.memory import MemoryBus
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.outbox_queue import OutboxQueue
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.settings import MailboxSettings, RedactionSettings, TelemetrySettings
from cenoby.protection.redact import Redactor
from cenoby.store.database import Database
from cenoby.store.journal import Entry, RecordRef
from cenoby.store.outbox import Outbox
from cenoby.telemetry.recorder import Recorder

PUBLISHED = 200_000
REQUESTED = 50_000
QUEUED = 4_000
_DEADLINE_NS = 60_000_000_000


async def published_per_s() -> float:
    """Messages a second from one sender to one subscription that counts them, each delivery traced."""
    bus = MemoryBus(trace=Recorder(TelemetrySettings().spans).record)
    found = envelopes(LISTENED, PUBLISHED)
    count = Count(PUBLISHED)

    async def take(envelope: Envelope) -> None:
        count.one()

    subscription = await bus.subscribe(LISTENED, take)
    for one in found:
        await bus.publish(one)
    rate = await count.rate()
    if subscription.dropped:
        raise RuntimeError(f"{subscription.dropped} messages were dropped")
    await bus.close()
    return rate


async def request_us() -> tuple[float, float]:
    """p50 and p99, µs, of a request through the bus and a MAD's mailbox to its tool and back, one in flight."""
    clock = SystemClock()
    bus = MemoryBus(trace=Recorder(TelemetrySettings().spans).record)
    host = Host(bus, "bench", MailboxSettings(), clock)
    await host.add(Echo())
    invocation = Invocation("mads.echo.say", {"text": "hello"}, Principal("bench", "default", ("operator",), "agent"))
    invocation.principal = Principal("bench", "default", ("operator",), "agent")
    invocation.tool = host.tool("mads.echo.say")
    invocation.parsed, invocation.canonical = {"text": "hello"}, b'{"text":"hello"}'
    redactor, taken = Redactor(RedactionSettings()), list[int]()
    for _ in range(REQUESTED):
        began = time.perf_counter_ns()
        await host.deliver(invocation, Call(invocation, _record, redactor, clock.now_ns() + _DEADLINE_NS))
        taken.append(time.perf_counter_ns() - began)
    await host.stop()
    await bus.close()
    taken.sort()
    return taken[len(taken) // 2] / 1000, taken[len(taken) * 99 // 100] / 1000


async def _record(entry: Entry) -> RecordRef:
    raise NotImplementedError("the tool that is measured journals nothing")


async def outbox_rates() -> Rates:
    """Durable work put and done a second, each fsynced, in a SQLite store of its own."""
    async with outbox_queue() as queue:
        return await queue.put_and_work()


@contextlib.asynccontextmanager
async def outbox_queue() -> AsyncGenerator[OurQueue]:
    # The system's temporary directory may be memory; what is measured must be a disk.
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        clock = SystemClock()
        database = await Database.open(Path(folder) / "colony.db", clock=clock)
        work = OutboxQueue(Outbox(database, clock), clock)
        try:
            yield OurQueue(work, work, QUEUED)
        finally:
            await work.close()
            await database.close()
