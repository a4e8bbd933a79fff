"""`./dev bench load`: 100 clients for 60 seconds against the shipped limits, a reading and a writing tool in turn.

Reach: p95 under 100 ms for both, no errors, and memory flat: resident memory of the last ten seconds at most 3 % above
that of the first ten. Both come after a warm-up of five seconds, in which the caches of bounded size fill: SQLite's
pages, the flight recorder's ring. A leak too small for that shows in the bytes that each call adds, by the slope of a
straight line through all of the memory after the warm-up.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from typing import Any

import psutil

from bench.load_client import Job, measure
from bench.servers import cenoby

CLIENTS = 100
SECONDS = 60.0
WARMUP = 5.0
FLAT = 1.03


def watch_memory(pid: int, stop: threading.Event, samples: list[tuple[float, float]]) -> None:
    """Resident memory of the process and its children, MiB, twice a second."""
    process = psutil.Process(pid)
    started = time.monotonic()
    while not stop.wait(0.5):
        whole = [process, *process.children(recursive=True)]
        resident = sum(one.memory_info().rss for one in whole if one.is_running())
        samples.append((time.monotonic() - started, resident / 2**20))


def mean_between(samples: list[tuple[float, float]], start: float, end: float) -> float:
    return statistics.mean(size for at, size in samples if start <= at < end)


def run(seconds: float = SECONDS) -> dict[str, Any]:
    samples: list[tuple[float, float]] = []
    stop = threading.Event()
    tools = [("mads__echo__say", {"text": "hello"}, "hello"), ("mads__echo__write", {"text": "hello"}, "hello")]
    with cenoby() as server:
        watcher = threading.Thread(target=watch_memory, args=(server.process.pid, stop, samples))
        watcher.start()
        job = Job("127.0.0.1", server.port, "/mcp", tools, CLIENTS, seconds, WARMUP, token=server.token)
        result = measure(job)
        stop.set()
        watcher.join()
    samples = [one for one in samples if WARMUP <= one[0] < WARMUP + seconds]
    slope = statistics.linear_regression(*zip(*samples, strict=True)).slope
    first = mean_between(samples, WARMUP, WARMUP + 10)
    last = mean_between(samples, WARMUP + seconds - 10, WARMUP + seconds)
    return {
        "clients": CLIENTS,
        "seconds": seconds,
        "calls": result["calls"],
        "calls_per_s": result["calls_per_s"],
        "errors": result["errors"],
        "first_errors": result["first_errors"],
        "read_p95_ms": result["by_tool"]["mads__echo__say"]["p95_ms"],
        "write_p95_ms": result["by_tool"]["mads__echo__write"]["p95_ms"],
        "memory_first_mib": first,
        "memory_last_mib": last,
        "memory_most_mib": max(size for _, size in samples),
        "memory_bytes_per_call": slope * 2**20 / result["calls_per_s"],
        "ratio_memory_last_to_first": last / first,
        "memory_flat": last / first <= FLAT,
    }


def main(as_json: bool) -> int:
    report = run()
    if as_json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:28}{value:.2f}" if isinstance(value, float) else f"{name:28}{value}")
    return 0
