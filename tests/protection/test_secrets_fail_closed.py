"""No record, no secret: with the real journal on a full disk, no value is told, sent or leased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.cli.demo_servers import ScriptedModelServer
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.database import StoreUnavailable
from cenoby.store.engine import Connection
from cenoby.store.journal import JournalQuery

ADA = Principal("ada", "default", ("developer",), "agent")
FULL = "CREATE TABLE IF NOT EXISTS filling (bytes BLOB)"


async def said(colony: Colony, tool: str, **arguments: Any) -> Any:
    outcome = await colony.call(ADA, tool, arguments)
    return outcome.value if outcome.error is None else outcome.error.to_wire()


async def fill_the_disk(colony: Colony) -> None:
    """No page more for this database, and what is free in it is filled with rows that get smaller."""
    database = colony.parts.database

    def no_more(connection: Connection) -> None:
        connection.execute(FULL)
        connection.execute("PRAGMA max_page_count = 1").fetchall()

    await database.write(no_more)
    for size in (100_000, 4_000, 400):
        for _ in range(10_000):
            try:
                await database.write(
                    lambda connection, size=size: (
                        connection.execute("INSERT INTO filling VALUES (zeroblob(?))", (size,)).rowcount
                    )
                )
            except StoreUnavailable:
                break


async def records(colony: Colony, code: str) -> int:
    return len((await colony.parts.ports.journal.page(JournalQuery(code=code, limit=500))).records)


async def test_what_cannot_be_recorded_is_not_told(tmp_path: Path) -> None:
    """On a full disk reading, leasing, renewing and a model's call fail and show no value; there are never more values
    told or sent than records of it, and no lease without its record. When there is room again, all of it goes on."""
    async with ScriptedModelServer(key="the-plain-value") as server:
        model: dict[str, Any] = {"name": "m", "model": "scripted", "url": server.url, "key": "k"}
        model |= {"input_usd_per_million": 1, "output_usd_per_million": 1}
        overrides = {"data": tmp_path / "data", "mads": ["turing", "fiedler"], "telemetry": {"log_level": "error"}}
        overrides |= {"models": [model], "egress": {"allow": [server.address]}}
        async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
            await said(colony, "mads.turing.set_secret", name="k", value="the-plain-value")
            first = await said(colony, "mads.turing.get_secret", name="k", lease_seconds=600)
            lease = first["lease"]["lease_id"]
            assert "text" in await said(colony, "mads.fiedler.complete", prompt="hello")
            await fill_the_disk(colony)
            told, failed = 1, dict.fromkeys(("read", "lease", "renew", "model"), 0)
            for _ in range(400):
                answers = {
                    "read": await said(colony, "mads.turing.get_secret", name="k"),
                    "lease": await said(colony, "mads.turing.get_secret", name="k", lease_seconds=60),
                    "renew": await said(colony, "mads.turing.renew_lease", lease_id=lease),
                    "model": await said(colony, "mads.fiedler.complete", prompt="hello"),
                }
                for name, answer in answers.items():
                    if "code" in answer:
                        assert answer["code"].startswith("store_"), answer
                        assert "the-plain-value" not in str(answer)
                        failed[name] += 1
                    elif "value" in answer:
                        told += 1
                if min(failed.values()) >= 3:
                    break
            assert min(failed.values()) >= 3, failed
            assert told + len(server.requests) <= await records(colony, "secret_read")
            assert len(await colony.parts.vault.leases.live("default")) <= await records(colony, "secret_leased")

            def room(connection: Connection) -> None:
                connection.execute("PRAGMA max_page_count = 1000000").fetchall()

            await colony.parts.database.write(room)
            assert (await said(colony, "mads.turing.get_secret", name="k"))["value"] == "the-plain-value"
            assert "text" in await said(colony, "mads.fiedler.complete", prompt="hello")
