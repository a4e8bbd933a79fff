"""Starting what is measured, each server in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
FASTMCP_VENV = ROOT / ".bench-venv"


@dataclass
class Server:
    """A running server: where it listens, whose token to use, its process, and its data directory where it has one."""

    port: int
    token: str
    process: subprocess.Popen[str]
    data: Path | None = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[str], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server on port {port} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


@contextlib.contextmanager
def peer(script: str, *arguments: str, python: str = sys.executable) -> Iterator[Server]:
    """One of the scripts in `bench/peers`."""
    port = free_port()
    process = subprocess.Popen([python, str(PEERS / script), str(port), *arguments], text=True)
    try:
        wait_for(port, process)
        yield Server(port, "", process)
    finally:
        process.terminate()
        process.wait(10)


SHIPPED = ("rogers", "fiedler", "turing", "grace", "marco")
ECHO = f"{ROOT}/bench/echo_mad.py:Echo"


@contextlib.contextmanager
def cenoby(*, extra_tools: int = 0, settings: str = "", shipped: bool = True) -> Iterator[Server]:
    """A colony with the shipped settings and the benchmark's own MAD, beside the shipped ones or alone."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        # Grace makes the token, so a colony without her is one that had her before.
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(_colony(data, (*SHIPPED, ECHO), extra_tools, settings))
            token = agent_token(data)
            if shipped:
                yield Server(server.port, token, server.process, data)
                return
        with _colony(data, (ECHO,), extra_tools, settings) as server:
            yield Server(server.port, token, server.process, data)


@contextlib.contextmanager
def _colony(data: Path, mads: tuple[str, ...], extra_tools: int, settings: str) -> Iterator[Server]:
    config = data.with_name("cenoby.yaml")
    config.write_text(f"mads: {json.dumps(mads)}\n{settings}")
    command = [sys.executable, "-m", "cenoby.cli.main", "up"]
    process = subprocess.Popen(
        [*command, "--data", str(data), "--listen", "127.0.0.1:0", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"BENCH_EXTRA_TOOLS": str(extra_tools)},
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        if not ready:
            raise RuntimeError("the colony did not start")
        yield Server(int(ready[1].rsplit(":", 1)[1].split("/")[0]), "", process, data)
    finally:
        process.terminate()
        process.wait(30)


def agent_token(data: Path) -> str:
    """A developer's token, made the way a user makes one."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "cenoby.cli.main",
            "token",
            "create",
            "--agent",
            "bench",
            "--role",
            "developer",
            "--data",
            str(data),
            "--json",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)["token"]


def fastmcp_python() -> str:
    """The interpreter of FastMCP's own environment, made from its hash-pinned lock at first use."""
    python = FASTMCP_VENV / "bin" / "python"
    lock = ROOT / "requirements" / "bench.txt"
    stamp = FASTMCP_VENV / ".stamp"
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        print("bench: installing FastMCP into .bench-venv (once)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(FASTMCP_VENV)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock)], check=True)
        stamp.touch()
    return str(python)
