"""The sandbox: tasks on untrusted bytes, each in a fresh process without privileges that lives for one call."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cenoby.kernel.settings import SandboxSettings
from cenoby.sandbox.frames import Protections, Request, Setup
from cenoby.sandbox.process import Cell, SandboxError, SandboxUnavailable, search_path
from cenoby.sandbox.syscalls import seccomp_filter

# Ranges of ids for one cell each, first fit: far above any account; systemd's range for dynamic users (in a container).
_UID_RANGES = ((0x7000_0000, 65536), (61184, 4096))


@dataclass(frozen=True, slots=True)
class _Spare:
    cell: Cell
    timer: asyncio.TimerHandle


class Sandbox:
    """Runs tasks in cells: at most `settings.cells` at once, each killed whole when its call ends.

    After a call of a module one cell stays ready for the next call of it, and goes when none comes within a minute;
    an idle colony has none.

    Args:
        settings: limits, and protections that must hold.
        modules: names of the modules whose functions are tasks; a cell loads the one that its task is in.
        places: where cells look for modules beside the standard library; the colony's own path by default.
        max_bytes: largest answer, bytes.
        spare_seconds: how long a cell waits for the next call.
    """

    def __init__(
        self,
        settings: SandboxSettings,
        *,
        modules: Sequence[str],
        places: Sequence[str] | None = None,
        max_bytes: int = 8 * 1024 * 1024,
        spare_seconds: float = 60.0,
    ) -> None:
        self._settings = settings
        self._modules = frozenset(modules)
        self._places = search_path() if places is None else list(places)
        self._max_bytes = max_bytes
        self._slots = asyncio.Semaphore(settings.cells)
        self._spares: dict[str, _Spare] = {}
        self._spare_seconds = spare_seconds
        self._chores: set[asyncio.Task[None]] = set()
        self._held: Protections | None = None
        self._serial = itertools.count(os.getpid())
        self._filter = seccomp_filter()
        self._uids = unused_uids()
        self._closed = False

    async def call(
        self,
        task: str,
        arguments: Mapping[str, Any],
        *,
        returns: Any = Any,
        timeout: float | None = None,  # noqa: ASYNC109 - the cell is killed at it
    ) -> Any:
        """Run `module:function` with keyword `arguments` in a cell of its own.

        Args:
            arguments: plain values that msgpack can carry, bytes included.
            returns: type that the result must have, e.g. a frozen struct; what does not fit is refused.
            timeout: seconds for all of it, waiting for a free cell included; `sandbox.timeout` by default.

        Returns:
            The function's result, as `returns` or as plain values.

        Raises:
            SandboxError: the task failed, crashed, hung, asked for too much, or answered nonsense.
            SandboxUnavailable: no cell can be had.
        """
        module = task.partition(":")[0]
        if module not in self._modules:
            raise SandboxError("sandbox_task_unknown", f"{task} is not in a module that this sandbox may load.")
        seconds = timeout or self._settings.timeout
        value = await self._run(module, Request(task, dict(arguments)), seconds)
        try:
            return msgspec.msgpack.decode(value, type=returns)
        except (msgspec.DecodeError, RecursionError) as error:
            raise SandboxError(
                "sandbox_reply_invalid", f"The task's value is not what it should be: {error}."
            ) from None

    async def protections(self) -> Protections:
        """What holds a cell on this machine, found out by starting one.

        Raises:
            SandboxUnavailable: no cell starts, or one that `sandbox.require` names does not hold.
        """
        if self._held is None:
            await (await self._start(())).kill()
        assert self._held is not None, "a start that succeeds notes what holds"
        return self._held

    async def close(self) -> None:
        """End all spare cells; cells at work end with their calls."""
        self._closed = True
        await asyncio.gather(*self._chores, return_exceptions=True)
        while self._spares:
            _, spare = self._spares.popitem()
            spare.timer.cancel()
            await spare.cell.kill()

    async def _run(self, module: str, request: Request, seconds: float) -> msgspec.Raw:
        limit = asyncio.timeout(seconds)
        has_slot = False
        try:
            async with limit, self._slots:
                has_slot = True
                return await self._run_in_cell(module, request)
        except TimeoutError:
            if not limit.expired():
                raise
            if has_slot:
                raise SandboxError("sandbox_timeout", f"The task was killed after {seconds:g} s.") from None
            raise SandboxUnavailable(
                "sandbox_unavailable", "All cells were at work for the whole time of the call.", retry_after=seconds
            ) from None

    async def _run_in_cell(self, module: str, request: Request) -> msgspec.Raw:
        cell = self._take_spare(module) or await self._start((module,))
        try:
            return await cell.call(request, self._max_bytes)
        finally:
            await cell.kill()
            if module not in self._spares and not self._closed:
                self._do(self._add_spare(module))

    def _take_spare(self, module: str) -> Cell | None:
        spare = self._spares.pop(module, None)
        if spare is None:
            return None
        spare.timer.cancel()
        if spare.cell.alive:
            return spare.cell
        self._do(spare.cell.kill())
        return None

    async def _add_spare(self, module: str) -> None:
        try:
            cell = await self._start((module,))
        except SandboxUnavailable:
            return  # the next call starts its own cell and tells its caller what is wrong
        if self._closed or module in self._spares:
            await cell.kill()
            return
        timer = asyncio.get_running_loop().call_later(self._spare_seconds, self._retire, module)
        self._spares[module] = _Spare(cell, timer)

    def _retire(self, module: str) -> None:
        self._do(self._spares.pop(module).cell.kill())

    def _do(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _start(self, modules: tuple[str, ...]) -> Cell:
        setup = Setup(
            parent=os.getpid(),
            modules=modules,
            memory_bytes=self._settings.memory_mb << 20,
            cpu_seconds=self._settings.cpu_seconds,
            uid=self._next_uid(),
            seccomp=self._filter,
        )
        cell = await Cell.start(setup, self._places)
        try:
            self._check(cell.protections)
        except SandboxUnavailable:
            await cell.kill()
            raise
        return cell

    def _check(self, protections: Protections) -> None:
        missing = protections.missing(self._settings.require)
        if missing:
            raise SandboxUnavailable(
                "sandbox_protection_missing",
                f"This machine does not give a cell: {', '.join(missing)}. Use a kernel that has it, or take it out of "
                "sandbox.require.",
            )
        if self._held is None:
            self._held = protections
        elif not protections.as_strong_as(self._held):
            raise SandboxUnavailable(
                "sandbox_protection_missing",
                f"A cell holds less than the first one did ({protections.line()}); restart the colony to accept that.",
            )

    def _next_uid(self) -> int | None:
        if self._uids is None:
            return None
        first, count = self._uids
        return first + next(self._serial) % count


def unused_uids() -> tuple[int, int] | None:
    """First and number of the user ids that cells may take; None where the colony cannot give them other ids."""
    if sys.platform != "linux" or os.getuid() != 0:
        return None
    mapped = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    for first, count in _UID_RANGES:
        if any(start <= first and first + count <= start + length for start, _, length in mapped):
            return first, count
    return None
