"""`./dev bench cache`: what a read of a table in memory costs, and what knowing a caller by its token does.

A table of 100,000 rows in a SQLite file is warm; each figure is the median over rounds of many reads in a row. Reach:
less than a microsecond for either.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import Figure
from cenoby.access.tokens import Identities
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import CacheSettings
from cenoby.store.cached_table import CachedTable
from cenoby.store.database import Database
from cenoby.store.table_cache import TableCache

ROWS = 100_000
READS = 200_000
ROUNDS = 7


def read_us(get: Callable[[Any], Any], key: Any) -> float:
    """Microseconds of one read, the loop around it included; the median of the rounds."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(READS):
            get(key)
        rounds.append((time.perf_counter() - start) / READS * 1e6)
    return statistics.median(rounds)


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(Path(folder) / "colony.db", clock=SystemClock())
        cache = TableCache(database, SystemClock(), CacheSettings(), lambda event: None)
        table: CachedTable[str, int] = cache.table(
            "bench", lambda connection: {f"key-{number}": number for number in range(ROWS)}, lambda keys: None
        )
        identities = Identities(cache, SystemClock())
        await cache.warm()
        token = await identities.create_token("ada", ["developer"])
        figures = [
            Figure("cache_read_us", read_us(table.get, f"key-{ROWS // 2}"), 1.0, "µs"),
            Figure("authenticate_us", read_us(identities.authenticate, token.text), 1.0, "µs"),
        ]
        await database.close()
    return figures


def main(as_json: bool) -> int:
    figures = asyncio.run(measure())
    if as_json:
        print(json.dumps({one.name: one.value for one in figures}))
    else:
        print(*figures, sep="\n")
    return 0 if all(one.reached for one in figures) else 1
