"""What stands open under a token, such as a stream: told when the token, or what its agent may do, is no longer so."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType

from cenoby.access.principals import Principal
from cenoby.kernel.errors import CenobyError

_LOOK_SECONDS = 60.0
"""An expiry further away than this is looked at again then, so that a clock that was set is noticed."""

Lapsed = Callable[[CenobyError], object]
"""Told once, with what the next call with that token would be told; must neither raise nor wait."""


class Hold:
    """One thing that stands open. Release it, or leave its block, when that is over."""

    def __init__(self, holds: Holds, principal: Principal, lapsed: Lapsed) -> None:
        self.principal = principal
        self.lapsed = lapsed
        self.timer: asyncio.Handle | None = None
        self._holds = holds

    def release(self) -> None:
        """Be told of nothing more; doing it twice is fine."""
        self._holds.drop(self)

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Holds:
    """All that stands open. Nothing here costs anything per message: only a change and an expiry look at it.

    Args:
        problem: why a principal is no longer what it was when it was authenticated, or None.
        seconds_left: seconds until a token expires, by its id; None where it never does.
    """

    def __init__(
        self, problem: Callable[[Principal], CenobyError | None], seconds_left: Callable[[str], float | None]
    ) -> None:
        self._problem = problem
        self._seconds_left = seconds_left
        self._by_agent: defaultdict[str, set[Hold]] = defaultdict(set)

    def add(self, principal: Principal, lapsed: Lapsed) -> Hold:
        """Have `lapsed` called when `principal` is no longer what it was; soon, if that is so already."""
        hold = Hold(self, principal, lapsed)
        self._by_agent[principal.agent].add(hold)
        if self._problem(principal) is not None:
            hold.timer = asyncio.get_running_loop().call_soon(self._look, hold)
        else:
            self._set_timer(hold)
        return hold

    def drop(self, hold: Hold) -> None:
        """Forget a hold."""
        if hold.timer is not None:
            hold.timer.cancel()
            hold.timer = None
        standing = self._by_agent.get(hold.principal.agent)
        if standing is not None:
            standing.discard(hold)
            if not standing:
                del self._by_agent[hold.principal.agent]

    def agents(self) -> list[str]:
        """For whom something stands open."""
        return list(self._by_agent)

    def check(self, agent: str) -> None:
        """Look at what stands open for an agent of which something changed."""
        for hold in tuple(self._by_agent.get(agent, ())):
            self._look(hold)

    def _look(self, hold: Hold) -> None:
        problem = self._problem(hold.principal)
        if problem is not None:
            self.drop(hold)
            hold.lapsed(problem)
        else:
            self._set_timer(hold)

    def _set_timer(self, hold: Hold) -> None:
        if hold.timer is not None:
            hold.timer.cancel()
            hold.timer = None
        left = self._seconds_left(hold.principal.token_id)
        if left is not None:
            hold.timer = asyncio.get_running_loop().call_later(min(max(left, 0.0), _LOOK_SECONDS), self._look, hold)
