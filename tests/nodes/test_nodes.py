"""One colony of several processes, by its commands and through its gateway."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cenoby.cli.colony_client import ColonyClient
from cenoby.kernel.errors import CenobyError
from tests.conftest import RunningColony, run_colony
from tests.nodes.colonies import BUSES, ROAMER, colonies_on
from tests.stores import Postgres


@pytest.fixture(params=sorted(BUSES))
def bus(request: pytest.FixtureRequest) -> str:
    return request.param


def client(colony: RunningColony) -> ColonyClient:
    return ColonyClient(colony.url, colony.operator_token)


def wait_until(holds: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def knows(colony: RunningColony, tool: str) -> bool:
    return any(one["name"] == tool.replace(".", "__") for one in client(colony).request("tools/list", {})["tools"])


def nodes_of(colony: RunningColony) -> list[dict[str, Any]]:
    return client(colony).call("mads.grace.list_nodes")["nodes"]


def events(colony: RunningColony, code: str) -> list[dict[str, Any]]:
    found = client(colony).call("mads.grace.list_records", {"code": code})
    return found["records"]


def test_a_node_serves_a_mad_that_the_gateway_does_not_know(bus: str, tmp_path: Path, postgres: Postgres) -> None:
    """A MAD on another node is listed, called, priced, read and prompted as if it were here; errors keep their code."""
    colonies = colonies_on(bus, tmp_path, postgres)
    with colonies.gateway() as colony, colonies.node(colony, "worker") as node:
        wait_until(lambda: knows(colony, "mads.roamer.where"))
        caller = client(colony)
        assert caller.call("mads.roamer.where", {"number": 7}) == {"pid": node.process.pid, "number": 7}
        assert caller.call("mads.roamer.about") == {"text": "roaming"}
        assert caller.call("mads.roamer.priced", {"cents": 2}) == {"text": "paid"}
        spent = caller.call("mads.grace.costs")["costs"][0]
        assert (spent["spent_usd"], spent["held_usd"]) == (0.01, 0)
        read = caller.request("resources/read", {"uri": "test://where"})
        assert json.loads(read["contents"][0]["text"])["pid"] == node.process.pid
        prompt = caller.request("prompts/get", {"name": "go", "arguments": {"to": "sea"}})
        assert prompt["messages"][0]["content"]["text"] == f"Go to sea from {node.process.pid}"
        for arguments in ({"number": "7"}, {"nummer": 7}):
            with pytest.raises(CenobyError) as wrong:
                caller.call("mads.roamer.where", arguments)
            assert wrong.value.code == "arguments_invalid"
        with pytest.raises(CenobyError) as refused:
            caller.call("mads.roamer.break_down", {"how": "refuse"})
        assert (refused.value.code, refused.value.details) == ("arguments_invalid", {"why": "because"})
        with pytest.raises(CenobyError) as broken:
            caller.call("mads.roamer.break_down", {"how": "break"})
        assert broken.value.code == "tool_failed"
        assert "secret" not in broken.value.message
        nodes = {one["name"]: one for one in caller.call("mads.grace.list_nodes")["nodes"]}
        assert (nodes["worker"]["state"], nodes["worker"]["mads"]) == ("there", ["roamer"])
        assert nodes["gate"]["state"] == "here"
        assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"]


def test_split_and_merge_under_load_lose_nothing(bus: str, tmp_path: Path, postgres: Postgres) -> None:
    """About 200 calls a second through the gateway while a MAD is split off and merged back: each is answered, once.

    Each call writes one line into the MAD's file; there are as many lines as answers, and no number twice.
    """
    colonies = colonies_on(bus, tmp_path, postgres)
    with colonies.gateway(f"grace, '{ROAMER}'") as colony:
        stop, answers = threading.Event(), [[] for _ in range(20)]

        def call(worker: int) -> None:
            caller, number = client(colony), worker * 1_000_000
            while not stop.is_set():
                number += 1
                answers[worker].append((number, caller.call("mads.roamer.do_once", {"number": number})["pid"]))
                time.sleep(0.08)

        with ThreadPoolExecutor(20) as pool:
            running = [pool.submit(call, worker) for worker in range(20)]
            try:
                time.sleep(1)
                split = json.loads(colony.cenoby("split", "roamer", "--json").stdout)
                time.sleep(2)
                merged = json.loads(colony.cenoby("merge", "roamer", "--json").stdout)
                time.sleep(1)
            finally:
                stop.set()
            for one in running:
                one.result(30)
        given = [answer for worker in answers for answer in worker]
        lines = (colony.data / "mads" / "roamer" / "done.txt").read_text().splitlines()
        assert Counter(line.split()[0] for line in lines) == Counter(str(number) for number, _ in given)
        assert max(Counter(line.split()[0] for line in lines).values()) == 1
        assert len({pid for _, pid in given}) == 2
        assert (split["taken_from"], merged["taken_from"]) == (["gate"], [split["node"]])
        assert [one["code"] for one in events(colony, "mad_split") + events(colony, "mad_merged")]
        assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"]


def test_two_nodes_share_the_load_and_one_is_drained(bus: str, tmp_path: Path, postgres: Postgres) -> None:
    """Two nodes with the same MAD both serve; a drained one ends by itself, and the last one is not drained."""
    colonies = colonies_on(bus, tmp_path, postgres)
    with colonies.gateway() as colony, colonies.node(colony, "blue") as blue, colonies.node(colony, "green") as green:
        wait_until(lambda: sum(one["state"] == "there" for one in nodes_of(colony)) == 2)
        wait_until(lambda: knows(colony, "mads.roamer.where"))
        seen = {client(colony).call("mads.roamer.where")["pid"] for _ in range(60)}
        assert seen == {blue.process.pid, green.process.pid}
        colony.cenoby("drain", "blue")
        assert blue.process.wait(20) == 0
        assert {client(colony).call("mads.roamer.where")["pid"] for _ in range(20)} == {green.process.pid}
        refused = colony.cenoby("drain", "green", check=False)
        assert "start another node" in refused.stderr


def test_a_killed_node_is_noticed_and_its_calls_go_to_another(bus: str, tmp_path: Path, postgres: Postgres) -> None:
    """kill -9 of one of two nodes with calls under way: reading calls are answered by the other, none is lost."""
    colonies = colonies_on(bus, tmp_path, postgres)
    with colonies.gateway() as colony, colonies.node(colony, "blue") as blue, colonies.node(colony, "green") as green:
        wait_until(lambda: sum(one["state"] == "there" for one in nodes_of(colony)) == 2)
        wait_until(lambda: knows(colony, "mads.roamer.where"))
        stop, answered = threading.Event(), []

        def call() -> None:
            caller = client(colony)
            while not stop.is_set():
                answered.append(caller.call("mads.roamer.where")["pid"])

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(call) for _ in range(4)]
            try:
                wait_until(lambda: {blue.process.pid, green.process.pid} <= set(answered), 30)
                blue.kill()
                wait_until(lambda: events(colony, "node_lost"), 30)
                after = len(answered)
                wait_until(lambda: len(answered) > after + 10, 30)
            finally:
                stop.set()
            for one in running:
                one.result(40)
        assert set(answered) == {blue.process.pid, green.process.pid}


def test_a_revoked_node_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    """Once its key is revoked, what a node signs is refused and journalled by the others, and it is taken for dead."""
    colonies = colonies_on("nats", tmp_path, postgres)
    with colonies.gateway() as colony, colonies.node(colony, "worker"):
        wait_until(lambda: knows(colony, "mads.roamer.where"))
        colony.cenoby("node", "revoke", "worker")
        wait_until(lambda: not knows(colony, "mads.roamer.where"))
        told = events(colony, "message_refused")
        shown = client(colony).call("mads.grace.get_record", {"record_id": told[0]["id"]})
        assert "no such node is enrolled" in json.dumps(shown)


def test_one_process_says_what_to_change(tmp_path: Path) -> None:
    """With memory:// and SQLite a MAD cannot leave: `split` names both settings, and `node` does not start."""
    with run_colony(tmp_path / "data") as colony:
        refused = colony.cenoby("split", "rogers", check=False)
        assert refused.returncode == 2
        assert "bus: nats://" in refused.stderr
        assert "store: postgresql://" in refused.stderr
        alone = colony.cenoby("node", "--mads", "marco", check=False)
        assert "[one_process]" in alone.stderr
