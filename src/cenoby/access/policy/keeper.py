"""Keeping the policies in force what their files say, while the colony runs.

The files are looked at off the loop every `policy.look_every` seconds. A change is believed when two looks in a row see
the same, so that a file that is just being written is not read in halves; then it is read, checked and compiled in a
thread, and put in the place of the old set in one step. What cannot be used leaves the old set in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from cenoby.access.policy.events import PolicyLoaded, PolicyRejected
from cenoby.access.policy.files import Stamp, read_ingredients, stamp
from cenoby.access.policy.policy_set import PolicySet, build
from cenoby.access.policy.vocabulary import Vocabulary
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.settings import Settings
from cenoby.telemetry.logs import get_logger

_log = get_logger("access.policy")
_SHOWN = 50


class PolicyKeeper:
    """Follows the files of one colony.

    Args:
        settings: name the files.
        use: puts a set in force.
        vocabulary: what policies may speak of, as it is now.
        note: journals an event.
    """

    def __init__(
        self,
        settings: Settings,
        use: Callable[[PolicySet], None],
        vocabulary: Callable[[], Vocabulary],
        note: Callable[[Event], None],
    ) -> None:
        self._settings = settings
        self._use = use
        self._vocabulary = vocabulary
        self._note = note
        self._current: PolicySet | None = None
        self._problem = ""
        self._seen: Stamp = ()
        self._read: Stamp = ()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read everything once more, now that everything is hosted that policies may speak of; then follow the files.

        Raises:
            PolicyInvalid: it cannot be used, so that the colony does not start.
        """
        self._seen = self._read = await asyncio.to_thread(stamp, self._settings)
        self._take(await asyncio.to_thread(self._build, self._vocabulary()))
        if self._read:
            self._watching = asyncio.create_task(self._watch(), name="policy files")

    async def stop(self) -> None:
        """Follow no more."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    def words(self) -> str:
        """What is in force, for people; and that a change was rejected, where one was."""
        current = self._current
        if current is None:
            return "not read yet"
        words = f"{len(current.policies)} policies, set {current.name}"
        return f"{words}; REJECTED, so the old set holds: {self._problem}" if self._problem else words

    @property
    def problem(self) -> str:
        """Why the newest files are not in force; empty where they are."""
        return self._problem

    async def look(self) -> None:
        """Look at the files once; take over what changed and has settled."""
        now = await asyncio.to_thread(stamp, self._settings)
        settled, self._seen = now == self._seen, now
        if not settled or now == self._read:
            return
        try:
            fresh = await asyncio.to_thread(self._build, self._vocabulary())
        except CenobyError as error:
            self._reject(error.message)
        except Exception as error:  # noqa: BLE001 - the old set holds, whatever went wrong
            _log.exception("policy_reload_failed")
            self._reject(f"{type(error).__name__}: {error}")
        else:
            if await asyncio.to_thread(stamp, self._settings) != now:
                # Written while it was read: the next looks will see it through.
                return
            self._take(fresh)
        self._read = now

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.policy.look_every)
            try:
                await self.look()
            except OSError as error:
                self._reject(f"the files cannot be looked at: {error}")

    def _build(self, vocabulary: Vocabulary) -> PolicySet:
        return build(read_ingredients(self._settings), vocabulary)

    def _take(self, fresh: PolicySet) -> None:
        before, self._current, self._problem = self._current, fresh, ""
        self._use(fresh)
        if before is not None and before.digest == fresh.digest:
            return
        old = {one.id: one.text for one in before.policies} if before else {}
        new = {one.id: one.text for one in fresh.policies}
        known = before is not None
        self._note(
            PolicyLoaded(
                digest=fresh.digest,
                before=before.digest if before else "",
                policies=len(new),
                node=self._settings.node_name,
                added=_shown(new.keys() - old.keys()) if known else (),
                removed=_shown(old.keys() - new.keys()),
                changed=_shown(name for name in new.keys() & old.keys() if new[name] != old[name]),
                files=self._files(),
            )
        )

    def _reject(self, why: str) -> None:
        if why == self._problem:
            return
        self._problem = why
        kept = self._current.digest if self._current else ""
        self._note(PolicyRejected(kept=kept, node=self._settings.node_name, files=self._files(), notes=why[:2000]))

    def _files(self) -> tuple[str, ...]:
        return tuple(name for name, *_ in self._seen)


def _shown(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))[:_SHOWN]
