"""Nodes that stop, are killed, do not come up, or are left behind: what becomes of their calls and their files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cenoby.cli.colony_client import ColonyClient
from cenoby.kernel.errors import CenobyError
from tests.conftest import RunningColony
from tests.nodes.colonies import ROAMER, colonies_on
from tests.nodes.test_nodes import client, events, knows, nodes_of, wait_until
from tests.stores import Postgres


def once(colony: RunningColony, number: int, seconds: float) -> Any:
    return ColonyClient(colony.url, colony.operator_token).call(
        "mads.roamer.do_once", {"number": number, "seconds": seconds}, timeout=60
    )


def lines(folder: Path) -> list[str]:
    file = folder / "mads" / "roamer" / "done.txt"
    return file.read_text().splitlines() if file.exists() else []


def test_a_node_ends_what_it_has_before_it_goes(tmp_path: Path, postgres: Postgres) -> None:
    """A drained node and one that is told to stop finish their calls, which must not be done twice; then callers hear
    that the MAD is away for now. What does not fit through the broker is said to be too large."""
    colonies = colonies_on("nats", tmp_path, postgres, "limits: {max_result_bytes: 8000000}\n")
    with colonies.gateway() as colony, colonies.node(colony, "blue") as blue, ThreadPoolExecutor(2) as pool:
        wait_until(lambda: knows(colony, "mads.roamer.where"))
        with pytest.raises(CenobyError) as large:
            client(colony).call("mads.roamer.large", {"kilobytes": 2000})
        assert large.value.code == "result_too_large"
        work: Future[Any] = pool.submit(once, colony, 1, 8.0)
        wait_until(lambda: lines(tmp_path / "blue"))
        with colonies.node(colony, "green") as green:
            wait_until(lambda: sum(one["state"] == "there" for one in nodes_of(colony)) == 2)
            colony.cenoby("drain", "blue")
            assert work.result(30) == {"pid": blue.process.pid, "number": 1}
            assert blue.process.wait(20) == 0
            work = pool.submit(once, colony, 2, 4.0)
            wait_until(lambda: lines(tmp_path / "green"))
            green.process.send_signal(signal.SIGTERM)
            assert work.result(30) == {"pid": green.process.pid, "number": 2}
            assert green.process.wait(20) == 0
        with pytest.raises(CenobyError) as away:
            client(colony).call("mads.roamer.where")
        assert (away.value.code, away.value.family) == ("bus_no_responder", "unavailable")
        assert away.value.retry_after
        assert [len(lines(tmp_path / name)) for name in ("blue", "green")] == [1, 1]


def test_children_that_are_killed_left_behind_or_never_come_up(tmp_path: Path, postgres: Postgres) -> None:
    """The MAD comes back from a killed child, with and without order; an orphan ends when its gateway is there again;
    no key and no file of theirs stays; and a child that cannot start leaves the MAD where it is."""
    mad = tmp_path / "roamer.py"
    shutil.copy(ROAMER.rpartition(":")[0], mad)
    colonies = colonies_on("nats", tmp_path, postgres)
    children = tmp_path / "gate" / "nodes"

    def own_pid(colony: RunningColony) -> bool:
        try:
            return client(colony).call("mads.roamer.where")["pid"] == colony.process.pid
        except CenobyError as error:
            assert error.family == "unavailable", error
            return False

    with colonies.gateway(f"grace, '{mad}:Roamer'") as colony:
        node = json.loads(colony.cenoby("split", "roamer", "--json").stdout)["node"]
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (children / node).iterdir() if file.is_file()}
        assert {modes["cenoby.yaml"], modes["node.key"]} == {0o600}
        assert stat.S_IMODE((children / node).stat().st_mode) == 0o700
        child = client(colony).call("mads.roamer.where")["pid"]
        assert child != colony.process.pid
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: own_pid(colony))
        wait_until(lambda: not list(children.iterdir()))
        assert events(colony, "mad_merged")
        assert [one["name"] for one in nodes_of(colony)] == ["gate"]
        orphan = json.loads(colony.cenoby("split", "roamer", "--json").stdout)["node"]
        colony.kill()
    with colonies.gateway(f"grace, '{mad}:Roamer'") as colony:
        wait_until(lambda: not list(children.iterdir()), 30)
        assert orphan not in [one["name"] for one in nodes_of(colony)]
        assert own_pid(colony)
        mad.unlink()
        started = time.monotonic()
        refused = colony.cenoby("split", "roamer", check=False)
        assert "[node_not_started]" in refused.stderr, (refused.stderr, time.monotonic() - started)
        assert own_pid(colony)
        assert not list(children.iterdir())
        assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"]


def test_a_node_tells_the_service_manager(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cenoby node` says READY once it serves and STOPPING when it ends, as `cenoby up` does."""
    colonies = colonies_on("nats", tmp_path, postgres)
    with colonies.gateway() as colony, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with colonies.node(colony, "worker"):
            assert systemd.recv(4096) == b"READY=1\nSTATUS=ready"
        assert systemd.recv(4096).startswith(b"STOPPING=1")
