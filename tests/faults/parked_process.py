"""A process that takes on parked calls and dies with SIGKILL at a point.

`python parked_process.py URL LOG POINT HOURS`. What it does to the world is a line in LOG. Its clock is HOURS ahead, so
that the leases of those who died are over. It ends with 0 once nothing is due any more.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "access"))

from parked_house import Node
from workflow_process import LateClock

from cenoby.access.actions import RiskTier
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.journal import Journal


class Mortal(Node):
    """A node whose deaths are real, and whose effects outlast it."""

    log: Path

    async def act_on_the_world(self, approval: str, digest: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{approval} {digest}\n")

    def _die(self, point: str) -> None:
        if point == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, log: Path, point: str, hours: float) -> None:
    """Take on what is due."""
    clock = LateClock(hours)
    database = await Database.open(engine_for(url, Path()), clock=clock)
    journal = Journal(database, node=f"late-{hours}", clock=clock)
    await journal.start()
    node = Mortal(journal, database, clock, ApprovalSettings(), RiskTier.HIGH)  # type: ignore[arg-type]
    node.log = log
    node.dies_at = point
    await node.approvals.flow.worker(node.run).run_due()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
