"""Feature flags: who has what, over restarts, and through the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.access.flags import Flag, Flags
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")


def flag(percentage: int, *agents: str, name: str = "mads.rogers") -> Flag:
    return Flag("default", name, percentage, agents, "a trial", "ola", 0)


@given(st.text(min_size=1, max_size=20), st.integers(0, 100), st.integers(0, 100))
def test_who_has_it_keeps_it_as_the_share_grows(agent: str, one: int, other: int) -> None:
    """An agent that has it at a share has it at every larger one; at 100 all have it, at 0 only those named."""
    smaller, larger = sorted((one, other))
    assert not flag(smaller).on_for(agent) or flag(larger).on_for(agent)
    assert flag(100).on_for(agent)
    assert not flag(0).on_for(agent)
    assert flag(0, agent).on_for(agent)


def test_a_share_is_about_that_share_and_flags_choose_differently() -> None:
    """Of 5,000 agents about a fifth have it at 20, and another flag gives it to others."""
    agents = [f"agent-{number}" for number in range(5_000)]
    here = {agent for agent in agents if flag(20).on_for(agent)}
    there = {agent for agent in agents if flag(20, name="mads.marco").on_for(agent)}
    assert 800 < len(here) < 1200
    assert len(here & there) < 400


def colony_on(folder: Path) -> Any:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["rogers", "grace"],
        "telemetry": {"log_level": "error"},
    }
    return open_colony(load_settings(environment={}, overrides=overrides), SystemClock())


async def call(colony: Colony, verb: str, who: Principal, /, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(verb, arguments, who))


async def test_a_flag_holds_for_mad_and_tool_and_outlasts_a_restart(tmp_path: Path) -> None:
    """Set by an operator it refuses with the reason and is journalled; named agents go on; removed, all go on."""
    async with colony_on(tmp_path) as colony:
        put = {"percentage": 0, "reason": "being rebuilt", "agents": ["bob"]}
        assert (await call(colony, "mads.grace.set_flag", ADA, flag="mads.rogers", **put)).status == "refused"
        assert (await call(colony, "mads.grace.set_flag", OLA, flag="mads.rogers", **put)).status == "ok"
    async with colony_on(tmp_path) as colony:
        refused = await call(colony, "mads.rogers.create_conversation", ADA, name="x")
        assert refused.error is not None
        assert refused.error.code == "tool_switched_off"
        assert "being rebuilt" in refused.error.message
        bob = Principal("bob", "default", ("developer",), "agent")
        assert (await call(colony, "mads.rogers.create_conversation", bob, name="x")).status == "ok"
        listed = (await call(colony, "mads.grace.list_flags", ADA)).value["flags"]
        assert [(one["name"], one["percentage"], one["agents"]) for one in listed] == [("mads.rogers", 0, ["bob"])]
        assert (await call(colony, "mads.grace.remove_flag", OLA, flag="mads.rogers")).value == {"flags": []}
        assert (await call(colony, "mads.rogers.create_conversation", ADA, name="x")).status == "ok"
        page = await colony.parts.ports.journal.page(JournalQuery(code="flag_set", kind="event", limit=10))
        assert len(page.records) == 1
        one_tool = {"flag": "mads.rogers.search", "percentage": 0, "reason": "slow"}
        assert (await call(colony, "mads.grace.set_flag", OLA, **one_tool)).status == "ok"
        assert (await call(colony, "mads.rogers.create_conversation", ADA, name="y")).status == "ok"
        found = await call(colony, "mads.rogers.search", ADA, query="x")
        assert found.error is not None
        assert found.error.code == "tool_switched_off"


@pytest.mark.parametrize("name", ["mads.grace", "mads.grace.set_flag", "mads.rogesr", "rogers"])
async def test_what_cannot_be_flagged_is_refused(tmp_path: Path, name: str) -> None:
    """Grace has no flags, and a misspelt name would do nothing."""
    async with colony_on(tmp_path) as colony:
        refused = await call(colony, "mads.grace.set_flag", OLA, flag=name, percentage=0, reason="x")
        assert refused.error is not None
        assert refused.error.code == "arguments_invalid"


async def test_flags_of_another_tenant_do_not_count(tmp_path: Path) -> None:
    """A flag holds for the agents of the tenant whose operator set it."""
    async with colony_on(tmp_path) as colony:
        flags: Flags = colony.parts.ports.flags
        elsewhere = Principal("eve", "elsewhere", ("operator",), "person")
        await flags.put("mads.rogers", elsewhere, percentage=0, agents=(), reason="theirs")
        flags.check(ADA, "rogers", "mads.rogers.search")
        with pytest.raises(AccessRefused):
            flags.check(elsewhere, "rogers", "mads.rogers.search")
