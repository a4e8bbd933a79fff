"""Rates and quotas of a colony whose processes share one store: each grants from memory what it holds on lease.

A quota is given out in blocks. A process asks for the next one when half of the last is used, gives back what lies
idle, and returns the rest when it stops. What a process held when it died stays counted as used: nobody can say how
much of it was, and no quota is ever exceeded.

A rate is divided: each of n living processes grants one n-th of rate and burst (of a burst at least one call). Who is
to have less first grants less and then says so; who is to have more gets only what was given up, and begins without
what others may have used of it. So in any t seconds no more than rate · t + burst get through in all, also while
processes come and go. A share ends with its lease: who hears nothing from the store refuses everything before the
store passes the share on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from fractions import Fraction
from functools import partial
from typing import Any

from cenoby.access import quota_sql
from cenoby.access.limits import ALL, LimitExceeded, Meter, RateLimits, limited_names
from cenoby.access.quota_sql import WHOLE, Part, Standing
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import LimitSettings
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.store.journal_counts import CallCount
from cenoby.telemetry.logs import get_logger

_log = get_logger("access.quota")
_RENEWALS = 4
"""How often a lease is renewed within its time."""
_IDLE_RENEWALS = 8
"""For how many renewals a block may lie unused before it is given back."""
_JOIN_SECONDS = 0.25
"""How long between the looks of who begins whether others have given up a share."""
_RETRY_SECONDS = 0.25
"""How soon a renewal that failed is tried again: once the lease ran out, nothing is granted before it."""
_MARGIN = 0.9
"""Of a lease is used, because clocks of two machines do not run equally fast."""
_PATIENCE_SECONDS = 2.0
"""How long a call waits for the next block."""
_ASK_AGAIN_NS = 1_000_000_000
"""After a quota was found used up, how long until the store is asked whether another process gave something back."""


class _Block:
    """What this process was given of one quota today.

    Attributes:
        end: calls that it was given so far.
        coming: done with whether the store answered, while it is asked for more.
        nothing_until_ns: until when nothing is left for sure enough, monotonic.
        seen, idle: calls at the last renewal, and for how many renewals there was none.
    """

    __slots__ = ("coming", "end", "idle", "nothing_until_ns", "seen")

    def __init__(self) -> None:
        self.end = self.seen = self.idle = self.nothing_until_ns = 0
        self.coming: asyncio.Future[bool] | None = None


class SharedLimits(RateLimits):
    """All meters of one of several processes; `start` before the first call, `stop` after the last.

    Args:
        settings: as for `RateLimits`; the same in all processes.
        clock: as for `RateLimits`; the store's own clock says when a share passes on.
        database: the shared store, PostgreSQL.
        node: who we are there.
    """

    def __init__(self, settings: LimitSettings, clock: Clock, database: Database, node: str) -> None:
        super().__init__(settings, clock)
        self._database = database
        self._node = node
        self._using = 0
        self._until_ns = self._look_again_ns = self._now()
        self._blocks: dict[Meter, _Block] = {}
        self._wanted: dict[Meter, _Block] = {}
        self._asked = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        # What an agent that was not seen here yet would have saved up.
        self._unseen = {
            name: super(SharedLimits, self)._make_meter("", name) for name in (ALL, *limited_names(settings))
        }

    async def start(self, counts: Iterable[CallCount]) -> None:
        """Join those that grant these limits; returns when there is a share, at most a lease later.

        Args:
            counts: calls of this UTC day in the journal. They count for quotas of which nothing was given out today, as
                on the day when a colony begins to share them.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        used = Counter[tuple[str, str]]()
        for count in counts:
            used[count.agent, ALL] += count.calls
            for key in self._names(count.agent, count.mad, count.tool, count.tenant):
                used[key] += count.calls
        parts, day = [Part(*key, calls) for key, calls in used.items()], self._day
        await self._database.write(lambda connection: quota_sql.count_used(connection, day, parts))
        await self.renew()
        while not self._using:
            await asyncio.sleep(_JOIN_SECONDS)
            await self.renew()
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._refill())]

    async def stop(self) -> None:
        """Grant nothing more, and return what was not used. Where the store does not answer, it stays used."""
        if not self._tasks:
            return
        self._until_ns = self._look_again_ns = 0
        keeper, refiller = self._tasks
        keeper.cancel()
        self._stopping = True
        self._asked.set()
        await asyncio.wait([keeper, refiller])
        unused, day, node = self._take_back(idle=0), self._day, self._node

        def work(connection: Connection) -> None:
            quota_sql.give_back(connection, day, unused)
            quota_sql.leave(connection, node)

        try:
            await self._database.write(work)
        except CenobyError as error:
            _log.warning("limits_not_returned", reason=str(error), blocks=len(unused))

    async def renew(self) -> None:
        """Prolong the lease, take over the share that is now ours, and give back what lies idle.

        Raises:
            StoreUnavailable: the lease runs on as it was.
        """
        unused = self._take_back(idle=_IDLE_RENEWALS)
        while True:
            asked_ns, using, day = self._now(), self._using, self._day
            standing = await self._database.write(partial(self._renewal, using=using, day=day, unused=unused))
            self._stand(standing, asked_ns)
            if standing.share <= standing.fair:
                return
            # What is to be given up is no longer used: now it can be.
            unused = []

    def _renewal(self, connection: Connection, using: int, day: int, unused: list[Part]) -> Standing:
        quota_sql.give_back(connection, day, unused)
        return quota_sql.renew_share(connection, self._node, using, self._settings.lease_seconds)

    def _stand(self, standing: Standing, asked_ns: int) -> None:
        held, before = min(standing.share, standing.fair), self._using
        first_alone = not self._tasks and not standing.others
        self._using = held
        if not held:
            return
        if (held != before or not standing.kept) and not first_alone:
            share, now, keep = Fraction(held, WHOLE), self._now(), standing.kept and before > 0
            for meters in (self._unseen, self._agents, *self._inside.values()):
                for meter in meters.values():
                    meter.divide(share, now, keep=keep)
            _log.info("limits_divided", share=float(share), others=standing.others)
        self._until_ns = asked_ns + round(self._settings.lease_seconds * _MARGIN * 1e9)
        self._look_again_ns = min(self._look_again_ns, self._until_ns)

    def _make_meter(self, agent: str, namespace: str) -> Meter:
        meter, unseen = super()._make_meter(agent, namespace), self._unseen[namespace]
        meter.interval_ns, meter.window_ns, meter.due_ns = unseen.interval_ns, unseen.window_ns, unseen.due_ns
        meter.enough = 0
        return meter

    def _look_again(self, now: int) -> None:
        if now >= self._until_ns:
            raise LimitExceeded(
                "share_expired",
                "This process has not heard from the shared store for limits.lease_seconds, so it grants nothing until "
                "it does; try again.",
                retry_after=self._settings.lease_seconds / _RENEWALS,
            )
        super()._look_again(now)
        self._look_again_ns = min(self._look_again_ns, self._until_ns)

    def _turn_day(self, now: int) -> None:
        super()._turn_day(now)
        # Blocks are of one day.
        self._blocks.clear()
        for meters in (self._agents, *self._inside.values()):
            for meter in meters.values():
                meter.enough = 0

    def _used_up(self, meter: Meter, now: int) -> Coroutine[Any, Any, None] | None:
        block = self._blocks.get(meter)
        if block is None:
            block = self._blocks[meter] = _Block()
        if meter.used < block.end:
            meter.enough = block.end
            self._ask(meter, block)
            return None
        if now < block.nothing_until_ns:
            return super()._used_up(meter, now)
        return self._wait(self._ask(meter, block))

    def _ask(self, meter: Meter, block: _Block) -> asyncio.Future[bool]:
        if block.coming is None:
            block.coming = asyncio.get_running_loop().create_future()
            self._wanted[meter] = block
            self._asked.set()
        return block.coming

    async def _wait(self, coming: asyncio.Future[bool]) -> None:
        done, _ = await asyncio.wait([coming], timeout=_PATIENCE_SECONDS)
        if not done or not coming.result():
            raise LimitExceeded("quota_pending", LimitExceeded.codes["quota_pending"], retry_after=1.0)

    async def _refill(self) -> None:
        while not self._stopping:
            await self._asked.wait()
            self._asked.clear()
            wanted, self._wanted = self._wanted, {}
            quotas, day = [Part(meter.agent, meter.namespace, meter.quota) for meter in wanted], self._day
            blocks: list[int] | None = None
            try:
                blocks = await self._database.write(partial(quota_sql.give_out, day=day, quotas=quotas))
            except Exception as error:  # noqa: BLE001 - whoever waits is refused, and the next call asks again
                _log.warning("quota_not_given", reason=str(error))
            for (meter, block), calls in zip(wanted.items(), blocks or [0] * len(wanted), strict=True):
                if blocks is not None and day == self._day:
                    self._given(meter, block, calls)
                coming, block.coming = block.coming, None
                if coming is not None:
                    coming.set_result(blocks is not None)

    def _given(self, meter: Meter, block: _Block, calls: int) -> None:
        block.end += calls
        block.idle = 0
        meter.enough = block.end - calls // 2
        if not calls:
            block.nothing_until_ns = self._now() + _ASK_AGAIN_NS

    def _take_back(self, *, idle: int) -> list[Part]:
        """What is left of blocks that were not used for so many renewals; it can be used no more."""
        parts = list[Part]()
        for meter, block in self._blocks.items():
            block.idle = 0 if meter.used != block.seen else block.idle + 1
            block.seen = meter.used
            if block.idle >= idle and block.end > meter.used:
                parts.append(Part(meter.agent, meter.namespace, block.end - meter.used))
                block.end = meter.enough = meter.used
        return parts

    async def _keep(self) -> None:
        usual = pause = self._settings.lease_seconds / _RENEWALS
        while True:
            await asyncio.sleep(pause)
            try:
                await self.renew()
                pause = usual
            except Exception as error:  # noqa: BLE001 - a later try may work, and until then the lease runs out
                _log.warning("limits_not_renewed", reason=str(error))
                pause = min(usual, _RETRY_SECONDS)
