"""Work that a MAD does beside its calls, for as long as it is hosted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Along:
    """The tasks of one MAD; when one of them fails, whoever hosts the MAD is told, once."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._told: Callable[[BaseException], None] | None = None
        self._failure: BaseException | None = None

    def run(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Begin `work`; it ends with the MAD, and its failure makes the MAD be made anew."""
        task = asyncio.create_task(self._do(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        # Cancelled before its first step, the task never awaits it.
        task.add_done_callback(lambda _: work.close())

    def on_failure(self, told: Callable[[BaseException], None]) -> None:
        """Tell `told` of the first failure, also of one that has been."""
        self._told = told
        if self._failure is not None:
            told(self._failure)

    async def stop(self) -> None:
        """End what runs; failures are nobody's concern any more."""
        self._told = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        # This frame tells whoever looks at the stack (colony/loop_watch.py) that the work is this MAD's.
        await work

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None or self._failure is not None:
            return
        self._failure = error
        if self._told is not None:
            self._told(error)
