"""When a colony says that it is not ready."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cenoby.app.composition import open_colony
from cenoby.app.faces import serve_gateway
from cenoby.app.readiness import Readiness
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import Settings
from cenoby.store.database import Database, StoreUnavailable


async def test_a_colony_whose_store_refuses_is_not_ready(tmp_path: Path) -> None:
    """/readyz says why, with 503, so that a load balancer sends calls elsewhere; /healthz goes on answering."""
    settings = Settings(data=tmp_path, listen="127.0.0.1:0", mads=["rogers"])
    with pytest.raises(StoreUnavailable):  # the stop cannot be recorded
        async with open_colony(settings, SystemClock()) as colony, serve_gateway(colony.parts) as url:
            root = url.removesuffix("/mcp")
            assert await asyncio.to_thread(get, f"{root}/readyz") == (200, b'{"status":"ready"}')
            await colony.parts.database.close()
            assert await asyncio.to_thread(get, f"{root}/readyz") == (503, b'{"status":"store_closed"}')
            assert await asyncio.to_thread(get, f"{root}/healthz") == (200, b'{"status":"ok"}')


async def test_a_colony_with_a_cold_table_is_not_ready(tmp_path: Path) -> None:
    """/readyz opens only once every table that is kept in memory was read."""
    settings = Settings(data=tmp_path, listen="127.0.0.1:0", mads=["rogers"])
    async with open_colony(settings, SystemClock()) as colony, serve_gateway(colony.parts) as url:
        root, cache = url.removesuffix("/mcp"), colony.parts.cache
        cache.table("leases", lambda connection: {}, lambda keys: None)
        assert await asyncio.to_thread(get, f"{root}/readyz") == (503, b'{"status":"store_cold"}')
        await cache.warm()
        assert await asyncio.to_thread(get, f"{root}/readyz") == (200, b'{"status":"ready"}')


async def test_a_stuck_store_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often somebody asks while the disk hangs, one question waits; when it moves again, all is well."""
    monkeypatch.setattr("cenoby.app.readiness.PATIENCE_SECONDS", 0.05)
    database = await Database.open(tmp_path / "colony.db", clock=SystemClock())
    readiness, moves = Readiness(database), threading.Event()
    stuck = asyncio.ensure_future(database.write(lambda connection: moves.wait(30)))
    for _ in range(3):
        assert await readiness.problem() == "store_stuck"
    asking = readiness._asking
    assert await readiness.problem() == "store_stuck"
    assert readiness._asking is asking
    moves.set()
    assert await stuck
    assert await readiness.problem() == ""
    await database.close()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
