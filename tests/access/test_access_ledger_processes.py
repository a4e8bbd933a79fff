"""One budget, and several processes that spend it at the same time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from cenoby.access.budgets.ledger import Ledger
from cenoby.access.sql import Usage
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import BudgetSettings
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from tests.stores import Postgres

LIMIT = 2_000
SPENDER = """
import asyncio, random, sys
from pathlib import Path
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.limits import LimitExceeded
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import BudgetSettings
from cenoby.store.connect import engine_for
from cenoby.store.database import Database

async def main(url, seed):
    chance, clock = random.Random(seed), SystemClock()
    database = await Database.open(engine_for(url, Path()), clock=clock)
    ledger, counted = Ledger(database, BudgetSettings(usd_per_day=0.002), clock), 0
    print("ready", flush=True)
    sys.stdin.readline()
    async def spend():
        nonlocal counted
        while True:
            amount = chance.randrange(1, 60)
            try:
                reservation = await ledger.reserve("ada", "default", amount)
            except LimitExceeded:
                if amount == 1:
                    return
                continue
            if chance.random() < 0.1:
                counted += amount
                continue
            spent = chance.randrange(amount + 1)
            await ledger.settle(reservation, spent)
            counted += spent
    await asyncio.gather(*(spend() for _ in range(4)))
    await database.close()
    print(counted)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def used(url: str) -> list[Usage]:
    database = await Database.open(engine_for(url, Path()), clock=SystemClock())
    usage = await Ledger(database, BudgetSettings(usd_per_day=0.002), SystemClock()).usage("default", days=2)
    await database.close()
    return usage


def test_processes_never_spend_one_micro_dollar_too_much(postgres: Postgres) -> None:
    """Two processes reserve and settle until nothing is left: what they count is what the store counts, the limit to
    the last micro-dollar and not one above it; reservations that were never settled are part of it."""
    url = postgres.new_url()
    # Opening it makes the tables.
    assert asyncio.run(used(url)) == []
    command = [sys.executable, "-c", SPENDER, url]
    spenders = [
        subprocess.Popen([*command, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for seed in range(2)
    ]
    for spender in spenders:
        assert spender.stdout is not None
        assert spender.stdout.readline() == "ready\n"
    for spender in spenders:
        assert spender.stdin is not None
        spender.stdin.write("go\n")
        spender.stdin.flush()
    counted = [int(spender.communicate(timeout=300)[0]) for spender in spenders]
    usage = asyncio.run(used(url))
    assert all(counted)
    assert sum(use.held + use.spent for use in usage) == sum(counted) == LIMIT * len(usage)
