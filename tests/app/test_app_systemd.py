"""What systemd is told by a real `cenoby up`, and the service file that ships."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from cenoby.app.systemd import announced, notify, watchdog_seconds
from tests.conftest import run_colony

WATCHDOG_SECONDS = 0.6
BLOCKING_MAD = """
import time
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool

class Sleeper(Mad):
    name = "sleeper"

    @tool("test:run", effect="reads")
    async def doze(self, call: Call) -> ToolContent:
        '''Sleep on the loop.'''
        time.sleep(5)
        return ToolContent([])
"""


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def close(self) -> None:
        self._socket.close()

    def hear(self, seconds: float) -> str:
        """The next message, or nothing when none comes within so many seconds."""
        self._socket.settimeout(seconds)
        try:
            message = self._socket.recv(4096).decode()
        except TimeoutError:
            return ""
        self.heard.append(message)
        return message

    def hear_until(self, wanted: str) -> list[str]:
        """All messages up to the first that has the line `wanted`."""
        start = len(self.heard)
        while message := self.hear(20):
            if wanted in message.split("\n"):
                return self.heard[start:]
        raise AssertionError(f"no {wanted} came, but {self.heard}")

    def forget(self) -> None:
        """Empty the socket."""
        while self.hear(0.001):
            pass


@contextmanager
def manager(monkeypatch: pytest.MonkeyPatch, address: str) -> Iterator[Manager]:
    """A manager to whom this process, and those that it starts, report."""
    made = Manager(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_a_colony_reports_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    """READY once and with the status, then signs of life, then STOPPING before the process ends; on both sockets."""
    address = f"@cenoby-test-{secrets.token_hex(8)}" if abstract else str(tmp_path / "notify")
    monkeypatch.setenv("WATCHDOG_USEC", str(round(WATCHDOG_SECONDS * 1e6)))
    with manager(monkeypatch, address) as systemd:
        with run_colony(tmp_path / "data", settings="mads: [rogers]") as colony:
            assert systemd.hear_until("READY=1")[-1] == "READY=1\nSTATUS=ready"
            for _ in range(3):
                assert systemd.hear_until("WATCHDOG=1")
            assert colony.stop() == 0
        systemd.hear_until("STOPPING=1")
        systemd.forget()
        assert sum("READY=1" in message for message in systemd.heard) == 1
        assert "STOPPING=1" in systemd.heard[-1]


def test_signs_of_life_stop_while_the_loop_is_blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that answers nobody says nothing for longer than systemd's patience, and speaks up again after it."""
    (tmp_path / "sleeper.py").write_text(BLOCKING_MAD)
    monkeypatch.setenv("WATCHDOG_USEC", str(round(WATCHDOG_SECONDS * 1e6)))
    with (
        manager(monkeypatch, str(tmp_path / "notify")) as systemd,
        run_colony(tmp_path / "data", settings="mads: [grace, sleeper.py:Sleeper]") as colony,
    ):
        systemd.hear_until("READY=1")
        doze = [sys.executable, "-m", "cenoby.cli.main", "call", "mads.sleeper.doze", "--data", str(colony.data)]
        with subprocess.Popen(doze, stdout=subprocess.DEVNULL) as calling:
            silences = 0
            while calling.poll() is None and not silences:
                silences += systemd.hear(3 * WATCHDOG_SECONDS) == ""
            assert silences == 1
            assert calling.wait(30) == 0
        systemd.hear_until("WATCHDOG=1")


def test_a_stopped_process_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread pings for a process whose loop cannot: stopped by a signal, it is as silent as when blocked."""
    monkeypatch.setenv("WATCHDOG_USEC", str(round(WATCHDOG_SECONDS * 1e6)))
    with (
        manager(monkeypatch, str(tmp_path / "notify")) as systemd,
        run_colony(tmp_path / "data", settings="mads: [rogers]") as colony,
    ):
        systemd.hear_until("READY=1")
        colony.process.send_signal(signal.SIGSTOP)
        systemd.forget()
        assert systemd.hear(3 * WATCHDOG_SECONDS) == ""
        colony.process.send_signal(signal.SIGCONT)
        systemd.hear_until("WATCHDOG=1")


async def test_ready_is_said_when_the_process_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong goes into STATUS and READY waits; what goes wrong later is told, and READY is not repeated."""
    problems = iter(["store_stuck", "store_stuck", "", "store_full"])
    last = "store_full"

    async def problem() -> str:
        return next(problems, last)

    monkeypatch.setattr("cenoby.app.systemd._UNTIL_READY_SECONDS", 0.01)
    monkeypatch.setattr("cenoby.app.systemd._ONCE_READY_SECONDS", 0.01)
    with manager(monkeypatch, str(tmp_path / "notify")) as systemd:
        async with announced(problem):
            heard = await asyncio.to_thread(systemd.hear_until, "STATUS=store_full")
        assert heard == ["STATUS=store_stuck", "READY=1\nSTATUS=ready", "STATUS=store_full"]
        assert systemd.hear(5).startswith("STOPPING=1\n")


async def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked: nothing is sent, and nobody is asked whether the process is ready."""

    async def problem() -> str:
        raise AssertionError("asked")

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify("READY=1") is False
    async with announced(problem):
        pass


def test_a_manager_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that nobody reads is logged, and no error reaches the colony."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert notify("READY=1") is False


def test_whose_watchdog_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """WATCHDOG_PID of another process, as a child inherits it, asks nothing of this one."""
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_seconds() == 30
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_seconds() is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert watchdog_seconds() is None


def printed_unit() -> dict[str, str]:
    command = [sys.executable, "-m", "cenoby.cli.main", "unit", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_unit_starts_this_program() -> None:
    """`cenoby unit` is the shipped file with the path of the program that prints it, and nothing else changed."""
    printed, shipped = printed_unit(), (files("cenoby.app") / "cenoby.service").read_text()
    assert f"ExecStart={printed['program']} up --data /var/lib/cenoby" in printed["unit"]
    assert printed["unit"] == shipped.replace("/opt/cenoby/bin/cenoby", printed["program"])
    plain = subprocess.run(
        [sys.executable, "-m", "cenoby.cli.main", "unit"], capture_output=True, text=True, check=True
    )
    assert plain.stdout == printed["unit"]


def test_systemd_understands_the_unit(tmp_path: Path, needs: Callable[[str], str]) -> None:
    """`systemd-analyze verify` finds nothing to say of it."""
    analyze = needs("systemd-analyze")
    unit = tmp_path / "cenoby.service"
    unit.write_text(printed_unit()["unit"])
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "cenoby.service" in line]
    assert (done.returncode, said) == (0, []), done.stderr
