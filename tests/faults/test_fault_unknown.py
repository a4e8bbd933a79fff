"""The colony is killed while a tool runs; nobody knows whether its work was done, and the journal says just that."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningColony

StartColony = Callable[..., AbstractContextManager[RunningColony]]

MAD = '''
import asyncio
from dataclasses import dataclass
from typing import Self
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Grants, Mad
from cenoby.colony.tool import tool

@dataclass(frozen=True)
class Done:
    text: str

class Sleeper(Mad):
    name = "sleeper"

    def __init__(self, folder):
        self._folder = folder

    @classmethod
    def create(cls, grants: Grants) -> Self:
        return cls(grants.files())

    def price(self, arguments) -> int:
        return 250_000

    @tool("test:run", effect="outside", cost="price", timeout=600)
    async def act(self, call: Call, name: str, sleep: bool) -> Done:
        """Do something, and perhaps never come back."""
        (self._folder / name).write_text("done")
        if sleep:
            await asyncio.sleep(600)
        call.spend(100_000)
        return Done(name)

    @tool("test:run", effect="reads", timeout=600)
    async def look(self, call: Call, name: str) -> Done:
        """Look for long."""
        (self._folder / name).write_text("looked")
        await asyncio.sleep(600)
        return Done(name)
'''
SECONDS = 60
"""Far more than anything here takes; only a hang meets it."""


@pytest.fixture
def start_sleeper(start_colony: StartColony, tmp_path: Path) -> Callable[[], AbstractContextManager[RunningColony]]:
    """Starts colonies with the sleeper, all on the same data."""
    (tmp_path / "sleeper.py").write_text(MAD)
    mads = json.dumps(["grace", f"{tmp_path}/sleeper.py:Sleeper"])
    return lambda: start_colony(settings=f"mads: {mads}\n")


@contextmanager
def calling(
    colony: RunningColony, token: str, tool: str, marker: str, **arguments: Any
) -> Iterator[subprocess.Popen[str]]:
    """A `cenoby call` of its own process; the block begins once the tool has written its marker."""
    command = [sys.executable, "-m", "cenoby.cli.main", "call", f"mads.sleeper.{tool}"]
    command += [json.dumps({"name": marker, **arguments}), "--data", str(colony.data), "--token", token]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + SECONDS
        while not (colony.data / "mads" / "sleeper" / marker).exists():
            assert time.monotonic() < end, "the tool never began"
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def records_of(colony: RunningColony, agent: str) -> list[dict[str, Any]]:
    """The agent's records of the sleeper, oldest first."""
    tail = ["journal", "tail", "-n", "200", "--agent", agent, "--mad", "sleeper", "--json"]
    return [json.loads(line) for line in colony.cenoby(*tail).stdout.splitlines()]


def shape(records: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    return [(one["kind"], one.get("decision") or "", one.get("status") or "", one.get("code") or "") for one in records]


def verified(colony: RunningColony) -> dict[str, Any]:
    return json.loads(colony.cenoby("journal", "verify", "--json").stdout)


def test_a_call_that_was_killed_has_the_outcome_unknown(
    start_sleeper: Callable[[], AbstractContextManager[RunningColony]],
) -> None:
    """Its decision and intent are there, the next start adds `unknown`, once and for good, and the chain holds.

    The caller gets an error and not a result; a call that had ended before keeps its outcome; the money that was
    reserved counts as gone, because it may be.
    """
    with start_sleeper() as colony:
        token = colony.token("ada", "developer")
        ended = json.loads(colony.cenoby("call", "mads.sleeper.act", "name=first", "sleep=false", token=token).stdout)
        assert ended == {"text": "first"}
        with calling(colony, token, "act", "second", sleep=True) as caller:
            assert shape(records_of(colony, "ada"))[3:] == [("decision", "allowed", "", ""), ("intent", "", "", "")]
            colony.kill()
            stdout, _ = caller.communicate(timeout=SECONDS)
            assert caller.returncode == 6
            assert stdout == ""
    done = [("decision", "allowed", "", ""), ("intent", "", "", "")]
    expected = [*done, ("outcome", "", "ok", ""), *done, ("outcome", "", "unknown", "crashed")]
    for _ in range(2):
        with start_sleeper() as colony:
            records = records_of(colony, "ada")
            assert shape(records) == expected
            assert len({record["invocation"] for record in records[3:]}) == 1
            assert {record["tool"] for record in records} == {"mads.sleeper.act"}
            assert verified(colony)["ok"]
            costs = json.loads(colony.cenoby("call", "mads.grace.costs", "agent=ada", "days=2").stdout)
            days = costs["costs"]
            assert (sum(day["spent_usd"] for day in days), sum(day["held_usd"] for day in days)) == (0.1, 0.25)
            colony.kill()


def test_every_call_that_was_under_way_is_unknown_and_nothing_else_is(
    start_sleeper: Callable[[], AbstractContextManager[RunningColony]],
) -> None:
    """Three acting calls and a reading one are killed: three outcomes `unknown`, and no doubt about the reading one."""
    with start_sleeper() as colony:
        token = colony.token("ada", "developer")
        with (
            calling(colony, token, "act", "one", sleep=True),
            calling(colony, token, "act", "two", sleep=True),
            calling(colony, token, "act", "three", sleep=True),
            calling(colony, token, "look", "four"),
        ):
            colony.kill()
    with start_sleeper() as colony:
        records = records_of(colony, "ada")
        unknown = [record["invocation"] for record in records if record.get("status") == "unknown"]
        intents = [record["invocation"] for record in records if record["kind"] == "intent"]
        assert len(set(unknown)) == len(unknown) == 3
        assert sorted(unknown) == sorted(intents)
        assert {record["tool"] for record in records} == {"mads.sleeper.act"}
        assert verified(colony)["ok"]
        assert colony.stop() == 0
    with start_sleeper() as colony:
        assert shape(records_of(colony, "ada")) == shape(records)
