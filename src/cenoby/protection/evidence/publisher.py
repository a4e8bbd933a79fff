"""Publishing: every checkpoint goes to every destination, is tried again where that fails, and never holds a call up.

What a destination holds already is read back first, and compared: a log that is no continuation of it is not published,
because then somebody rewrote the journal (or the destination), and an alarm is due instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.settings_evidence import EvidenceSettings
from cenoby.protection.evidence import sql
from cenoby.protection.evidence.errors import EvidenceFailed
from cenoby.protection.evidence.events import EvidenceInconsistent, EvidencePublishedAgain, EvidenceUnpublished
from cenoby.protection.evidence.merkle import Tree
from cenoby.protection.evidence.notes import Checkpoint, NoteKey, read_checkpoint
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.telemetry.logs import get_logger

_FIRST_WAIT, _LONGEST_WAIT = 2.0, 300.0
_log = get_logger("protection.evidence")

Prove = Callable[[int], Awaitable[list[bytes]]]
"""The consistency proof from an older size to the checkpoint that is published.

Raises:
    EvidenceFailed: log_inconsistent: the log is smaller than that.
"""


class Destination(Protocol):
    """A place outside this machine.

    `held` and `put` raise EvidenceFailed (`evidence_unpublished`, or `log_inconsistent` where the place itself found
    that), EgressRefused, EgressFailed or another CenobyError of the way there.
    """

    name: str
    witnesses: bool
    """Whether it answers with cosignatures, which then go to the other destinations, too."""

    async def held(self) -> str | None:
        """The checkpoint that is there, or None where there is none or the place tells nobody."""
        ...

    async def put(self, checkpoint: Checkpoint, before: int, prove: Prove) -> list[str]:
        """Send a checkpoint; the signature lines that came back.

        Args:
            checkpoint: with the signatures that it has so far.
            before: size of the last one that went there, 0 for none.
            prove: makes consistency proofs.
        """
        ...


class Standing(msgspec.Struct, frozen=True):
    """How a destination stands.

    Attributes:
        name: of the destination.
        size, published_ns: the last checkpoint that it took, and when; 0 for none.
        attempts: that failed since.
        problem: why the last one did; empty where it did not.
    """

    name: str
    size: int = 0
    published_ns: int = 0
    attempts: int = 0
    problem: str = ""


class _Trouble:
    """What was told of a destination that fails."""

    def __init__(self) -> None:
        self.since_ns: int | None = None
        self.alarmed = ""


class Publisher:
    """Sends checkpoints on their way.

    Args:
        database: where it is kept what went where.
        clock: of this process.
        settings: how long to try, and when to raise an alarm.
        destinations: where to.
        note: takes events to the journal.
        keys: the log's public keys.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: EvidenceSettings,
        destinations: Sequence[Destination],
        note: Callable[[Event], object],
        keys: Callable[[], Awaitable[list[NoteKey]]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._destinations = sorted(destinations, key=lambda one: not one.witnesses)
        self._note = note
        self._keys = keys
        self._standings = {one.name: Standing(one.name) for one in self._destinations}
        self._troubles = {one.name: _Trouble() for one in self._destinations}
        self._newest: Checkpoint | None = None
        self._offered = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self, newest: Checkpoint | None) -> None:
        """Go on from what was published before.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        for name, (size, _, at_ns) in (await self._database.read(sql.read_published)).items():
            if name in self._standings:
                self._standings[name] = Standing(name, size, at_ns)
        if self._destinations:
            if newest is not None:
                self.offer(newest)
            self._task = asyncio.create_task(self._run(), name="evidence-publishing")

    async def stop(self) -> None:
        """Try once more what is not out yet, then end."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._newest is not None and self._left(self._newest):
            await self.publish(self._newest)

    def offer(self, checkpoint: Checkpoint) -> None:
        """Publish this one from now on; does not wait."""
        self._newest = checkpoint
        self._offered.set()

    def standings(self) -> tuple[Standing, ...]:
        """How each destination stands."""
        return tuple(self._standings.values())

    async def publish(self, checkpoint: Checkpoint) -> None:
        """Send a checkpoint everywhere now, to witnesses first; what fails is told by `standings`."""
        async with self._one_at_a_time:
            witnesses = [one for one in self._destinations if one.witnesses]
            lines = await asyncio.gather(*(self._publish_to(one, checkpoint) for one in witnesses))
            if added := [line for some in lines for line in some]:
                checkpoint = checkpoint.joined(added)
                await self._keep(checkpoint)
            others = [one for one in self._destinations if not one.witnesses]
            await asyncio.gather(*(self._publish_to(one, checkpoint) for one in others))

    async def _run(self) -> None:
        wait = _FIRST_WAIT
        while True:
            try:
                async with asyncio.timeout(wait if self._newest and self._left(self._newest) else None):
                    await self._offered.wait()
                wait = _FIRST_WAIT
            except TimeoutError:
                wait = min(2 * wait, _LONGEST_WAIT)
            self._offered.clear()
            if self._newest is not None:
                try:
                    await self.publish(self._newest)
                except CenobyError as error:
                    _log.error("evidence_unpublished", reason=error.message)

    def _left(self, checkpoint: Checkpoint) -> bool:
        return any(one.size < checkpoint.size or one.problem for one in self._standings.values())

    async def _publish_to(self, destination: Destination, checkpoint: Checkpoint) -> list[str]:
        standing = self._standings[destination.name]
        try:
            async with asyncio.timeout(self._settings.timeout):
                lines = await self._send(destination, checkpoint, standing)
        except (CenobyError, TimeoutError) as error:
            why = error.message if isinstance(error, CenobyError) else f"nothing in {self._settings.timeout:g} s"
            self._failed(destination.name, checkpoint, why, error)
            return []
        except Exception as error:  # noqa: BLE001 - a bug of ours is a failure to publish, and told as one
            _log.error("evidence_unpublished", place=destination.name, exc_info=error)
            self._failed(destination.name, checkpoint, f"a bug of ours ({type(error).__name__})", error)
            return []
        trouble = self._troubles[destination.name]
        if trouble.alarmed:
            self._note(EvidencePublishedAgain(place=destination.name, size=checkpoint.size))
        self._troubles[destination.name] = _Trouble()
        return lines

    async def _send(self, destination: Destination, checkpoint: Checkpoint, standing: Standing) -> list[str]:
        known = (await self._database.read(sql.read_published)).get(destination.name)
        held = await destination.held()
        keys = await self._keys()
        newest = checkpoint
        for note in (known[1] if known else None, held):
            if note is not None:
                there = read_checkpoint(note).of_log(keys)
                await self._compare(there, destination.name, checkpoint)
                newest = max(newest, there, key=lambda one: one.size)
        lines: list[str] = []
        if newest is checkpoint:
            lines = await destination.put(checkpoint, known[0] if known else 0, self._prover(checkpoint))
        now_ns = self._clock.now_ns()
        await self._database.write(
            lambda connection: sql.put_published(connection, destination.name, newest.size, newest.note, now_ns)
        )
        self._standings[destination.name] = Standing(destination.name, newest.size, now_ns)
        return lines

    async def _compare(self, there: Checkpoint, place: str, ours: Checkpoint) -> None:
        def fits(connection: Connection) -> bool:
            log = sql.read_log(connection)
            if log is None or there.origin != log.origin or there.size > log.size:
                return False
            return Tree(log.size, sql.tile_reader(connection)).root(there.size) == there.root

        if not await self._database.read(fits):
            raise EvidenceFailed(
                "log_inconsistent",
                f"{place} has a checkpoint of {there.size} records of {there.origin}, and the log of {ours.size} is no"
                " continuation of it: one of them was rewritten.",
            )

    def _prover(self, checkpoint: Checkpoint) -> Prove:
        def work(connection: Connection, old: int) -> list[bytes]:
            return Tree(checkpoint.size, sql.tile_reader(connection)).consistency(old)

        async def prove(old: int) -> list[bytes]:
            if old > checkpoint.size:
                raise EvidenceFailed("log_inconsistent", f"It was {old} records long before, and is now shorter.")
            return await self._database.read(lambda connection: work(connection, old))

        return prove

    async def _keep(self, checkpoint: Checkpoint) -> None:
        def work(connection: Connection) -> None:
            known = sql.checkpoint_of(connection, checkpoint.size)
            if known is not None:
                joined = read_checkpoint(known.note).joined(checkpoint.signatures)
                sql.put_checkpoint(connection, msgspec.structs.replace(known, note=joined.note))

        await self._database.write(work)

    def _failed(self, name: str, checkpoint: Checkpoint, why: str, error: Exception) -> None:
        standing, trouble = self._standings[name], self._troubles[name]
        attempts = standing.attempts + 1
        self._standings[name] = msgspec.structs.replace(standing, attempts=attempts, problem=why)
        now_ns = self._clock.monotonic_ns()
        trouble.since_ns = now_ns if trouble.since_ns is None else trouble.since_ns
        if isinstance(error, EvidenceFailed) and error.code == "log_inconsistent":
            if trouble.alarmed != "inconsistent":
                trouble.alarmed = "inconsistent"
                self._note(EvidenceInconsistent(place=name, size=checkpoint.size, published=standing.size, reason=why))
        elif not trouble.alarmed and now_ns - trouble.since_ns >= self._settings.alarm_after * 1e9:
            trouble.alarmed = "unpublished"
            self._note(EvidenceUnpublished(place=name, attempts=attempts, reason=why))
