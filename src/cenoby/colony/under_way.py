"""The calls that are at work, so that a kill switch that is thrown meanwhile reaches them, too."""

from __future__ import annotations

import asyncio

from cenoby.access.kills import Kills
from cenoby.access.roles import AccessRefused
from cenoby.colony.errors import ColonyUnavailable
from cenoby.colony.invocation import Invocation


class UnderWay:
    """All calls of this process between the moment they are dispatched and their answer.

    Args:
        kills: the switches; asked again about every call whenever one changes.
    """

    def __init__(self, kills: Kills) -> None:
        self._kills = kills
        self._at_work: dict[Invocation, tuple[asyncio.Task[object], int]] = {}
        self._cut: dict[Invocation, AccessRefused] = {}
        kills.listen(self._look)

    def enter(self, invocation: Invocation) -> None:
        """It is at work from now on, in the current task."""
        task = asyncio.current_task()
        assert task is not None, "calls are made in tasks"
        self._at_work[invocation] = (task, task.cancelling())

    def leave(self, invocation: Invocation) -> None:
        """It is at work no more.

        Raises:
            ColonyUnavailable: mad_stopped: a kill switch cut it off; not where its caller gave up as well.
        """
        task, before = self._at_work.pop(invocation)
        killed = self._cut.pop(invocation, None)
        if killed is None or task.uncancel() > before:
            return
        raise ColonyUnavailable("mad_stopped", f"{killed.message} The call was at work; what it did may be in part.")

    def _look(self) -> None:
        for invocation, (task, _) in self._at_work.items():
            if invocation in self._cut:
                continue
            tool = invocation.target
            try:
                self._kills.check(invocation.caller, tool.mad, tool.name, tool.says.action)
            except AccessRefused as killed:
                self._cut[invocation] = killed
                task.cancel()
