"""Policies in a real colony: a file is edited while it runs, and the journal says which policy decided."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from cenoby.cli import main
from tests.conftest import RunningColony

StartColony = Callable[..., AbstractContextManager[RunningColony]]

FORBID = """@id("no-new-conversations")
forbid (principal in Role::"developer", action, resource == Tool::"mads.rogers.create_conversation")
when { context.arguments has name && context.arguments.name like "secret*" };
"""
ASK = """@id("seen-first") @ask("names are seen by everybody")
permit (principal in Role::"developer", action, resource == Tool::"mads.rogers.create_conversation");
"""
CALL = ("call", "mads.rogers.create_conversation", '{"name": "secret plans"}', "--json")
SECONDS = 30
"""Far more than a reload takes, for a machine that has other things to do."""


def decision(colony: RunningColony, agent: str) -> dict[str, Any]:
    """What the newest decision on a call of the agent says."""
    tail = colony.cenoby("journal", "tail", "-n", "50", "--agent", agent, "--json").stdout.splitlines()
    records = [one for one in map(json.loads, tail) if one["kind"] in ("call", "decision")]
    shown = colony.cenoby("journal", "show", records[-1]["id"], "--json").stdout
    return json.loads(shown)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_a_policy_file_is_followed_while_the_colony_runs(start_colony: StartColony, tmp_path: Path) -> None:
    """Forbidden, then wrong and still forbidden, then asked for, then allowed; each decision names its policy."""
    file = tmp_path / "rules" / "team.cedar"
    file.parent.mkdir()
    file.write_text(FORBID)
    with start_colony(settings="policy: {files: [rules]}\n") as colony:
        token = colony.token("ada", "developer")

        def state() -> str:
            return json.loads(colony.cenoby("status", "--json").stdout)["protections"]["policy"]

        refused = colony.cenoby(*CALL, token=token, check=False)
        assert refused.returncode == 4
        error = json.loads(refused.stdout)["error"]
        assert (error["code"], error["details"]["policies"]) == ("policy_forbids", ["no-new-conversations"])
        forbidden = decision(colony, "ada")["payload"]["policy"]
        assert forbidden["by"] == ["no-new-conversations"] and forbidden["set"] in state()

        explained = json.loads(colony.cenoby("policy", "explain", "ada", CALL[1], CALL[2], "--json").stdout)
        assert (explained["decision"], explained["by"]) == ("deny", ["no-new-conversations"])
        outcomes = [part["outcome"] for one in explained["policies"] for part in one["conditions"]]
        assert outcomes == ["true", "true"]

        file.write_text(FORBID.replace("arguments has name", "arguments has nome"))
        wait_for(lambda: "REJECTED" in state(), "the wrong file was never rejected")
        assert colony.cenoby(*CALL, token=token, check=False).returncode == 4

        file.write_text(ASK)
        wait_for(lambda: "REJECTED" not in state() and forbidden["set"] not in state(), "the file was never read")
        asked = colony.cenoby(*CALL, token=token, check=False)
        assert json.loads(asked.stdout)["error"]["code"] == "approval_pending"
        assert decision(colony, "ada")["payload"]["asked_by"] == ["policy:seen-first"]

        file.write_text("// nothing\n")
        wait_for(lambda: "4 policies" in state(), "the file was never read again")
        assert json.loads(colony.cenoby(*CALL, token=token).stdout)["name"] == "secret plans"
        allowed = decision(colony, "ada")["payload"]["policy"]
        assert allowed["by"] == ["shipped:developer"] and allowed["set"] != forbidden["set"]

        tail = colony.cenoby("journal", "tail", "-n", "500", "--json").stdout.splitlines()
        codes = [one["code"] for one in map(json.loads, tail) if one["kind"] == "event" and "policy" in one["code"]]
        assert codes == ["policy_loaded", "policy_rejected", "policy_loaded", "policy_loaded"]


def run(arguments: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as left:
        sys.exit(main.run(arguments))
    return int(left.value.code or 0)


def test_the_commands_answer_without_a_colony(tmp_path: Path) -> None:
    """check, explain, test and diff read the files; their exit codes say what they found."""
    file, empty, table = tmp_path / "a.cedar", tmp_path / "empty.cedar", tmp_path / "table.yaml"
    file.write_text(FORBID)
    empty.write_text("// nothing\n")
    table.write_text(
        "- {roles: [developer], tool: mads.rogers.create_conversation, arguments: {name: secret}, expect: deny,"
        " by: no-new-conversations}\n"
        "- {roles: [developer], tool: mads.rogers.create_conversation, arguments: {name: open}, expect: allow}\n"
        "- {roles: [observer], action: deploy:production, expect: deny}\n"
    )
    where = ["--data", str(tmp_path / "nothing")]
    assert run(["policy", "check", str(file), *where]) == 0
    assert run(["policy", "schema", *where]) == 0
    assert run(["policy", "test", str(table), "--policies", str(file), *where]) == 0
    assert run(["policy", "test", str(table), "--policies", str(empty), *where]) == 1
    assert run(["policy", "diff", str(file), str(file), *where]) == 0
    assert run(["policy", "diff", str(empty), str(file), "--json", *where]) == 1
    assert (
        run(["policy", "explain", "x", CALL[1], CALL[2], "--role", "developer", "--policies", str(file), *where]) == 0
    )
    file.write_text("permit (principal, action, resource);")
    assert run(["policy", "check", str(file), "--json", *where]) == 2
