"""`./dev bench gateway`: one trivial tool behind Cenoby, the bare SDK, FastMCP and a floor, in one run.

Every server gets the same stateless request (revision 2026-07-28) from the same load generator; the rounds take turns,
and the medians are compared. Cenoby runs with the shipped settings: every stage on, and the journal durable.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from typing import Any

from bench.load_client import Job, measure
from bench.servers import Server, cenoby, fastmcp_python, peer

ROUNDS = 3
SECONDS = 3.0
SAY = {"text": "hello"}


def job(server: Server, tool: str, connections: int) -> Job:
    tools = [(tool, SAY, '"text":"hello"')]
    return Job("127.0.0.1", server.port, "/mcp", tools, connections, SECONDS, token=server.token)


def rounds(servers: dict[str, tuple[Server, str]], connections: int) -> dict[str, dict[str, float]]:
    """The median of the rounds for each server; a call that fails fails the benchmark."""
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, (server, tool) in servers.items():
            result = measure(job(server, tool, connections))
            if result["errors"]:
                raise RuntimeError(f"{name}: {result['errors']} calls failed: {result['first_errors']}")
            seen[name].append(result)
    keys = ("calls_per_s", "p50_ms", "p99_ms")
    return {name: {key: statistics.median(one[key] for one in many) for key in keys} for name, many in seen.items()}


def main(as_json: bool) -> int:
    with contextlib.ExitStack() as stack:
        servers = {
            "floor": (stack.enter_context(peer("floor_server.py")), "say"),
            "bare_sdk": (stack.enter_context(peer("sdk_server.py", "9")), "say"),
            "fastmcp": (stack.enter_context(peer("fastmcp_server.py", "9", python=fastmcp_python())), "say"),
            "cenoby": (stack.enter_context(cenoby(extra_tools=8)), "mads__echo__say"),
            # The benchmark's own MAD alone: exactly ten tools, and exactly a thousand.
            "cenoby_10": (stack.enter_context(cenoby(extra_tools=8, shipped=False)), "mads__echo__say"),
            "cenoby_1000": (stack.enter_context(cenoby(extra_tools=998, shipped=False)), "mads__echo__say"),
        }
        one, many = rounds(servers, 1), rounds(servers, 32)
    report = {
        "servers": {name: {"1": one[name], "32": many[name]} for name in servers},
        "ratio_to_bare_sdk_1": one["cenoby"]["calls_per_s"] / one["bare_sdk"]["calls_per_s"],
        "ratio_to_bare_sdk_32": many["cenoby"]["calls_per_s"] / many["bare_sdk"]["calls_per_s"],
        "ratio_to_fastmcp_1": one["cenoby"]["calls_per_s"] / one["fastmcp"]["calls_per_s"],
        "ratio_to_fastmcp_32": many["cenoby"]["calls_per_s"] / many["fastmcp"]["calls_per_s"],
        "ratio_to_floor_32": many["cenoby"]["calls_per_s"] / many["floor"]["calls_per_s"],
        "added_p50_ms_1": one["cenoby"]["p50_ms"] - one["bare_sdk"]["p50_ms"],
        "ratio_1000_tools_to_10": many["cenoby_1000"]["calls_per_s"] / many["cenoby_10"]["calls_per_s"],
    }
    print(json.dumps(report) if as_json else table(report))
    return 0


def table(report: dict[str, Any]) -> str:
    lines = [f"{'':14}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}   at 1, then 32 connections"]
    for name, by_load in report["servers"].items():
        for connections, seen in by_load.items():
            label = name if connections == "1" else ""
            lines.append(f"{label:14}{seen['calls_per_s']:>10.0f}{seen['p50_ms']:>9.2f}{seen['p99_ms']:>9.2f}")
    lines += [f"{name:28}{value:.2f}" for name, value in report.items() if name != "servers"]
    return "\n".join(lines)
