"""Keeping the rules in force what their file says, while the colony runs.

The file is looked at off the loop; a change is believed when two looks in a row see the same, so that a file that is
just being written is not read in halves. What cannot be used leaves the old rules in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.settings_egress import EgressSettings
from cenoby.protection.egress_rules.events import EgressRulesLoaded, EgressRulesRejected
from cenoby.protection.egress_rules.file import Spell, read_rules
from cenoby.protection.egress_rules.rules import EgressDecisions, RuleSet
from cenoby.telemetry.logs import get_logger

_log = get_logger("protection.egress_rules")
_Stamp = tuple[int, int, int]


class EgressRuleKeeper:
    """Follows the file of one colony.

    Args:
        settings: name the file.
        decisions: what the rules are for.
        spell: the one spelling of a host.
        node: for the events.
        note: journals an event.
    """

    def __init__(
        self,
        settings: EgressSettings,
        decisions: EgressDecisions,
        spell: Spell,
        node: str,
        note: Callable[[Event], None],
    ) -> None:
        self._file = settings.rules
        self._look_every = settings.look_every
        self._decisions = decisions
        self._spell = spell
        self._node = node
        self._note = note
        self._seen: _Stamp | None = None
        self._read: _Stamp | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the file, and follow it.

        Raises:
            EgressRulesInvalid: it cannot be used, so that the colony does not start.
        """
        if self._file is None:
            return
        self._seen = self._read = await asyncio.to_thread(self._stamp)
        self._take(await asyncio.to_thread(read_rules, self._file, self._spell))
        self._watching = asyncio.create_task(self._watch(), name="egress rules")

    async def stop(self) -> None:
        """Follow no more."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    async def look(self) -> None:
        """Look at the file once; take over what changed and has settled."""
        now = await asyncio.to_thread(self._stamp)
        settled, self._seen = now == self._seen, now
        if not settled or now == self._read:
            return
        try:
            fresh = await asyncio.to_thread(read_rules, self._file, self._spell)
        except CenobyError as error:
            self._reject(error.message)
        except Exception as error:  # noqa: BLE001 - the old rules hold, whatever went wrong
            _log.exception("egress_rules_failed")
            self._reject(f"{type(error).__name__}: {error}")
        else:
            if await asyncio.to_thread(self._stamp) != now:
                # Written while it was read: the next looks will see it through.
                return
            self._take(fresh)
        self._read = now

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_every)
            await self.look()

    def _take(self, fresh: RuleSet) -> None:
        before = self._decisions.in_force
        self._decisions.problem = ""
        if fresh.digest == before.digest:
            return
        self._decisions.use(fresh)
        names = tuple(rule.name for rule in fresh.rules)
        self._note(EgressRulesLoaded(digest=fresh.digest, before=before.digest, rules=names, node=self._node))

    def _reject(self, why: str) -> None:
        if why == self._decisions.problem:
            return
        self._decisions.problem = why
        kept = self._decisions.in_force.digest
        self._note(EgressRulesRejected(kept=kept, node=self._node, notes=why[:2000]))

    def _stamp(self) -> _Stamp:
        assert self._file is not None, "only a file that is there to be followed is looked at"
        try:
            state = self._file.stat()
        except OSError:
            # Not there, or not to be seen: reading it will say why.
            return (0, 0, -1)
        return (state.st_mtime_ns, state.st_ino, state.st_size)
