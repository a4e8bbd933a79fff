"""`./dev bench start`: how long from `cenoby up` to the first answered call, and how much memory it idles in.

Reach: two seconds, on an empty data directory (migrations included) and on one that exists; 150 MB in all processes.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.load_client import Connection, Job, request
from bench.servers import free_port

ROUNDS = 5
IDLE_SECONDS = 5.0


def first_call(data: Path, port: int) -> tuple[float, subprocess.Popen[str]]:
    """Seconds from starting the program to the answer of the first call, and the running process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "cenoby.cli.main", "up", "--data", str(data), "--listen", f"127.0.0.1:{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    if not process.stdout.readline().startswith("ready"):
        raise RuntimeError("the colony did not start")
    call_status(port, (data / "admin.token").read_text())
    return time.perf_counter() - started, process


def call_status(port: int, token: str) -> None:
    import asyncio

    async def call() -> None:
        job = Job("127.0.0.1", port, "/mcp", [], 1, 0, token=token)
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        status, body = await connection.send(
            request(job, "tools/call", {"name": "mads__grace__status", "arguments": {}})
        )
        connection.close()
        if status != 200 or b'"isError":true' in body or b'"error"' in body:
            raise RuntimeError(f"the first call failed: {status} {body[:300]!r}")

    asyncio.run(call())


def memory_mb(pid: int) -> dict[str, float | str]:
    """Memory of the process and its children, MB (10^6 bytes), and which measure the reach is held against.

    A colony forbids core dumps, and then only root may ask for its proportional memory (PSS). Others get the resident
    memory (RSS) alone, which counts what processes share once for each of them.
    """
    process = psutil.Process(pid)
    whole = [process, *process.children(recursive=True)]
    rss = sum(one.memory_info().rss for one in whole) / 1e6
    try:
        pss = sum(one.memory_full_info().pss for one in whole) / 1e6
    except psutil.AccessDenied:
        return {"idle_rss_mb": rss, "idle_measured": "rss"}
    return {"idle_rss_mb": rss, "idle_pss_mb": pss, "idle_measured": "pss"}


def main(as_json: bool) -> int:
    fresh: list[float] = []
    again: list[float] = []
    idle: dict[str, float | str] = {}
    for turn in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            for times in (fresh, again):
                seconds, process = first_call(Path(folder) / "data", free_port())
                stack.callback(process.kill)
                times.append(seconds)
                if turn == 0 and times is again:
                    time.sleep(IDLE_SECONDS)
                    idle = memory_mb(process.pid)
                process.terminate()
                process.wait(30)
    report: dict[str, Any] = {
        "first_call_fresh_s": statistics.median(fresh),
        "first_call_s": statistics.median(again),
        "slowest_s": max(fresh + again),
    } | idle
    lines = [f"{name:24}{value if isinstance(value, str) else f'{value:.2f}'}" for name, value in report.items()]
    print(json.dumps(report) if as_json else "\n".join(lines))
    return 0
