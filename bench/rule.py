"""`./dev bench rule`: what the rule costs a call, from who calls to what it may spend, and what redaction costs a text.

A decision is one call through the pipeline's own stages from `identify` to `budget`, one after the other in one
process: 10,000 agents in random order, 1,000 policies where the colony has policy, a tool with a price, 200 bytes of
arguments. What stands in those stages is measured, as the colony was put together; there is no list of parts.
Settling is timed apart, and so is one durable write, which waits for the disk. Beside the time of the clock stands
that of the processor (`_cpu_`), which other work on the machine does not lengthen; the bound is on the clock's.
Reach: p99 100 µs, redaction 30 MB/s on one core for text without hits. The whole call beside the bare SDK, in the same
run: as in `./dev bench gateway`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.figures import Figure
from bench.gateway import rounds
from bench.rule_world import PRICE, TOOL, World, world
from bench.servers import cenoby, peer
from cenoby.app.process import settle_garbage_collector
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.pipeline import Stage
from cenoby.colony.stages.settle import Settle
from cenoby.kernel.settings import RedactionSettings
from cenoby.protection.redact import Redactor

ROUNDS = 3
SECONDS = 3.0
LAST = "budget"
TEXT = 256 * 1024
PLAIN = (
    "The colony keeps one ledger of what its agents say, and every call goes through the same stages. A review of the "
    "third quarter found 4,112 orders (12.5 % more than in 2024), shipped from three warehouses; see page 17 of the "
    "report, section 4.2, or ask the owner of the list. Version 2.11.3 changed the order of the columns. "
)
HIT = "Write to ada.lovelace@example.org about the card 4111 1111 1111 1111. "


def arguments(number: int) -> dict[str, Any]:
    """About 200 bytes, different for every call."""
    words = (
        f"entry {number} of the list: the third shipment has arrived and nobody has looked at it so far, says the log"
    )
    return {"text": words, "topic": f"shipments-{number % 97}", "count": number % 900}


async def decide(stages: list[Stage], invocation: Invocation) -> None:
    """One decision. Raises what a stage raises: here, every call is one that is allowed."""
    for stage in stages:
        outcome = await stage(invocation)
        if outcome is not None:
            raise RuntimeError(f"{stage.name} answered the call: {outcome.error}")
        invocation.marks.append((stage.name, time.perf_counter_ns()))


async def one_round(there: World, stages: list[Stage]) -> dict[str, Any]:
    """Decisions for some seconds: nanoseconds of each, and of each stage."""
    now, settle, clock = time.perf_counter_ns, Settle(there.parts.ports), there.parts.ports.clock
    whole: list[int] = []
    busy: list[int] = []
    settling: list[int] = []
    apart: dict[str, list[int]] = {stage.name: [] for stage in stages}
    end = now() + round(SECONDS * 1e9)
    while now() < end:
        number = len(whole)
        invocation = Invocation(TOOL, arguments(number), random.choice(there.tokens))
        invocation.started_ns = clock.now_ns()
        busy_before, began = time.thread_time_ns(), now()
        invocation.marks.append(("start", began))
        await decide(stages, invocation)
        decided = invocation.marks[-1][1]
        busy.append(time.thread_time_ns() - busy_before)
        whole.append(decided - began)
        for (_, before), (name, after) in zip(invocation.marks, invocation.marks[1:], strict=False):
            apart[name].append(after - before)
        # As after a call that ran and cost what it was thought to.
        invocation.began, invocation.spent, invocation.outcome = True, PRICE, Outcome("ok", value={})
        began = now()
        await settle(invocation)
        settling.append(now() - began)
        # What works ahead in the background gets its turn between two calls.
        await asyncio.sleep(0)
    return {"whole": whole, "busy": busy, "stages": apart, "settle": settling}


def percentile(values: list[int], share: float) -> float:
    """Microseconds; the values are nanoseconds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] / 1e3


