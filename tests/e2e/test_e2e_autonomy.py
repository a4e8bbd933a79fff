"""Autonomy as its operator uses it: by commands, on a colony that runs, through the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.conftest import RunningColony

StartColony = Callable[..., AbstractContextManager[RunningColony]]
OPEN = ("call", "mads.rogers.create_conversation", '{"name": "plans"}', "--json")


def test_an_agent_asks_as_its_level_says_until_a_person_raises_it(start_colony: StartColony) -> None:
    """Shipped: full. In a supervised company the call waits for a person; raised, it runs; an agent raises nobody."""
    with start_colony(settings="autonomy: {company: supervised}\n") as colony:
        token = colony.token("ada", "developer")
        waits = colony.cenoby(*OPEN, token=token, check=False)
        assert json.loads(waits.stdout)["error"]["code"] == "approval_pending"
        refused = colony.cenoby(
            "autonomy", "set", "agent", "ada", "full", "--reason", "I am fine", token=token, check=False
        )
        assert refused.returncode == 4
        done = colony.cenoby("autonomy", "set", "agent", "ada", "full", "--reason", "proven").stdout
        assert done == "agent ada: supervised -> full\n"
        assert json.loads(colony.cenoby(*OPEN, token=token).stdout)["name"] == "plans"
        shown = json.loads(colony.cenoby("autonomy", "show", "ada", "--json").stdout)
        assert (shown["level"], shown["by"], shown["set"][0]["reason"]) == ("full", "agent", "proven")
        assert "company supervised" in colony.cenoby("autonomy", "list").stdout
        assert colony.cenoby("autonomy", "show", "nobody", check=False).returncode == 2
        assert colony.cenoby("autonomy", "set", "agent", "ada", "--reason", "x", check=False).returncode == 2
        lowered = colony.cenoby("autonomy", "set", "company", "semi", "--reason", "calm", "--json").stdout
        assert json.loads(lowered) == {"scope": "company", "name": "", "was": "supervised", "now": "semi"}
        back = colony.cenoby("autonomy", "set", "agent", "ada", "inherit", "--reason", "trial is over").stdout
        assert back == "agent ada: full -> semi\n"
