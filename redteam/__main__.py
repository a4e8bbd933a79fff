"""`./dev redteam [--json] [--only NAME] [--seconds SECONDS | --whole] [--seed NUMBER]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
from pathlib import Path

from redteam.report import HEADER, Report, Room
from redteam.suites import SUITES, load

SEED = 20261121
SECONDS = 240.0
_GRACE = 30.0


async def play(name: str, room: Room) -> Report:
    """One suite, within its time; what breaks the suite itself is its problem."""
    try:
        async with asyncio.timeout(room.seconds + _GRACE if math.isfinite(room.seconds) else None):
            return await load(name)(room)
    except TimeoutError:
        return Report(problem=f"it was not over after {room.seconds + _GRACE:g} s")
    except Exception as error:  # noqa: BLE001 - one broken suite must not hide the others
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        return Report(problem=f"{type(error).__name__}: {error}")


def play_all(names: list[str], seconds: float, seed: int, *, aloud: bool) -> dict[str, Report]:
    """The suites one after the other, each in a folder of its own; `aloud` prints the lines of each."""
    played: dict[str, Report] = {}
    with tempfile.TemporaryDirectory() as place:
        if aloud:
            print(HEADER, flush=True)
        for name in names:
            (folder := Path(place) / name).mkdir()
            played[name] = asyncio.run(play(name, Room(folder, seconds, random.Random(f"{seed} {name}"))))
            if aloud:
                print(played[name].lines(name), flush=True)
    return played


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev redteam", description="Attacks on a running colony: tried, stopped.")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--only", choices=SUITES, action="append", help="play this suite; may be given again")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=SECONDS, help="most seconds for one suite")
    length.add_argument(
        "--whole", action="store_const", dest="seconds", const=math.inf, help="all there is, however long"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="decides what is drawn by chance")
    options = parser.parse_args(arguments)
    played = play_all(options.only or list(SUITES), options.seconds, options.seed, aloud=not options.json)
    if options.json:
        print(json.dumps(_summary(played)))
    return 0 if all(report.holds for report in played.values()) else 1


def _summary(played: dict[str, Report]) -> dict[str, object]:
    figures: dict[str, object] = {}
    for report in played.values():
        figures |= report.figures
    totals = {
        "tried": sum(report.tried for report in played.values()),
        "stopped": sum(report.stopped for report in played.values()),
    }
    return totals | figures | {"suites": [report.to_json(name) for name, report in played.items()]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
