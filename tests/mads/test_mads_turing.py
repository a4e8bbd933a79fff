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
from cenoby.store.journal import JournalQuery

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


async def test_a_value_is_measured_in_bytes_before_the_call_is_on_record(colony: Colony) -> None:
    """What the vault could not keep is bad input: no intent, no outcome in doubt, nothing of it in the answer."""
    assert (await call(colony, "set_secret", name="fits", value="ä" * 32_768))["version"] == 1
    for tool, argument in (("set_secret", "value"), ("rotate_secret", "new_value")):
        outcome = await colony.call(ADA, f"mads.turing.{tool}", {"name": "fits", argument: "ä" * 32_768 + "x"})
        assert outcome.error is not None
        assert outcome.error.code == "arguments_invalid"
        assert "65536 bytes" in outcome.error.message
        assert "ä" not in str(outcome.error.to_wire())
    found = await colony.parts.ports.journal.page(JournalQuery(kind="intent"))
    assert [record.tool for record in found.records] == ["mads.turing.set_secret"]
