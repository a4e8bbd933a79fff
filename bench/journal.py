"""`./dev bench journal`: durable records per second with 32 writers, and what one writer waits for.

Each writer appends a record with every header field set and a payload of about 150 bytes, and waits until it is on disk
before the next. Beside it, in the same run and on the same disk: a plain SQLite commit per record, a bare fdatasync.
Reach: 50,000 records/s with 32 writers, and p50 under 1 ms for one.

Where CENOBY_STORE names a PostgreSQL, the same on it, in a schema of its own that is dropped at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from cenoby.app.process import settle_garbage_collector
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.ids import new_id
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.journal import Entry, Journal

ROUNDS = 3
SECONDS = 3.0
PAYLOAD = {"arguments": {"conversation": new_id(), "content": "hello, world"}, "result": {"id": new_id(), "seq": 17}}


def entry() -> Entry:
    identifier = new_id()
    return Entry(
        kind="call",
        tenant="default",
        agent="bench",
        correlation=identifier,
        mad="echo",
        tool="mads.echo.say",
        action="tool:call",
        decision="allowed",
        status="ok",
        invocation=identifier,
        payload=PAYLOAD,
    )


async def appends(store: Engine | Path, writers: int) -> dict[str, float]:
    """Rate and latencies of `writers` that each wait for their own record."""
    database = await Database.open(store, clock=SystemClock())
    journal = Journal(database, node="bench", clock=SystemClock())
    await journal.start()
    latencies: list[float] = []

    async def writer() -> None:
        while (began := time.perf_counter()) < end:
            # Made inside, as by a real call: its correlation is an id of this moment.
            await journal.append(entry())
            latencies.append(time.perf_counter() - began)

    end = time.perf_counter() + SECONDS
    cpu = time.process_time()
    await asyncio.gather(*(writer() for _ in range(writers)))
    cpu = time.process_time() - cpu
    verified = await journal.verify()
    if not verified.ok or verified.records != len(latencies):
        raise RuntimeError(f"the journal does not hold what was acknowledged: {verified}")
    await database.close()
    ordered = sorted(latencies)
    return {
        "records_per_s": len(ordered) / SECONDS,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
        "cpu_us": cpu / len(ordered) * 1e6,
    }


@contextmanager
def postgres_schema(url: str, name: str = "journal") -> Iterator[str]:
    """The URL of a schema of its own, gone at the end; one process has one of each name."""
    from cenoby.store.postgres_address import PostgresAddress
    from cenoby.store.postgres_connection import PostgresConnection

    schema = f"cenoby_bench_{name}_{os.getpid()}"
    admin = PostgresConnection(PostgresAddress(url).options, "")
    admin.connect()
    admin.script(f"CREATE SCHEMA {schema}")
    try:
        yield f"{url}{'&' if '?' in url else '?'}search_path={schema}"
    finally:
        admin.script(f"DROP SCHEMA {schema} CASCADE")
        admin.close()


def postgres_appends(url: str, writers: int) -> dict[str, float]:
    """As `appends`, on PostgreSQL."""
    with postgres_schema(url) as own:
        return uvloop.run(appends(engine_for(own, Path()), writers))


def plain_commits(folder: Path) -> float:
    """Commits per second of one row each, synchronous=FULL, by one writer."""
    connection = sqlite3.connect(folder / f"plain-{new_id()}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE record (id TEXT, body BLOB)")
    body, count, end = os.urandom(400), 0, time.perf_counter() + SECONDS / 3
    while time.perf_counter() < end:
        connection.execute("INSERT INTO record VALUES (?, ?)", (new_id(), body))
        count += 1
    connection.close()
    return count / (SECONDS / 3)


def syncs(folder: Path) -> float:
    """fdatasync calls per second after writing 512 bytes each."""
    descriptor = os.open(folder / "sync", os.O_RDWR | os.O_CREAT)
    block, count, end = os.urandom(512), 0, time.perf_counter() + SECONDS / 3
    while time.perf_counter() < end:
        os.write(descriptor, block)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count / (SECONDS / 3)


def main(as_json: bool) -> int:
    # As `cenoby up` does it.
    settle_garbage_collector()
    # The system's temporary directory may be memory; what is measured must be a disk.
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        seen: dict[str, list[Any]] = defaultdict(list)
        url = os.environ.get("CENOBY_STORE", "") if os.environ.get("CENOBY_STORE", "").startswith("postgres") else ""
        for _ in range(ROUNDS):
            seen["one"].append(uvloop.run(appends(folder / f"one-{new_id()}.db", 1)))
            seen["many"].append(uvloop.run(appends(folder / f"many-{new_id()}.db", 32)))
            if url:
                seen["postgres_one"].append(postgres_appends(url, 1))
                seen["postgres_many"].append(postgres_appends(url, 32))
            seen["plain"].append(plain_commits(folder))
            seen["sync"].append(syncs(folder))

    def median(which: str, key: str) -> float:
        return statistics.median(one[key] for one in seen[which])

    report = {
        "records_per_s_32": median("many", "records_per_s"),
        "p50_ms_32": median("many", "p50_ms"),
        "p99_ms_32": median("many", "p99_ms"),
        "cpu_us_per_record_32": median("many", "cpu_us"),
        "records_per_s_1": median("one", "records_per_s"),
        "p50_ms_1": median("one", "p50_ms"),
        "p99_ms_1": median("one", "p99_ms"),
        "plain_commits_per_s": statistics.median(seen["plain"]),
        "fdatasyncs_per_s": statistics.median(seen["sync"]),
    }
    if url:
        for key in ("records_per_s", "p50_ms", "p99_ms"):
            report[f"postgres_{key}_32"] = median("postgres_many", key)
            report[f"postgres_{key}_1"] = median("postgres_one", key)
    report["ratio_to_plain_commits_32"] = report["records_per_s_32"] / report["plain_commits_per_s"]
    print(json.dumps(report) if as_json else "\n".join(f"{name:28}{value:.2f}" for name, value in report.items()))
    return 0
