"""What clients of the gateway notice of tools on another node: nothing but their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import RunningColony
from tests.nodes.colonies import BUSES, colonies_on
from tests.nodes.test_nodes import client, events, knows, wait_until
from tests.stores import Postgres


async def converse(colony: RunningColony, mode: Any) -> tuple[str, list[float]]:
    """What the tool says in the end, and the progress that the client heard of on the way."""
    steps: list[float] = []

    async def answer(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Ann"})

    async def progress(done: float, total: float | None, message: str | None) -> None:
        steps.append(done)

    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {colony.operator_token}"}, timeout=30) as http,
        Client(streamable_http_client(colony.url, http_client=http), mode=mode, elicitation_callback=answer) as mcp,
    ):
        result = await mcp.call_tool("mads__roamer__converse", {}, progress_callback=progress)
    return result.model_dump_json(), steps


@pytest.mark.parametrize("bus", sorted(BUSES))
async def test_a_tool_elsewhere_talks_with_the_client(bus: str, tmp_path: Path, postgres: Postgres) -> None:
    """Progress arrives, a question is asked and answered, in both eras; what the tool noted is journalled."""
    colonies = colonies_on(bus, tmp_path, postgres)
    with colonies.gateway() as colony, colonies.node(colony, "worker"):
        wait_until(lambda: knows(colony, "mads.roamer.where"))
        for mode in ("legacy", "auto"):
            said, steps = await converse(colony, mode)
            assert "accept Ann" in said
            assert steps == [1] or mode == "auto"
        assert len(events(colony, "roamed")) >= 2
        assert client(colony).call("mads.roamer.where")
