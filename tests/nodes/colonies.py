"""Colonies of several real processes for tests: a gateway, and nodes beside it, on a real broker and PostgreSQL."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import RunningColony, needs_service, run_colony
from tests.stores import Postgres

ROAMER = f"{Path(__file__).parent / 'roamer.py'}:Roamer"


@dataclass
class RunningNode:
    """A process of `cenoby node`."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


class Colonies:
    """One colony's settings, and the processes of it.

    Args:
        folder: where data and logs go.
        bus: URL of the broker.
        store: URL of the database.
        more: further settings, YAML.
    """

    def __init__(self, folder: Path, bus: str, store: str, more: str = "") -> None:
        self.folder = folder
        name = f"t{secrets.token_hex(5)}"
        self.settings = f"colony: {name}\nbus: {bus}\nstore: {store}\n{more}"
        self.name = name

    @contextmanager
    def gateway(self, mads: str = "grace, rogers", *, name: str = "gate") -> Iterator[RunningColony]:
        """`cenoby up`."""
        settings = f"{self.settings}node: {name}\nmads: [{mads}]\n"
        with run_colony(self.folder / name, settings=settings) as colony:
            yield colony

    @contextmanager
    def node(self, colony: RunningColony, name: str, mads: str = ROAMER) -> Iterator[RunningNode]:
        """`cenoby node`, enrolled by the colony's operator with the command that its first start says."""
        config = self.folder / f"{name}.yaml"
        config.write_text(f"{self.settings}vault: {{file: {colony.data / 'master.key'}}}\n")
        command = [sys.executable, "-m", "cenoby.cli.main", "node", "--config", str(config), "--mads", mads]
        command += ["--name", name, "--data", str(self.folder / name)]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "[node_not_enrolled]" in refused.stderr, refused.stderr
        colony.cenoby(*refused.stderr.partition("run: cenoby ")[2].split()[:4])
        log = self.folder / f"{name}.log"
        with log.open("a") as out:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=out, text=True, env=dict(os.environ))
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"ready {name}\n", log.read_text()[-3000:]
            yield RunningNode(name, process, log)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)
            if process.stdout is not None:
                process.stdout.close()


BUSES = {"nats": "nats://{place}", "redis": "redis://{place}/3"}


def colonies_on(bus: str, folder: Path, postgres: Postgres, more: str = "") -> Colonies:
    """A colony on one of `BUSES`."""
    return Colonies(folder, BUSES[bus].format(place=needs_service(bus)), postgres.new_url(), more)
