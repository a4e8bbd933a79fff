"""Turing in a real colony: what his tools take and give beyond what the vault decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings

ADA = Principal("ada", "default", ("developer",), "agent")


@pytest.fixture
async def colony(tmp_path: Path) -> AsyncIterator[Colony]:
    """A colony that hosts Turing alone."""
    overrides = {"data": tmp_path / "data", "mads": ["turing"], "telemetry": {"log_level": "error"}}
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as running:
        yield running


async def call(colony: Colony, tool: str, **arguments: Any) -> Any:
    outcome = await colony.call(ADA, f"mads.turing.{tool}", arguments)
    return outcome.value if outcome.error is None else outcome.error.code


async def test_secrets_are_paged(colony: Colony) -> None:
    """Each secret is on exactly one page, by name, and no page is empty."""
    for name in ("d", "b", "a", "c"):
        await call(colony, "set_secret", name=name, value="x" * 20)
    first = await call(colony, "list_secrets", limit=2)
    last = await call(colony, "list_secrets", limit=2, cursor=first["next_cursor"])
    names = [[one["newest"]["name"] for one in page["secrets"]] for page in (first, last)]
    assert names == [["a", "b"], ["c", "d"]]
    assert last["next_cursor"] is None
