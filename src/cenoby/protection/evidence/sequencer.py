"""The sequencer: merges the node chains into the one log, in batches, off the path of calls.

Whoever holds the lease may; each batch is written with the lease's token and the log's size compared in its own
transaction, so that a record comes in once, and none is left out, whoever crashed or was late at whatever point. What
is kept in memory is read anew whenever a write did not certainly happen.
"""

from __future__ import annotations

import asyncio

from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.ids import new_id
from cenoby.protection.evidence import sql
from cenoby.protection.evidence.merkle import Growth
from cenoby.protection.evidence.sql import Run
from cenoby.store.database import Database, StoreRefused
from cenoby.store.engine import Connection
from cenoby.store.leases import Lease, Leases

LEASE = "evidence"
_LEASE_NS = 10 * 1_000_000_000
BATCH = 512
"""Records of one step: about a millisecond in which a reading thread takes the interpreter for itself."""


class _Held:
    """What the holder of the lease knows of the log."""

    def __init__(self, lease: Lease, connection: Connection) -> None:
        found = sql.read_log(connection)
        assert found is not None, "the log is made at start"
        self.lease = lease
        self.size = found.size
        self.growth = Growth(found.size, sql.tile_reader(connection))
        self.ends = sql.read_ends(connection)

    def sequence(self, connection: Connection) -> list[Run]:
        """Take the next records in; which runs that made or made longer."""
        done = {node: run.first_seq + run.leaves - 1 for node, run in self.ends.items()}
        runs: dict[int, Run] = {}
        for node, first_seq, leaves in sql.next_records(connection, self.size, done, BATCH):
            self.growth.add(leaves)
            end = self.ends.get(node)
            if end is not None and end.first + end.leaves == self.size:
                run = end._replace(leaves=end.leaves + len(leaves))
            else:
                run = Run(self.size, node, first_seq, len(leaves))
            runs[run.first] = self.ends[node] = run
            self.size += len(leaves)
        return list(runs.values())


class Sequencer:
    """Continues the log of a colony.

    Args:
        database: where journal and log are.
        clock: of this process.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._leases = Leases(database, clock)
        self._owner = new_id()
        self._held: _Held | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def holds(self) -> bool:
        """Whether it is this process that sequences, as far as it knows."""
        return self._held is not None

    @property
    def size(self) -> int:
        """Leaves of the log, where this process sequences; else 0."""
        return self._held.size if self._held else 0

    async def catch_up(self) -> int:
        """Take in all records that are there; how many that were. None where another process sequences.

        Raises:
            EvidenceFailed: log_gap, log_inconsistent.
            StoreUnavailable, StoreRefused: what was begun is done again by whoever comes next.
        """
        async with self._one_at_a_time:
            count = 0
            while taken := await self._step():
                count += taken
            return count

    async def close(self) -> None:
        """Let others sequence at once.

        Raises:
            StoreUnavailable: they can when the lease has run out.
        """
        async with self._one_at_a_time:
            held, self._held = self._held, None
            if held is not None:
                await self._leases.release(held.lease)

    async def _step(self) -> int:
        held = self._held or await self._take()
        if held is None:
            return 0
        before = held.size
        try:
            runs = await self._database.read(held.sequence)
            if not runs:
                return 0
            if not held.lease.is_live(self._clock):
                held.lease = await self._leases.renew(held.lease)
            after, tiles = held.size, held.growth.take_changed()
            if not await self._leases.write(
                held.lease,
                lambda connection: sql.grow(connection, before, after, tiles, runs),
                size=sum(len(hashes) for _, _, hashes in tiles) + 512,
            ):
                self._held = None
                return 0
        except StoreRefused as error:
            self._held = None
            if error.code != "lease_lost":
                raise
            return 0
        except (CenobyError, asyncio.CancelledError):
            # It may have been written or not: what is in memory is worth nothing any more.
            self._held = None
            raise
        return after - before

    async def _take(self) -> _Held | None:
        lease = await self._leases.acquire(LEASE, self._owner, _LEASE_NS)
        if lease is None:
            return None
        self._held = await self._database.read(lambda connection: _Held(lease, connection))
        return self._held
