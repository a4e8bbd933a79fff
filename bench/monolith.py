"""`./dev bench monolith`: the same work in one process, and with a process for each MAD over NATS and over Redis.

Placements: `one` (memory:// and PostgreSQL), `nats` and `redis` (a gateway with Grace, and four nodes with a MAD each,
on the same PostgreSQL), and `one_sqlite`, the shipped default, for reference. In each round each placement is started,
works, and is stopped; figures are medians of the rounds, ratios (to `one`) medians of the rounds' own.

Keys of `--json`, all flat; PLACEMENT is one of those above:
- `PLACEMENT_start_s`: all its processes started at once, to the answers of six calls that reach all MADs.
- `PLACEMENT_pss_mb`: proportional memory of its processes after the work, 10^6 bytes; `rss_mb` where one may not ask.
- `PLACEMENT_calls_per_s_N`, `_p50_ms_N`, `_p99_ms_N`: the mix of `placements.the_mix` with N connections, 1 and 32.
- `PLACEMENT_cpu_us_32`: processor time of its processes for a call of it, without broker and PostgreSQL.
- `PLACEMENT_work_C_ms_calls_per_s`, `_cpu_us`: 32 connections call two MADs that compute C ms for each call.
- `PLACEMENT_beside_p50_ms`, `_p99_ms`: one connection that reads from Rogers and Turing while four others have the two
  MADs compute 10 ms for each call.
- `PLACEMENT_FIGURE_to_one`: the ratio of each figure to that of `one`.
- `PLACEMENT_break_even_ms`: from so much computing a call on, `nats` or `redis` does more calls a second than `one`;
  null where it did not at any cost tried.
- `PLACEMENT_break_even_at_best_ms`: the same by processor time alone, if two cores had nothing else to do. One process
  does 1 / (o + c) calls a second, o being its own cost of a call and c the computing; several do 2 / (o' + c) at most;
  the two are equal at c = o' - 2 o.

PostgreSQL is the one of CENOBY_STORE, or the database `test` on this machine; schemas are made and dropped.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import socket
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.journal import postgres_schema
from bench.load_client import Job, measure
from bench.placements import Mix, Placement, Running, grinding, hashed_blocks_per_ms
from bench.start import memory_mb

ROUNDS = 3
SECONDS = 2.0
CONNECTIONS = 32
COSTS_MS = (0, 1, 2, 5, 10, 20)
BESIDE_MS = 10
BESIDE_CONNECTIONS = 4
BUSES = {"one": "memory://", "nats": "nats://127.0.0.1:4222", "redis": "redis://127.0.0.1:6379/3"}
POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
Figures = dict[str, float]


def work(placement: Placement, running: Running, blocks_per_ms: float) -> Figures:
    """All that one round measures of a colony."""
    seen: Figures = {"start_s": running.start_s}
    one, many = load(running, placement.mix, 1), load(running, placement.mix, CONNECTIONS)
    for connections, figures in (("1", one), ("32", many)):
        seen |= {f"{key}_{connections}": figures[key] for key in ("calls_per_s", "p50_ms", "p99_ms")}
    seen["cpu_us_32"] = many["cpu_us"]
    for cost in COSTS_MS:
        ground = load(running, grinding(round(cost * blocks_per_ms)), CONNECTIONS)
        seen |= {f"work_{cost}_ms_{key}": ground[key] for key in ("calls_per_s", "cpu_us")}
    beside = light_beside_heavy(running, placement.mix, grinding(round(BESIDE_MS * blocks_per_ms)))
    seen |= {f"beside_{key}": beside[key] for key in ("p50_ms", "p99_ms")}
    return seen | memory(running)


def load(running: Running, mix: Mix, connections: int) -> Figures:
    """Calls a second, how long they take and what they cost the processes; a call that fails fails the benchmark."""
    job = Job("127.0.0.1", running.port, "/mcp", mix, connections, SECONDS, token=running.token)
    before = cpu_s(running)
    found = measure(job)
    cpu = cpu_s(running) - before
    if found["errors"]:
        raise RuntimeError(f"{found['errors']} calls failed: {found['first_errors']}")
    # The warm-up's calls were not counted, but cost as much.
    calls = found["calls_per_s"] * (job.seconds + job.warmup)
    return {key: found[key] for key in ("calls_per_s", "p50_ms", "p99_ms")} | {"cpu_us": cpu / max(calls, 1) * 1e6}


def light_beside_heavy(running: Running, mix: Mix, heavy: Mix) -> Figures:
    """How long calls of Rogers and Turing take while other MADs compute."""
    light = [one for one in mix if one[0] in ("mads__rogers__get_history", "mads__turing__get_secret")]
    with ThreadPoolExecutor(1) as pool:
        ground = pool.submit(load, running, heavy, BESIDE_CONNECTIONS)
        seen = load(running, light, 1)
        ground.result()
    return seen


def cpu_s(running: Running) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in running.pids]
    return sum(one.user + one.system for one in times)


def memory(running: Running) -> Figures:
    each = [memory_mb(pid) for pid in running.pids]
    kind = "pss" if all("idle_pss_mb" in one for one in each) else "rss"
    return {f"{kind}_mb": sum(float(one[f"idle_{kind}_mb"]) for one in each)}


@contextlib.contextmanager
def placements() -> Iterator[list[Placement]]:
    """Those whose services are there, prepared; the first one is what the others are compared with."""
    given = os.environ.get("CENOBY_STORE", "")
    store = given if given.startswith("postgres") else POSTGRES
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd())))
        found: list[Placement] = []
        for name, bus in BUSES.items():
            if not listens(bus):
                print(f"bench: {name} was not measured: nothing listens at {bus}", file=sys.stderr)
                continue
            schema = stack.enter_context(postgres_schema(store, name))
            found.append(Placement(name, folder / name, settings(bus, schema), apart=name != "one"))
        found.append(Placement("one_sqlite", folder / "one_sqlite", settings("memory://", "sqlite:///"), apart=False))
        for placement in found:
            placement.prepare()
        yield found


def settings(bus: str, store: str) -> str:
    return f"colony: b{secrets.token_hex(5)}\nbus: {bus}\nstore: {store}\n"


def listens(bus: str) -> bool:
    """Whether there is a broker; the bus in memory needs none."""
    place = urlsplit(bus)
    if place.hostname is None:
        return True
    with contextlib.suppress(OSError):
        socket.create_connection((place.hostname, place.port), timeout=2).close()
        return True
    return False


def break_even_ms(costs: Sequence[float], ratios: Sequence[float]) -> float | None:
    """The cost at which a ratio that grows with it crosses 1, on the line between the two costs around it."""
    if ratios[0] >= 1:
        return float(costs[0])
    points = list(zip(costs, ratios, strict=True))
    for (low, below), (high, above) in itertools.pairwise(points):
        if below < 1 <= above:
            return low + (high - low) * (1 - below) / (above - below)
    return None


def report(rounds: Mapping[str, Sequence[Figures]]) -> dict[str, float | None]:
    """The flat figures of all placements, and their ratios to `one`."""
    found: dict[str, float | None] = {}
    base = rounds["one"]
    for name, many in rounds.items():
        medians = {key: statistics.median(one[key] for one in many) for key in many[0]}
        found |= {f"{name}_{key}": value for key, value in medians.items()}
        if name == "one":
            continue
        ratios = {
            key: statistics.median(mine[key] / its[key] for mine, its in zip(many, base, strict=True))
            for key in medians
            if all(its.get(key) for its in base)
        }
        found |= {f"{name}_{key}_to_one": value for key, value in ratios.items()}
        if name != "one_sqlite":
            by_cost = [ratios[f"work_{cost}_ms_calls_per_s"] for cost in COSTS_MS]
            found[f"{name}_break_even_ms"] = break_even_ms(COSTS_MS, by_cost)
            at_best = medians["work_0_ms_cpu_us"] - 2 * (found["one_work_0_ms_cpu_us"] or 0.0)
            found[f"{name}_break_even_at_best_ms"] = max(at_best, 0.0) / 1000
    return found


def table(found: dict[str, float | None], names: Sequence[str]) -> str:
    """Figures in rows, placements in columns, each with its ratio to `one`."""
    keys = [key.removeprefix("one_") for key in found if key.startswith("one_") and not key.startswith("one_sqlite")]
    lines = [f"{'':26}" + "".join(f"{name:>20}" for name in names)]
    for key in [*keys, "break_even_ms", "break_even_at_best_ms"]:
        cells: list[str] = []
        for name in names:
            value, ratio = found.get(f"{name}_{key}"), found.get(f"{name}_{key}_to_one")
            shown = "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"
            cells.append(f"{shown + (f' ({ratio:.2f})' if ratio is not None else ''):>20}")
        lines.append(f"{key:26}{''.join(cells)}")
    return "\n".join(lines)


def measured() -> tuple[dict[str, float | None], list[str]]:
    rounds: dict[str, list[Figures]] = defaultdict(list)
    blocks_per_ms = hashed_blocks_per_ms()
    with placements() as found:
        for _ in range(ROUNDS):
            for placement in found:
                began = time.perf_counter()
                with placement.started() as running:
                    rounds[placement.name].append(work(placement, running, blocks_per_ms))
                print(f"bench: {placement.name}, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return report(rounds), list(rounds)


def main(as_json: bool) -> int:
    found, names = measured()
    print(json.dumps(found) if as_json else table(found, names))
    return 0
