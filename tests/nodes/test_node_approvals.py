"""A call that was parked at one gateway, which is then killed, is decided and run at another one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import time
from pathlib import Path

import pytest

from tests.conftest import RunningColony, needs_service, run_colony
from tests.stores import Postgres


@pytest.mark.slow
def test_a_parked_call_moves_to_another_node(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parked at one, which is killed with kill -9; approved at two; two runs it, once, and its caller has the result
    there."""
    monkeypatch.setenv("CENOBY_MASTER_KEY", base64.b64encode(os.urandom(32)).decode())
    settings = (
        f"store: {postgres.new_url()}\nbus: nats://{needs_service('nats')}\ncolony: move-{secrets.token_hex(4)}\n"
        "vault: {key: env}\nmads: [grace, turing]\napprovals: {require: ['secret:write']}\n"
    )
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(run_colony(tmp_path / "one", settings=f"{settings}node: one\n"))
        token = one.token("ada", "developer")
        call = ("call", "mads.turing.set_secret", '{"name": "x", "value": "moved"}', "--json")
        error = json.loads(one.cenoby(*call, check=False, token=token).stdout)["error"]
        approval = error["details"]["approval_id"]
        one.kill()
        (tmp_path / "two").mkdir(mode=0o700)
        shutil.copy(tmp_path / "one" / "admin.token", tmp_path / "two")
        two = stack.enter_context(run_colony(tmp_path / "two", settings=f"{settings}node: two\n"))
        two.cenoby("approvals", "approve", approval)
        assert _ended(two, approval, token)["state"] == "ok"
        told = two.cenoby("call", "mads.turing.get_secret", "name=x", "--json", token=token)
        assert (json.loads(told.stdout)["value"], json.loads(told.stdout)["version"]) == ("moved", 1)
        again = two.cenoby(*call, check=False, token=token)
        assert json.loads(again.stdout)["error"]["code"] == "approval_pending"


def _ended(colony: RunningColony, approval: str, token: str) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while True:
        found = json.loads(colony.cenoby("approvals", "result", approval, "--json", token=token).stdout)
        if found["state"] not in ("pending", "approved", "running"):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
