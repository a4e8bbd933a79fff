"""Money and a process that dies without warning."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cenoby.access.budgets.ledger import Ledger
from cenoby.access.limits import LimitExceeded
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings import BudgetSettings
from cenoby.store.database import Database

LIMIT, STEP = 1_000_000, 10
SPENDER = """
import asyncio, sys
from pathlib import Path
from cenoby.access.budgets.ledger import Ledger
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings import BudgetSettings
from cenoby.store.database import Database

async def spend(ledger):
    while True:
        reservation = await ledger.reserve("ada", "default", 10)
        print("reserved", flush=True)
        await ledger.settle(reservation, 4)
        print("settled", flush=True)

async def main():
    database = await Database.open(Path(sys.argv[1]), clock=ManualClock())
    ledger = Ledger(database, BudgetSettings(usd_per_day=1.0), ManualClock())
    await asyncio.gather(*(spend(ledger) for _ in range(8)))

asyncio.run(main())
"""


def spend_until_killed(file: Path) -> tuple[int, int]:
    """How many reservations and settlements a spending process was told of before kill -9."""
    spender = subprocess.Popen([sys.executable, "-c", SPENDER, str(file)], stdout=subprocess.PIPE, text=True)
    assert spender.stdout is not None
    told = [spender.stdout.readline() for _ in range(300)]
    spender.send_signal(signal.SIGKILL)
    told += spender.stdout.read().splitlines(keepends=True)
    spender.stdout.close()
    assert spender.wait() == -signal.SIGKILL
    return told.count("reserved\n"), told.count("settled\n")


async def test_a_killed_process_loses_no_money(fresh_file: Callable[[], Path]) -> None:
    """After kill -9 amid reservations and settlements: everything acknowledged is counted, what was not settled counts
    as spent, and the rest of the budget, and not more, can still be had."""
    file = fresh_file()
    reserved, settled = await asyncio.to_thread(spend_until_killed, file)
    database = await Database.open(file, clock=ManualClock())
    ledger = Ledger(database, BudgetSettings(usd_per_day=1.0), ManualClock())
    (found,) = await ledger.usage("default", agent="ada")
    # Up to 8 callers were under way, each with one step done and not yet told.
    assert settled <= found.spent // 4 <= settled + 8
    assert 0 <= found.held // STEP <= 8
    assert reserved <= found.held // STEP + found.spent // 4 <= reserved + 8
    await ledger.reserve("ada", "default", LIMIT - found.held - found.spent)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("ada", "default", 1)
    await database.close()
