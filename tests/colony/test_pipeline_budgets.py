"""What calls cost, through the pipeline: several accounts at once, tokens, and prices that are said afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cenoby.access.budgets.accounts import Account, Cost
from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings

ADA = Principal("ada", "default", ("developer",), "agent")


class Shop(Mad):
    """Sells for money and tokens."""

    name = "shop"

    def price(self, arguments: Mapping[str, Any]) -> Cost:
        return Cost(100, 40)

    @tool("test:run", effect="reads", cost="price")
    async def buy(self, call: Call) -> ToolContent:
        """Spend less than was thought."""
        call.spend(60, 30)
        return ToolContent([])

    @tool("test:run", effect="reads")
    async def surprise(self, call: Call) -> ToolContent:
        """Say what it cost afterwards."""
        call.spend(70)
        call.spend(7, 5)
        return ToolContent([])


@asynccontextmanager
async def colony_with_shop(folder: Path, budgets: dict[str, Any]) -> AsyncIterator[Colony]:
    overrides: dict[str, Any] = {
        "data": folder / "data", "mads": [], "budgets": budgets, "telemetry": {"log_level": "error"},
    }  # fmt: skip
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        await colony.parts.ports.host.add(Shop())
        yield colony


async def run(colony: Colony, name: str, **more: Any) -> str:
    """The code with which a call ended, empty for none."""
    outcome = await colony.parts.pipeline.run(Invocation(f"mads.shop.{name}", {}, ADA, **more))
    return outcome.error.code if outcome.error else ""


async def test_a_tool_without_a_price_is_charged_what_it_says(tmp_path: Path) -> None:
    """Nothing was reserved, and yet it reaches the ledger, and the journal; the next call with a price is refused."""
    async with colony_with_shop(tmp_path, {"agents": {"ada": 150e-6}}) as colony:
        ledger = colony.parts.ports.ledger
        assert await run(colony, "surprise") == ""
        assert await ledger.standing(Account("agent", "ada", "micro_usd")) == (0, 77)
        assert await run(colony, "buy") == "budget_exhausted"


async def test_a_call_is_charged_to_agent_mad_and_task_in_money_and_tokens(tmp_path: Path) -> None:
    """A conversation that has spent its tokens gets no more, another one does, until the MAD's money is spent; a
    refused call leaves nothing held anywhere."""
    budgets = {"task": {"tokens": 60}, "mads": {"shop": {"usd": 220e-6}}}
    async with colony_with_shop(tmp_path, budgets) as colony:
        ledger = colony.parts.ports.ledger
        assert await run(colony, "buy", conversation="one") == ""
        assert await run(colony, "buy", conversation="one") == "budget_exhausted"
        assert await ledger.standing(Account("task", "default/one", "tokens")) == (0, 30)
        assert await run(colony, "buy", conversation="two") == ""
        assert await ledger.standing(Account("mad", "shop", "micro_usd")) == (0, 120)
        assert await run(colony, "buy", conversation="three") == ""
        assert await run(colony, "buy", conversation="four") == "budget_exhausted"
        assert await ledger.standing(Account("task", "default/four", "tokens")) == (0, 0)
        assert await ledger.standing(Account("agent", "ada", "micro_usd")) == (0, 180)
