"""What lowers an agent's autonomy by itself: a security rule it broke, a budget it spent, or too many errors.

It looks at how each call ended, and holds the agent before the caller is answered, so that the next call is asked for
already. Only a person ends a hold. What is counted is counted in each process by itself; what it leads to holds in all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cenoby.access.autonomy.autonomy import Level, subject_of
from cenoby.access.autonomy.events import AutonomyLowered
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.principals import Principal
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings_autonomy import AutonomySettings

_SECURITY = frozenset({"rule_violated", "canary_seen"})
_AGAIN_NS = 1_000_000_000
"""A hold that is as strict as it would become is not written again for so long: each refusal would be a write."""
_AGENTS = 10_000
"""Agents whose calls are counted at once; the longest counted is forgotten first."""

Note = Callable[[AutonomyLowered, Principal], Awaitable[object]]


class AutonomyWatch:
    """Counts how calls end, and holds agents.

    Args:
        levels: where holds are.
        settings: what gives reason to.
        clock: the time.
        note: journals an event of an agent.
    """

    def __init__(self, levels: AutonomyLevels, settings: AutonomySettings, clock: Clock, note: Note) -> None:
        self._levels = levels
        self._settings = settings
        self._clock = clock
        self._note = note
        self._counts: dict[tuple[str, str], list[int]] = {}

    async def ended(self, principal: Principal, error: CenobyError | None, began: bool) -> None:
        """Take note of a call that ended; hold the agent where that gives reason to.

        Args:
            principal: whose.
            error: how it failed or was refused; None where it did neither.
            began: whether the tool ran.

        Raises:
            StoreUnavailable: the agent could not be held.
        """
        if principal.kind == "person":
            return
        code = error.code if error is not None else ""
        if code in _SECURITY:
            await self._hold(principal, Level.LOCKED, "security", f"a call was refused with {code}")
        elif code == "budget_exhausted" and error is not None and error.details.get("account") == _own(principal):
            await self._hold(principal, Level.SUPERVISED, "budget", "its budget is spent")
        if began and (failed := self._count(principal, error)):
            await self._hold(principal, Level.SUPERVISED, "errors", failed)

    def _count(self, principal: Principal, error: CenobyError | None) -> str:
        settings, now_ns = self._settings.lower, self._clock.now_ns()
        key = principal.tenant, principal.agent
        counts = self._counts.get(key)
        if counts is None or now_ns - counts[0] > settings.seconds * 1e9:
            self._counts.pop(key, None)
            if len(self._counts) >= _AGENTS:
                del self._counts[next(iter(self._counts))]
            self._counts[key] = counts = [now_ns, 0, 0]
        counts[1] += 1
        # A MAD that is down, or a store that is full, is no mistake of the agent's.
        counts[2] += error is not None and error.family == "fault"
        _, calls, errors = counts
        if calls < settings.calls or errors < settings.errors * calls:
            return ""
        del self._counts[key]
        return f"{errors} of {calls} calls failed"

    async def _hold(self, principal: Principal, level: Level, cause: str, why: str) -> None:
        subject = subject_of(principal)
        held = self._levels.held(subject)
        if held is not None and held.level <= level and self._clock.now_ns() - held.set_ns < _AGAIN_NS:
            return
        was = self._levels.standing(subject).level
        row = await self._levels.hold(principal.tenant, principal.agent, level, why)
        now = min(was, row.level)
        if now < was:
            event = AutonomyLowered(agent=principal.agent, was=str(was), now=str(now), cause=cause, notes=why)
            await self._note(event, principal)


def _own(principal: Principal) -> str:
    # As the ledger names the account of an agent; those of its tenant, of a MAD or a task are not its alone.
    return f"agent {principal.agent!r}"
