"""What tests share: a real colony in a process of its own, and honest skips."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

pytest_plugins = ["tests.stores"]

REQUIRED = set(filter(None, os.environ.get("CENOBY_TEST_REQUIRE", "").split(",")))
"""What this machine must have: `all`, or names of programs and services, e.g. `nats,redis`."""
# No variable of whoever runs the tests reaches the programs that they start: an unknown one is an error to them.
for _name in [name for name in os.environ if name.startswith("CENOBY_")]:
    del os.environ[_name]
REQUIRE_ALL = "all" in REQUIRED
SERVICES = {"nats": 4222, "redis": 6379, "postgres": 5432}
"""The services that tests may use, by their port on 127.0.0.1."""


def needs_service(name: str) -> str:
    """`127.0.0.1:port` of a service, or a skip that says that it is not there (a failure where it is required)."""
    place = ("127.0.0.1", SERVICES[name])
    try:
        socket.create_connection(place, timeout=2).close()
    except OSError as error:
        missing(name, f"no {name} at {place[0]}:{place[1]} ({error.strerror})")
    return f"{place[0]}:{place[1]}"


def missing(name: str, reason: str) -> NoReturn:
    """Skip with `reason`, or fail where `name` is required."""
    if REQUIRED & {"all", name}:
        pytest.fail(f"{reason}, and CENOBY_TEST_REQUIRE asks for it")
    pytest.skip(reason)


@pytest.fixture
def needs() -> Callable[[str], str]:
    """`needs("strace")`: the path of a program, or a skip that says what is missing (a failure in CI)."""

    def find(program: str) -> str:
        path = shutil.which(program)
        if path is None:
            missing(program, f"{program} is not installed")
        return path

    return find


@dataclass
class RunningColony:
    """A colony started by `cenoby up`: where it answers, its data, its process."""

    url: str
    data: Path
    process: subprocess.Popen[str]

    @property
    def operator_token(self) -> str:
        return (self.data / "admin.token").read_text()

    def token(self, agent: str, role: str) -> str:
        """A token made by the command, as a user makes one."""
        return self.cenoby("token", "create", "--agent", agent, "--role", role).stdout.strip()

    def cenoby(self, *arguments: str, check: bool = True, token: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command against this colony."""
        environment = dict(os.environ)
        command = [sys.executable, "-m", "cenoby.cli.main", *arguments, "--data", str(self.data)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=environment | ({"CENOBY_TOKEN": token} if token else {}),
        )
        if check and done.returncode:
            raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def kill(self) -> None:
        """kill -9, and whatever it had started."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Stop it as an operator would; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def run_colony(data: Path, *, settings: str = "", listen: str = "127.0.0.1:0") -> Iterator[RunningColony]:
    """Start a colony on `data` with these settings (YAML), and stop it at the end if it still runs."""
    config = data.parent / f"{data.name}.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(settings)
    log = (data.parent / f"{data.name}.log").open("a")
    environment = dict(os.environ)
    command = [sys.executable, "-m", "cenoby.cli.main", "up", "--data", str(data), "--listen", listen]
    process = subprocess.Popen(
        [*command, "--config", str(config)], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        if line[:1] != ["ready"]:
            raise AssertionError(f"the colony did not start: {(data.parent / f'{data.name}.log').read_text()[-3000:]}")
        yield RunningColony(line[1], data, process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
        log.close()


@pytest.fixture
def start_colony(tmp_path: Path) -> Callable[..., AbstractContextManager[RunningColony]]:
    """Starts colonies on `tmp_path/data`; as a context manager."""

    def start(*, settings: str = "", data: Path | None = None) -> AbstractContextManager[RunningColony]:
        return run_colony(data or tmp_path / "data", settings=settings)

    return start


@pytest.fixture(scope="session")
def colony(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningColony]:
    """One colony with the shipped settings for tests that only add to it."""
    with run_colony(tmp_path_factory.mktemp("colony") / "data") as running:
        yield running
