"""The watchdog: a MAD that blocks the loop, or whose memory passes its limit, is made anew.

The resident memory of a process is nobody's by itself. So a MAD may say how much it holds (`Mad.memory_bytes`), and who
answers for a process that passed its limit is settled: the MAD that reports the most, by name where two report the
same; where none reports, the only MAD of the process; else nobody, and an event tells the operator.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cenoby.colony.along import Along
from cenoby.colony.events import MemoryLimitPassed
from cenoby.colony.host import Host
from cenoby.colony.loop_watch import Block, Lag, LoopWatch
from cenoby.colony.supervisor import Supervisor
from cenoby.kernel.clock import Clock
from cenoby.kernel.events import Event
from cenoby.kernel.settings import SupervisionSettings
from cenoby.telemetry.logs import get_logger
from cenoby.telemetry.metrics import Metrics

_log = get_logger("colony.watchdog")
_LOOK_SECONDS = 1.0
_MIB = 1024 * 1024
_FURTHER = 1.1
"""A process that stays over its limit is left alone until it has grown by another tenth."""
_STATM = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system has no /proc."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except FileNotFoundError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


class Watchdog:
    """Watches the loop and the memory of a node, and has MADs restarted that pass their limits.

    Args:
        settings: the limits.
        host: the MADs.
        supervisor: restarts them, within the intensity that it allows.
        metrics: where lateness and memory are shown.
        clock: the time.
        note: journals an event.
        resident: the resident memory of the process in bytes.
    """

    def __init__(
        self,
        settings: SupervisionSettings,
        host: Host,
        supervisor: Supervisor,
        metrics: Metrics,
        clock: Clock,
        note: Callable[[Event], None],
        *,
        resident: Callable[[], int | None] = resident_bytes,
    ) -> None:
        self._settings = settings
        self._host = host
        self._supervisor = supervisor
        self._metrics = metrics
        self._note = note
        self._resident = resident
        self._loop_watch = LoopWatch(
            clock,
            settings.longest_block,
            mad_of=self._mad_of,
            accusable=supervisor.serves,
            blocked=self._blocked,
        )
        self._reports: dict[str, int] = {}
        self._line = 0.0
        self._to_collect = ""
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch; called on the loop that is watched."""
        self._metrics.watch(
            "loop_lag_seconds", "Lateness of the event loop, the worst of the last minute.", self._worst
        )
        self._loop_watch.start()
        settings = self._settings
        if settings.max_memory_mb is None and settings.max_mad_memory_mb is None:
            return
        if settings.max_memory_mb is not None and self._resident() is None:
            _log.warning("memory_not_measured", setting="supervision.max_memory_mb", reason="there is no /proc here")
        self._metrics.watch("mad_memory_bytes", "What a MAD says it holds.", lambda: self._reports, label="mad")
        self._looking = asyncio.create_task(self._look_after_memory(), name="watchdog")

    async def stop(self) -> None:
        """Watch no more."""
        await self._loop_watch.stop()
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    def lag(self) -> Lag:
        """How late the event loop is."""
        return self._loop_watch.lag()

    def look_at_memory(self) -> None:
        """Compare once what is held with what may be."""
        self._collect()
        self._reports = self._ask()
        most = self._settings.max_mad_memory_mb
        for name, size in self._reports.items():
            if most is not None and size > most * _MIB:
                self._breach(name, f"its memory, {_mib(size)} as it says, passed max_mad_memory_mb ({most})")
        limit, resident = self._settings.max_memory_mb, self._resident()
        if limit is not None and resident is not None:
            self._judge(resident, limit)

    def _judge(self, resident: int, limit: int) -> None:
        if resident <= limit * _MIB:
            self._line = 0.0
            return
        if resident <= self._line:
            return
        self._line = resident * _FURTHER
        name = self._holder()
        if name is None:
            self._note(MemoryLimitPassed(resident_bytes=resident, limit_mb=limit))
            return
        held = f", {_mib(self._reports[name])} of it by this MAD as it says" if name in self._reports else ""
        self._breach(name, f"the memory of its process, {_mib(resident)}{held}, passed max_memory_mb ({limit})")

    def _holder(self) -> str | None:
        if self._reports:
            return max(sorted(self._reports), key=self._reports.__getitem__)
        names = list(self._host.mad_names)
        return names[0] if len(names) == 1 else None

    def _breach(self, name: str, reason: str) -> None:
        if self._supervisor.breach(name, reason):
            self._to_collect = name

    def _collect(self) -> None:
        # What lives since the start is frozen (app/process.py): of a MAD that is gone, cycles would stay for good.
        if self._to_collect and self._supervisor.serves(self._to_collect):
            self._to_collect = ""
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _ask(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for mad in self._host.mads:
            try:
                size = mad.memory_bytes()
            except Exception as error:  # noqa: BLE001 - the border to a MAD's code
                self._breach(mad.name, f"it cannot say what it holds: {type(error).__name__}: {error}")
                continue
            if size is not None:
                found[mad.name] = size
        return found

    async def _look_after_memory(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look_at_memory()

    def _blocked(self, block: Block) -> None:
        self._metrics.event("loop_blocked", mad=block.mad or "none")
        if block.mad:
            self._supervisor.breach(block.mad, f"blocked the loop for {block.seconds:.1f} s in {block.place}")

    def _mad_of(self, along: Along) -> str:
        return next((mad.name for mad in list(self._host.mads) if mad.along is along), "")

    def _worst(self) -> float:
        return self._loop_watch.lag().worst


def _mib(size: int) -> str:
    return f"{size // _MIB} MiB"
