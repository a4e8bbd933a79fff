"""A colony whose store is PostgreSQL: nothing else about it is different."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.conftest import RunningColony
from tests.stores import Postgres


def test_a_colony_lives_in_postgresql(
    start_colony: Callable[..., AbstractContextManager[RunningColony]], postgres: Postgres, tmp_path: Path
) -> None:
    """It starts, works, is killed and starts again; all it keeps is in the database alone."""
    settings = f"store: {postgres.new_url()}\n"
    with start_colony(settings=settings) as colony:
        token = colony.operator_token
        made = colony.cenoby(
            "call", "mads.rogers.create_conversation", json.dumps({"name": "plan"}), "--json", token=token
        )
        plan = json.loads(made.stdout)["id"]
        for number in range(3):
            posting = json.dumps({"conversation": plan, "content": f"Übergabe number{number}"})
            colony.cenoby("call", "mads.rogers.post_message", posting, token=token)
        colony.cenoby("call", "mads.turing.set_secret", json.dumps({"name": "k", "value": "v-1"}), token=token)
        colony.kill()
    assert not list(tmp_path.glob("data/*.db"))
    with start_colony(settings=settings) as colony:
        found = colony.cenoby("call", "mads.rogers.search", json.dumps({"query": "ubergabe"}), "--json", token=token)
        assert len(json.loads(found.stdout)["messages"]) == 3
        told = colony.cenoby("call", "mads.turing.get_secret", json.dumps({"name": "k"}), "--json", token=token)
        assert json.loads(told.stdout)["value"] == "v-1"
        assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"]
        assert colony.stop() == 0
    config = shutil.copy(tmp_path / "data.yaml", tmp_path / "verify.yaml")
    offline = json.loads(colony.cenoby("journal", "verify", "--json", "--config", str(config)).stdout)
    assert offline["ok"]
    assert offline["records"] > 10
