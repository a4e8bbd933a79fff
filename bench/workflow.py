"""`./dev bench workflow`: what a durable step costs, with one instance under way and with 32.

Each step changes an instance's state and data, leaves a journal record and an outbox item, and is on disk before the
next begins. Beside it: the same steps when each is followed by a signal that the instance waits for, so that a step is
a signal, a claim and a commit; and a journal record alone, in the same run and on the same disk.

Where CENOBY_STORE names a PostgreSQL, the same on it, in a schema of its own that is dropped at the end.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from bench.journal import appends, postgres_appends, postgres_schema
from cenoby.app.process import settle_garbage_collector
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.ids import new_id
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.journal import Entry, Journal
from cenoby.store.outbox import Item
from cenoby.store.workflow_types import Definitions, Instance, Signal, Step, Workflow
from cenoby.store.workflow_worker import WorkflowWorker
from cenoby.store.workflows import Workflows

ROUNDS = 3
SECONDS = 3.0


async def steps(store: Engine | Path, instances: int, *, parked: bool) -> dict[str, float]:
    """Rate of steps, and the time from the beginning of a step to that of the next one."""
    clock = SystemClock()
    database = await Database.open(store, clock=clock)
    journal = Journal(database, node="bench", clock=clock)
    await journal.start()
    begun: dict[str, float] = {}
    latencies: list[float] = []
    end = time.perf_counter() + SECONDS

    async def handler(instance: Instance) -> Step:
        now = time.perf_counter()
        if instance.id in begun:
            latencies.append(now - begun[instance.id])
        begun[instance.id] = now
        if parked:
            await workflows.signal(instance.id, Signal(new_id(), "go"))
        return Step(
            state="done" if now > end else "go",
            data={"step": instance.step},
            wait=("go",) if parked and now <= end else (),
            events=(Entry("event", "default", "bench", instance.id, code="stepped", payload={"step": instance.step}),),
            put=(Item(new_id(), "default", "work", b"x" * 150),),
        )

    workflows = Workflows(database, clock, Definitions(Workflow("bench", 1, "go", {"go": handler})))
    worker = WorkflowWorker(workflows, journal, concurrency=instances)
    for number in range(instances):
        await workflows.start("bench", str(number), {})
    await worker.run_due()
    done = await workflows.find(status="done")
    verified = await journal.verify()
    if len(done) != instances or not verified.ok or verified.records != sum(one.step for one in done):
        raise RuntimeError(f"the store does not hold the steps that were made: {verified}")
    await database.close()
    ordered = sorted(latencies)
    return {
        "steps_per_s": len(ordered) / SECONDS,
        "p10_ms": ordered[len(ordered) // 10] * 1000,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
    }


def measured(url: str, folder: Path, instances: int, *, parked: bool) -> dict[str, float]:
    """One round on the PostgreSQL at `url`, or on SQLite where that is empty."""
    if not url:
        return uvloop.run(steps(folder / f"{new_id()}.db", instances, parked=parked))
    with postgres_schema(url) as own:
        return uvloop.run(steps(engine_for(own, Path()), instances, parked=parked))


def main(as_json: bool) -> int:
    settle_garbage_collector()
    url = os.environ.get("CENOBY_STORE", "")
    report: dict[str, float] = {}
    # The system's temporary directory may be memory; what is measured must be a disk.
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        for store, place in {"sqlite": "", "postgres": url if url.startswith("postgres") else None}.items():
            if place is None:
                continue
            alone = [
                postgres_appends(place, 1) if place else uvloop.run(appends(Path(name) / f"{new_id()}.db", 1))
                for _ in range(ROUNDS)
            ]
            report[f"{store}_record_p50_ms"] = statistics.median(one["p50_ms"] for one in alone)
            for what, instances, parked in (("one", 1, False), ("many", 32, False), ("signalled", 1, True)):
                rounds = [measured(place, Path(name), instances, parked=parked) for _ in range(ROUNDS)]
                for key in rounds[0]:
                    report[f"{store}_{what}_{key}"] = statistics.median(one[key] for one in rounds)
    print(json.dumps(report) if as_json else "\n".join(f"{name:32}{value:.2f}" for name, value in report.items()))
    return 0
