"""`./dev faults [--json] [--only NAME] [--seed NUMBER]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from faults.outcome import HEADER, Outcome
from faults.postgres import private_postgres
from faults.process_cases import broker_restart, child_kill, clock_jump, network_cut, node_kill, split_and_merge
from faults.rule_cases import call_kill, parked
from faults.slow_consumer import slow_consumer
from faults.stage import Room
from faults.store_cases import database_restart, full_disk
from faults.two_gateways import two_gateways

SEED = 20261121
CASE_SECONDS = 90.0
CASES: dict[str, Callable[[Room], Awaitable[Outcome]]] = {
    "broker-nats": partial(broker_restart, kind="nats"),
    "broker-redis": partial(broker_restart, kind="redis"),
    "node-kill-nats": partial(node_kill, kind="nats"),
    "node-kill-redis": partial(node_kill, kind="redis"),
    "child-kill": child_kill,
    "cut-nats": partial(network_cut, kind="nats"),
    "cut-redis": partial(network_cut, kind="redis"),
    "slow-memory": partial(slow_consumer, kind="memory"),
    "slow-nats": partial(slow_consumer, kind="nats"),
    "slow-redis": partial(slow_consumer, kind="redis"),
    "clock-jump": clock_jump,
    "full-disk": full_disk,
    "database-restart": database_restart,
    "split-merge": split_and_merge,
    "call-kill": call_kill,
    "parked": parked,
    "two-gateways": two_gateways,
}


async def play(name: str, room: Room) -> Outcome:
    """One case, within its time; what breaks the case itself is its problem."""
    try:
        async with asyncio.timeout(CASE_SECONDS):
            return await CASES[name](room)
    except TimeoutError:
        return Outcome(problem=f"it was not over after {CASE_SECONDS:g} s")
    except pytest.skip.Exception as missing:
        return Outcome(problem=f"not played: {missing}")
    except Exception as error:  # noqa: BLE001 - one broken case must not hide the others
        return Outcome(problem=f"{type(error).__name__}: {error}")


def play_all(names: list[str], seed: int, *, aloud: bool) -> dict[str, Outcome]:
    """The cases one after the other, each in a folder of its own; `aloud` prints a line for each."""
    played: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o711)  # PostgreSQL's own user must get to its folder
        with private_postgres(folder / "postgres") as postgres:
            if aloud:
                print(HEADER, flush=True)
            for name in names:
                (folder / name).mkdir()
                room = Room(folder / name, postgres, random.Random(f"{seed} {name}"))
                played[name] = asyncio.run(play(name, room))
                if aloud:
                    print(played[name].line(name), flush=True)
    return played


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev faults", description="A colony under load, one fault after the other.")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--only", choices=CASES, action="append", help="play this case; may be given again")
    parser.add_argument("--seed", type=int, default=SEED, help="decides when a fault comes")
    options = parser.parse_args(arguments)
    try:
        played = play_all(options.only or list(CASES), options.seed, aloud=not options.json)
    except pytest.skip.Exception as missing:
        print(f"faults: {missing}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"cases": [outcome.to_json(case) for case, outcome in played.items()]}))
    return 0 if all(outcome.holds for outcome in played.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