async def decisions(folder: Path) -> dict[str, Any]:
    """The figures of deciding."""
    async with world(folder) as there:
        way_in = list(there.parts.pipeline.way_in)
        last = [stage.name for stage in way_in].index(LAST)
        stages = way_in[: last + 1]
        # Every agent has called before: what a colony at work looks like.
        for first in range(0, len(there.tokens), 500):
            tokens = there.tokens[first : first + 500]
            await asyncio.gather(*(decide(stages, Invocation(TOOL, arguments(0), token)) for token in tokens))
        settle_garbage_collector()
        seen = [await one_round(there, stages) for _ in range(ROUNDS)]
        durable = await durable_us(there)
    return {
        "policies": there.policies,
        "agents": len(there.tokens),
        "decisions_per_s": statistics.median(1e9 / statistics.fmean(one["whole"]) for one in seen),
        "decision_p50_us": statistics.median(percentile(one["whole"], 0.5) for one in seen),
        "decision_p99_us": statistics.median(percentile(one["whole"], 0.99) for one in seen),
        "decision_cpu_p99_us": statistics.median(percentile(one["busy"], 0.99) for one in seen),
        "settle_p99_us": statistics.median(percentile(one["settle"], 0.99) for one in seen),
        "refill_ms": durable / 1e3,
        "stages_p50_us": {
            stage.name: round(statistics.median(percentile(one["stages"][stage.name], 0.5) for one in seen), 2)
            for stage in stages
        },
    }


async def durable_us(there: World) -> float:
    """The median of durable writes one after the other: what a refill waits for, microseconds."""
    database, taken = there.parts.database, list[int]()
    for _ in range(200):
        began = time.perf_counter_ns()
        await database.write(
            lambda connection: connection.execute("UPDATE budget_accounts SET day = day WHERE day = -1")
        )
        taken.append(time.perf_counter_ns() - began)
        await asyncio.sleep(0)
    return percentile(taken, 0.5)


def redaction(redactor: Redactor, text: str) -> float:
    """Megabytes (10^6 bytes) of text a second; processor time, which on one core is the time."""
    size, best = len(text.encode()), 0.0
    for _ in range(ROUNDS):
        count, began = 0, time.process_time()
        while (taken := time.process_time() - began) < SECONDS / 3:
            redactor.text(text)
            count += 1
        best = max(best, size * count / taken / 1e6)
    return best


def governed() -> dict[str, float]:
    """Calls through the whole gateway beside the bare SDK, each in a process of its own and in turn."""
    with contextlib.ExitStack() as stack:
        servers = {
            "bare_sdk": (stack.enter_context(peer("sdk_server.py", "9")), "say"),
            "cenoby": (stack.enter_context(cenoby(extra_tools=8)), "mads__echo__say"),
        }
        one, many = rounds(servers, 1), rounds(servers, 32)
    return {
        "governed_ratio": many["cenoby"]["calls_per_s"] / many["bare_sdk"]["calls_per_s"],
        "governed_added_p50_ms": one["cenoby"]["p50_ms"] - one["bare_sdk"]["p50_ms"],
    }


def main(as_json: bool) -> int:
    # The system's temporary directory may be memory; what is measured must be a disk.
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        report = uvloop.run(decisions(Path(name)))
    redactor = Redactor(RedactionSettings())
    plain = (PLAIN * (TEXT // len(PLAIN) + 1))[:TEXT]
    report["redaction_mb_per_s"] = redaction(redactor, plain)
    report["redaction_hits_mb_per_s"] = redaction(redactor, (PLAIN + HIT) * 64)
    report |= governed()
    print(json.dumps(report) if as_json else table(report))
    return 0


def table(report: dict[str, Any]) -> str:
    figures = (
        Figure("decision_p99_us", report["decision_p99_us"], 100, "us"),
        Figure("redaction_mb_per_s", report["redaction_mb_per_s"], 30, "MB/s", at_least=True),
    )
    aimed = {figure.name for figure in figures}
    lines = [str(figure) for figure in figures]
    lines += [f"{name:26}{value:>12.2f}" for name, value in report.items() if name not in aimed | {"stages_p50_us"}]
    lines += [f"  {name:24}{value:>12.2f} us (p50)" for name, value in report["stages_p50_us"].items()]
    return "\n".join(lines)
