"""`cenoby journal tail --follow`: what is recorded while it runs is printed, until it is interrupted."""

from __future__ import annotations

import asyncio
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from bench.load_client import Connection, Job, request
from tests.conftest import RunningColony

SECONDS = 60
"""Far more than anything here takes; only a hang meets it."""


class Follower:
    """A running `cenoby journal tail --follow` and the lines that it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self, fits: Callable[[str], bool]) -> str:
        """The next line that fits; the others are skipped."""
        while True:
            line = self._lines.get(timeout=SECONDS)
            if fits(line):
                return line

    def interrupt(self) -> tuple[int, str]:
        """As Ctrl-C does; its exit code and what it printed to stderr."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(SECONDS)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@contextmanager
def following(colony: RunningColony, *options: str) -> Iterator[Follower]:
    command = [sys.executable, "-m", "cenoby.cli.main", "journal", "tail", "--follow", *options]
    process = subprocess.Popen(
        [*command, "--data", str(colony.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background may have SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield Follower(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_records_that_arrive_later_are_printed_until_the_interrupt(colony: RunningColony, as_json: bool) -> None:
    """First what is there, then each new record once and in order; Ctrl-C ends it with 130 and not a word."""
    agent = f"follower-{'json' if as_json else 'text'}"
    token = colony.token(agent, "developer")
    colony.cenoby("call", "mads.rogers.list_conversations", token=token)
    with following(colony, "--agent", agent, *(["--json"] if as_json else [])) as tail:
        assert "mads.rogers.list_conversations" in tail.line(lambda line: agent in line)
        seen = list[str]()
        for name in ("one", "two"):
            colony.cenoby("call", "mads.rogers.create_conversation", f"name={agent}-{name}", token=token)
            for _ in range(3):
                line = tail.line(lambda line: agent in line)
                seen.append(json.loads(line)["kind"] if as_json else line.split("\t")[2])
        assert seen == ["decision", "intent", "outcome"] * 2
        assert tail.interrupt() == (130, "")


def test_only_what_was_asked_for_is_followed(colony: RunningColony) -> None:
    """With --agent, records of others, its own reading among them, are not printed."""
    token, other = colony.token("wanted", "developer"), colony.token("unwanted", "developer")
    with following(colony, "--agent", "wanted", "--json") as tail:
        for turn in range(2):
            colony.cenoby("call", "mads.rogers.list_conversations", token=other)
            colony.cenoby("call", "mads.rogers.list_conversations", token=token)
            record = json.loads(tail.line(lambda line: bool(line)))
            assert (record["agent"], record["tool"]) == ("wanted", "mads.rogers.list_conversations"), turn
        assert tail.interrupt() == (130, "")


async def burst(colony: RunningColony, token: str, calls: int) -> None:
    """So many reading calls, one record each, from 8 connections."""
    host, port = colony.url.split("/")[2].split(":")
    job = Job(host, int(port), "/mcp", [], 8, 0, token=token)

    async def client() -> None:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
        for _ in range(calls // 8):
            status, body = await connection.send(
                request(job, "tools/call", {"name": "mads__rogers__list_conversations", "arguments": {}})
            )
            assert status == 200, body
        connection.close()

    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(client() for _ in range(8)))


def test_a_burst_between_two_looks_is_printed_whole(colony: RunningColony) -> None:
    """400 records that came while the command did not look are all printed, in order."""
    token = colony.token("burster", "developer")
    with following(colony, "--agent", "burster", "--json") as tail:
        colony.cenoby("call", "mads.rogers.list_conversations", token=token)
        tail.line(bool)
        tail.process.send_signal(signal.SIGSTOP)
        asyncio.run(burst(colony, token, 400))
        tail.process.send_signal(signal.SIGCONT)
        colony.cenoby("call", "mads.rogers.list_topics", token=token)
        printed = 0
        while json.loads(tail.line(bool))["tool"] != "mads.rogers.list_topics":
            printed += 1
        assert printed == 400


def test_the_follower_shows_neither_its_own_looks_nor_a_second_head(
    start_colony: Callable[..., AbstractContextManager[RunningColony]],
) -> None:
    """Of all that is recorded from then on, what others do is printed once, below one head, and nothing else; those
    who ask for the same as the follower are others."""
    with start_colony() as colony:
        token = colony.token("ada", "developer")
        with following(colony, "-n", "1") as tail:
            head, first = (tail.line(bool).split("\t") for _ in range(2))
            assert head[0] == "id"
            # Each command starts a process, in which time the follower looks more than once.
            for _ in range(3):
                colony.cenoby("call", "mads.rogers.list_conversations", token=token)
            colony.cenoby("journal", "tail", "-n", "1")
            colony.cenoby("call", "mads.rogers.list_topics", token=token)
            rows = [tail.line(bool).split("\t") for _ in range(5)]
        assert [row[3:5] for row in rows] == [
            *[["ada", "mads.rogers.list_conversations"]] * 3,
            ["operator", "mads.grace.list_records"],
            ["ada", "mads.rogers.list_topics"],
        ]
        assert len({row[0] for row in [first, *rows]}) == 6
