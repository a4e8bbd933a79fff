"""Colonies that host the same MADs in different places: all in the gateway's process, or each in one of its own.

A colony is prepared once (nodes enrolled, a token, a conversation, a secret) and then started as often as wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load_client import Connection, Job, request
from bench.monolith_mads import hash_blocks
from bench.servers import ROOT, agent_token, free_port

MADS = ("rogers", "turing", f"{ROOT}/bench/monolith_mads.py:Mill", f"{ROOT}/bench/monolith_mads.py:Kiln")
GATEWAY = ("grace",)
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.02
Mix = list[tuple[str, dict[str, Any], str]]
_HELLO = {"text": "hello"}


@dataclass
class Running:
    """A colony that answers: where, with which token, its processes, and how long they took to be ready."""

    port: int
    token: str
    pids: list[int]
    start_s: float


@dataclass
class Placement:
    """One way to place the MADs.

    Args:
        name: what the report calls it.
        folder: for its data directories and logs.
        settings: YAML that says bus and store.
        apart: whether each MAD has a process of its own.
    """

    name: str
    folder: Path
    settings: str
    apart: bool
    port: int = field(default_factory=free_port)
    token: str = ""
    mix: Mix = field(default_factory=list)

    def prepare(self) -> None:
        """What an operator and an agent do once: enrol the nodes, make a token, a conversation and a secret."""
        self.folder.mkdir()
        (self.folder / "gateway.yaml").write_text(
            f"{self.settings}node: gateway\nmads: {json.dumps(GATEWAY if self.apart else GATEWAY + MADS)}\n"
        )
        (self.folder / "node.yaml").write_text(f"{self.settings}vault: {{file: {self._data('gateway')}/master.key}}\n")
        with self._process(self._gateway()) as gateway:
            _ready(gateway, self._log)
            self.token = agent_token(self._data("gateway"))
            for mad in MADS if self.apart else ():
                self._enroll(mad)
        with self._all():
            self._answers([("mads__rogers__list_conversations", {}, "conversations")])
            opened = self._call("mads__rogers__create_conversation", {"name": "bench"})
            self._answers([("mads__turing__set_secret", {"name": "bench", "value": "s3cret"}, "version")])
        self.mix = the_mix(opened["id"])

    @contextlib.contextmanager
    def started(self) -> Iterator[Running]:
        """All its processes, started at once, from when each tool of the mix has answered."""
        began = time.perf_counter()
        with self._all() as processes:
            self._answers(self.mix)
            yield Running(self.port, self.token, [one.pid for one in processes], time.perf_counter() - began)

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _data(self, node: str) -> Path:
        return self.folder / node

    def _gateway(self) -> list[str]:
        listen = ["--listen", f"127.0.0.1:{self.port}"]
        return ["up", "--config", str(self.folder / "gateway.yaml"), "--data", str(self._data("gateway")), *listen]

    def _node(self, mad: str) -> list[str]:
        name = mad.rpartition(":")[2].lower()
        where = ["--config", str(self.folder / "node.yaml"), "--data", str(self._data(name))]
        return ["node", *where, "--mads", mad, "--name", name]

    def _enroll(self, mad: str) -> None:
        refused = subprocess.run(_command(self._node(mad)), capture_output=True, text=True, check=False, env=_plain())
        enroll = refused.stderr.partition("run: cenoby ")[2].split()[:4]
        if not enroll:
            raise RuntimeError(f"{mad} does not ask to be enrolled: {refused.stderr}")
        command = _command([*enroll, "--data", str(self._data("gateway"))])
        subprocess.run(command, capture_output=True, check=True, env=_plain())

    @contextlib.contextmanager
    def _process(self, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        with self._log.open("a") as log:
            process = subprocess.Popen(_command(arguments), stdout=subprocess.PIPE, stderr=log, text=True, env=_plain())
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)
            if process.stdout is not None:
                process.stdout.close()

    @contextlib.contextmanager
    def _all(self) -> Iterator[list[subprocess.Popen[str]]]:
        with contextlib.ExitStack() as stack:
            nodes = [self._node(mad) for mad in MADS] if self.apart else []
            processes = [stack.enter_context(self._process(one)) for one in (self._gateway(), *nodes)]
            for process in processes:
                _ready(process, self._log)
            yield processes

    def _answers(self, mix: Mix) -> None:
        """Wait until each call of `mix` does what it should."""
        end = time.monotonic() + _READY_SECONDS
        for name, arguments, expected in mix:
            while expected not in (said := json.dumps(self._call(name, arguments))):
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.name}: {name} does not work: {said}")
                time.sleep(_LOOK_SECONDS)

    def _call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """The structured result of one call, or the whole answer where there is none."""

        async def call() -> bytes:
            job = Job("127.0.0.1", self.port, "/mcp", [], 1, 0, token=self.token)
            _, connection = await asyncio.get_running_loop().create_connection(Connection, job.host, job.port)
            _, body = await connection.send(request(job, "tools/call", {"name": tool, "arguments": arguments}))
            connection.close()
            return body

        answer = json.loads(asyncio.run(call()))
        result = answer.get("result", {})
        return answer if result.get("isError") else result.get("structuredContent", answer)


def the_mix(conversation: str) -> Mix:
    """Reads and writes of all four MADs, one of which calls another; (tool, arguments, what the answer holds)."""
    return [
        ("mads__rogers__post_message", {"conversation": conversation, "content": "hello, all"}, "hello, all"),
        ("mads__mill__say", _HELLO, "hello"),
        ("mads__rogers__get_history", {"conversation": conversation, "limit": 20}, "hello, all"),
        ("mads__kiln__ask", _HELLO, "hello"),
        ("mads__turing__get_secret", {"name": "bench"}, "s3cret"),
        ("mads__mill__write", _HELLO, "hello"),
    ]


def grinding(blocks: int) -> Mix:
    """Two MADs in turn, each of which works so long before it answers."""
    work = {"blocks": blocks}
    return [("mads__mill__grind", work, "ground"), ("mads__kiln__fire", work, "fired")]


def hashed_blocks_per_ms() -> float:
    """Blocks that `hash_blocks` does in a millisecond of processor time, of the best of some tries."""
    blocks, best = 20_000, float("inf")
    for _ in range(10):
        began = time.thread_time()
        hash_blocks(blocks)
        best = min(best, time.thread_time() - began)
    return blocks / best / 1000


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "cenoby.cli.main", *arguments]


def _plain() -> dict[str, str]:
    """The environment without settings: they would win over the files."""
    return {name: text for name, text in os.environ.items() if not name.startswith("CENOBY_")}


def _ready(process: subprocess.Popen[str], log: Path) -> None:
    assert process.stdout is not None
    if not process.stdout.readline().startswith("ready"):
        raise RuntimeError(f"a process did not start:\n{log.read_text()[-2000:]}")
