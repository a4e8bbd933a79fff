"""A process that takes on workflows, and may be told to die at a point: `python workflow_process.py WAY URL LOG HOURS`.

`killed` dies with SIGKILL at the first point that no process before it has died at (LOG names those), and ends with 0
once its one machine is done, with 3 once it is parked. `racing` takes on all there is until all is done, and logs
each run of a handler. Its clock is HOURS ahead of the machine's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from cenoby.kernel.clock import SystemClock
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.store.journal import Entry, Journal
from cenoby.store.outbox import Item
from cenoby.store.workflow_types import Definitions, Instance, Step, Workflow
from cenoby.store.workflow_worker import WorkflowWorker
from cenoby.store.workflows import Workflows

PARKED = 3
STEPS = ("reserve", "ask", "charge", "rest")
"""`ask` waits for a signal, `charge` for a timer."""
RACING_STEPS = 10
POINTS = ("claimed", "handler", "decided", "writing", "committed")


class LateClock(SystemClock):
    """The machine's clock, some hours ahead."""

    def __init__(self, hours: float) -> None:
        self._ahead_ns = round(hours * 3600e9)

    def now_ns(self) -> int:
        return super().now_ns() + self._ahead_ns


def mark(connection: Connection, name: str) -> None:
    """Write a row that can be there once only."""
    connection.execute(
        "INSERT INTO flags (tenant, name, percentage, agents, reason, set_by, set_ns)"
        " VALUES ('t', ?, 1, '', '', '', 0)",
        (name,),
    )


class Death:
    """Kills this process at each point once, over all its lives.

    Args:
        log: the points at which a process died.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._met = set(log.read_text().split()) if log.exists() else set[str]()

    def at(self, point: str, step: int) -> None:
        name = f"{point}:{step}"
        if name not in self._met:
            with self._log.open("a") as file:
                file.write(f"{name}\n")
            os.kill(os.getpid(), signal.SIGKILL)


def killed(death: Death, clock: LateClock) -> Workflow:
    """Four steps with an effect of each kind."""

    async def handler(instance: Instance) -> Step:
        step = instance.step
        death.at("handler", step)

        def write(connection: Connection) -> None:
            mark(connection, f"step-{step}")
            death.at("writing", step)

        wait, wake_ns = (), None
        if instance.state == "ask":
            wait = ("go",)
        elif instance.state == "charge":
            wake_ns = clock.now_ns() + 60_000_000_000
        decided = Step(
            state=(*STEPS, "done")[step + 1],
            data=[*instance.data, instance.signal.payload if instance.signal else instance.state],
            wait=wait,
            wake_ns=wake_ns,
            events=(Entry("event", "t", "ada", instance.id, code=f"step_{step}"),),
            put=(Item(f"item-{step}", "t", "work", b"body"),),
            write=write,
        )
        death.at("decided", step)
        return decided

    return Workflow("killed", 1, STEPS[0], dict.fromkeys(STEPS, handler))


def racing(log: Path, clock: LateClock) -> Workflow:
    """Steps with a pause between them, in which anybody may take the row; nobody runs them all before another began."""
    own = 0

    async def handler(instance: Instance) -> Step:
        nonlocal own
        own += 1
        while own > RACING_STEPS and not others(log):  # noqa: ASYNC110 - the other is a process, which sets no event
            await asyncio.sleep(0.01)
        with log.open("a") as file:
            file.write(f"{os.getpid()} {instance.id} {instance.step}\n")
        if instance.step == RACING_STEPS:
            return Step(state="done", data=instance.data)
        name = f"{instance.id}-{instance.step}"
        return Step(
            state="go",
            data=instance.data + 1,
            wake_ns=clock.now_ns() + 1_000_000,
            put=(Item(name, "t", "work", b"body"),),
            write=lambda connection: mark(connection, name),
        )

    return Workflow("racing", 1, "go", {"go": handler})


def others(log: Path) -> bool:
    """Whether another process has run a step."""
    return any(int(line.split()[0]) != os.getpid() for line in log.read_text().splitlines())


async def run(way: str, url: str, log: Path, hours: float) -> int:
    clock = LateClock(hours)
    death = Death(log)
    database = await Database.open(engine_for(url, Path()), clock=clock)
    journal = Journal(database, node="n1", clock=clock)
    workflow = killed(death, clock) if way == "killed" else racing(log, clock)
    workflows = Workflows(database, clock, Definitions(workflow))
    worker: Any = WorkflowWorker(workflows, journal, concurrency=2)
    if way == "killed":
        die_around(worker, journal, death)
    print("ready", flush=True)
    while await workflows.find(status="open"):
        if not await worker.run_due() and way == "killed":
            await database.close()
            return PARKED
        await asyncio.sleep(0.001)
    await database.close()
    return 0


def die_around(worker: Any, journal: Any, death: Death) -> None:
    """Die also right after a claim, and right after a step is on disk."""
    claim, write = worker._claim, journal.write

    async def claim_and_die(most: int) -> list[Instance]:
        claimed: list[Instance] = await claim(most)
        for one in claimed:
            death.at("claimed", one.step)
        return claimed

    async def write_and_die(work: Any, *entries: Entry) -> Any:
        result = await write(work, *entries)
        death.at("committed", int(entries[0].code.removeprefix("step_")))
        return result

    worker._claim, journal.write = claim_and_die, write_and_die


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))))
