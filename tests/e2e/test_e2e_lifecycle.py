"""The life of a colony's process: told to stop while it works, started twice, and followed while it lives."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.load_client import Connection, Job, request
from tests.conftest import RunningColony, run_colony

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

class Worker(Mad):
    name = "worker"

    def __init__(self, folder):
        self._folder = folder

    @classmethod
    def create(cls, grants: Grants) -> Self:
        return cls(grants.files())

    @tool("test:run", effect="writes", timeout=600)
    async def work(self, call: Call, name: str, stubborn: int = 0) -> Done:
        """Work until the file NAME.go is there, through so many cancellations."""
        (self._folder / name).write_text("begun")
        while not (self._folder / f"{name}.go").exists():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                if not stubborn:
                    raise
                stubborn -= 1
        return Done(name)
'''
COMMAND = [sys.executable, "-m", "cenoby.cli.main"]
SECONDS = 60
"""Far more than anything here takes; only a hang meets it."""


@pytest.fixture
def start_worker(start_colony: StartColony, tmp_path: Path) -> Callable[[], AbstractContextManager[RunningColony]]:
    """Starts colonies with the worker, all on the same data; they drain for three seconds."""
    (tmp_path / "worker.py").write_text(MAD)
    mads = json.dumps(["grace", f"{tmp_path}/worker.py:Worker"])
    return lambda: start_colony(settings=f"mads: {mads}\ngateway: {{drain_timeout: 3}}\n")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@contextmanager
def working(colony: RunningColony, token: str, name: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A `cenoby call` of its own process; the block begins once the tool has begun."""
    arguments = json.dumps({"name": name, **more})
    command = [*COMMAND, "call", "mads.worker.work", arguments, "--data", str(colony.data), "--token", token, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for((colony.data / "mads" / "worker" / name).exists, "the tool never began")
        yield process
    finally:
        process.kill()
        process.communicate()


def outcomes(colony: RunningColony) -> list[str]:
    """How Ada's calls of the worker ended, in order."""
    tail = colony.cenoby("journal", "tail", "-n", "200", "--agent", "ada", "--mad", "worker", "--json")
    records = [json.loads(line) for line in tail.stdout.splitlines()]
    assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"]
    assert sum(record["kind"] == "intent" for record in records) == sum(one["kind"] == "outcome" for one in records)
    return [record["status"] for record in records if record["kind"] == "outcome"]


def stop_while_two_work(start: Callable[[], AbstractContextManager[RunningColony]]) -> tuple[int, dict[str, Any]]:
    """SIGTERM with one call that ends in time and one that does not; the exit code and answer of the second."""
    with start() as colony, ExitStack() as stack:
        token = colony.token("ada", "developer")
        quick = stack.enter_context(working(colony, token, "quick"))
        stuck = stack.enter_context(working(colony, token, "stuck"))
        colony.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not (colony.data / "colony.json").exists(), "the colony never began to stop")
        (colony.data / "mads" / "worker" / "quick.go").touch()
        stdout, stderr = quick.communicate(timeout=SECONDS)
        assert (quick.returncode, json.loads(stdout), stderr) == (0, {"text": "quick"}, "")
        stdout, stderr = stuck.communicate(timeout=SECONDS)
        assert colony.process.wait(SECONDS) == 0
    with start() as colony:
        assert outcomes(colony) == ["ok", "cancelled"]
    return stuck.returncode, json.loads(stdout)["error"]


def test_sigterm_lets_calls_end_and_answers_those_that_do_not(
    start_worker: Callable[[], AbstractContextManager[RunningColony]],
) -> None:
    """A call that ends in the drain gets its result, the other an error; both are on record, and the exit code is 0."""
    code, error = stop_while_two_work(start_worker)
    assert code != 0
    assert "stopping" in error["message"]


def test_a_call_that_the_stop_cut_off_is_told_so_by_code(
    start_worker: Callable[[], AbstractContextManager[RunningColony]],
) -> None:
    """`colony_stopping`, of the family unavailable, with exit code 6."""
    code, error = stop_while_two_work(start_worker)
    assert (code, error["code"], error["family"]) == (6, "colony_stopping", "unavailable")


