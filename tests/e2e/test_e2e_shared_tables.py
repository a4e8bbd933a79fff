"""Two processes on one PostgreSQL: what one changes of agents, tokens and flags, the other sees by itself."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from cenoby.cli.colony_client import ColonyClient
from cenoby.kernel.errors import CenobyError
from tests.conftest import RunningColony, run_colony
from tests.stores import Postgres


def code_of(colony: RunningColony, token: str) -> str:
    """What a call with that token ends with; empty for well."""
    try:
        ColonyClient(colony.url, token).call("mads.rogers.list_conversations")
    except CenobyError as error:
        return error.code
    return ""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_processes_agree_on_who_may_call(postgres: Postgres, tmp_path: Path) -> None:
    """A token made in one works in the other, and revoked there ends here; a flag, too; both keep their operators."""
    url = postgres.new_url()
    settings = f"store: {url}\nmads: [rogers, grace]\n"
    with run_colony(tmp_path / "one", settings=settings + "node: n1\n") as one, ExitStack() as stack:
        # One vault has one key.
        (tmp_path / "two").mkdir(mode=0o700)
        shutil.copy(tmp_path / "one" / "master.key", tmp_path / "two")
        two = stack.enter_context(run_colony(tmp_path / "two", settings=settings + "node: n2\n"))
        made = json.loads(one.cenoby("token", "create", "--agent", "ada", "--role", "developer", "--json").stdout)
        until(lambda: code_of(two, made["token"]) == "")
        flag = {"flag": "mads.rogers", "percentage": 0, "reason": "being rebuilt"}
        two.cenoby("call", "mads.grace.set_flag", json.dumps(flag))
        until(lambda: code_of(one, made["token"]) == "tool_switched_off")
        two.cenoby("call", "mads.grace.remove_flag", json.dumps({"flag": "mads.rogers"}))
        until(lambda: code_of(one, made["token"]) == "")
        two.cenoby("token", "revoke", made["token_id"])
        assert code_of(two, made["token"]) == "token_revoked"
        until(lambda: code_of(one, made["token"]) == "token_revoked")
        assert json.loads(one.cenoby("journal", "verify", "--json").stdout)["ok"]
        assert one.stop() == two.stop() == 0