@pytest.mark.parametrize(
    "ignored",
    [1, 2, 1_000_000],
    ids=["once", "twice", "always"],
)
def test_a_tool_that_ignores_its_cancellation_does_not_spoil_the_stop(
    start_worker: Callable[[], AbstractContextManager[RunningColony]], ignored: int
) -> None:
    """The process ends all the same, and by the end of the next start the journal says how the call ended."""
    with start_worker() as colony:
        token = colony.token("ada", "developer")
        with working(colony, token, "stubborn", stubborn=ignored):
            colony.process.send_signal(signal.SIGTERM)
            try:
                assert colony.process.wait(20) == 0
            except subprocess.TimeoutExpired:
                colony.kill()
                pytest.fail("the colony did not stop")
    with start_worker() as colony:
        assert outcomes(colony) in (["unknown"], ["cancelled"])


def test_nothing_acknowledged_is_lost_in_a_stop(start_colony: StartColony) -> None:
    """16 clients post while SIGTERM comes: each gets answers until the end, and every acknowledged post is there."""
    with start_colony() as colony:
        token = colony.token("writer", "developer")
        made = colony.cenoby("call", "mads.rogers.create_conversation", "name=stop", token=token)
        conversation = json.loads(made.stdout)["id"]
        acknowledged = asyncio.run(post_until_stopped(colony, token, conversation))
        assert colony.process.wait(SECONDS) == 0
    assert len(acknowledged) > 100
    found = set[str]()
    with start_colony() as colony:
        while True:
            arguments = json.dumps({"conversation": conversation, "limit": 500, "after": len(found)})
            page = json.loads(colony.cenoby("call", "mads.rogers.get_history", arguments, token=token).stdout)
            if not page["messages"]:
                break
            found |= {message["content"] for message in page["messages"]}
        assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"]
    assert [text for text in acknowledged if text not in found] == []


async def post_until_stopped(colony: RunningColony, token: str, conversation: str) -> list[str]:
    """Post from 16 connections, stop the colony after 200 answers; the texts whose post was acknowledged."""
    host, port = colony.url.split("/")[2].split(":")
    acknowledged: list[str] = []
    job = Job(host, int(port), "/mcp", [], 16, 0, token=token)

    async def client(number: int) -> None:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
        for turn in range(1_000_000):
            arguments = {"conversation": conversation, "content": f"c{number} n{turn}"}
            params = {"name": "mads__rogers__post_message", "arguments": arguments}
            try:
                status, body = await connection.send(request(job, "tools/call", params))
            except OSError:
                return
            if status == 503:
                return
            assert status == 200, body
            if not json.loads(body)["result"].get("isError"):
                acknowledged.append(arguments["content"])
            if len(acknowledged) == 200:
                colony.process.send_signal(signal.SIGTERM)

    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(client(number) for number in range(16)))
    return acknowledged


def up(data: Path, listen: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "up", "--data", str(data), "--listen", listen]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)


def test_a_second_colony_on_the_same_data_is_told_what_to_do(start_colony: StartColony) -> None:
    """Exit code 6 and one line that names the directory and `--data`; the first colony does not notice."""
    with start_colony() as colony:
        second = up(colony.data, "127.0.0.1:0")
        assert (second.returncode, second.stdout) == (6, "")
        assert "[data_locked]" in second.stderr
        assert str(colony.data) in second.stderr
        assert "stop it" in second.stderr
        assert "--data" in second.stderr
        assert len(second.stderr.splitlines()) == 1
        assert colony.cenoby("status").returncode == 0


def taken_port(tmp_path: Path) -> str:
    """What `cenoby up` says of a port that is taken; and that it leaves its data usable."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        done = up(tmp_path / "data", address)
    assert (done.returncode, done.stdout) == (6, "")
    complaint = done.stderr.splitlines()[-1]
    assert "[address_unusable]" in complaint
    assert address in complaint
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "colony.json").exists()
    with run_colony(tmp_path / "data") as colony:
        assert colony.cenoby("status").returncode == 0
    return complaint


def test_a_colony_on_a_taken_port_says_so(tmp_path: Path) -> None:
    """Exit code 6, the address and the code of the error; the data directory can be used at once by the next."""
    assert "in use" in taken_port(tmp_path)


def test_a_colony_on_a_taken_port_says_what_to_do(tmp_path: Path) -> None:
    """The message names `--listen`, as the code's documentation does."""
    assert "--listen" in taken_port(tmp_path)
