"""The log of a colony at work: sequenced, signed, published, and what `status` says of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.settings_evidence import EvidenceSettings
from cenoby.protection.evidence import sql
from cenoby.protection.evidence.errors import EvidenceFailed
from cenoby.protection.evidence.events import EvidenceInconsistent, LogKeysChanged
from cenoby.protection.evidence.log_keys import LogKeys
from cenoby.protection.evidence.merkle import Tree
from cenoby.protection.evidence.notes import Checkpoint, NoteKey, read_checkpoint
from cenoby.protection.evidence.publisher import Destination, Publisher, Standing
from cenoby.protection.evidence.sequencer import Sequencer
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.telemetry.logs import get_logger

_CLOSE_SECONDS = 5.0
_log = get_logger("protection.evidence")


class LogView(msgspec.Struct, frozen=True):
    """How the log stands.

    Attributes:
        origin: its name.
        size: its leaves.
        signed: leaves under the newest checkpoint.
        note: that checkpoint; empty for none.
        made_ns: when it was made, Unix nanoseconds.
        keys: the public keys that sign.
        problem: why it does not go on; empty where it does.
        destinations: how each stands.
    """

    origin: str
    size: int
    signed: int
    note: str
    made_ns: int
    keys: tuple[str, ...]
    problem: str
    destinations: tuple[Standing, ...]


class EvidenceLog:
    """The log of a colony, in one of its processes.

    Args:
        database: where journal and log are.
        clock: of this process.
        settings: how often.
        keys: what signs.
        colony: its name, of which a new log's origin is made.
        note: takes events to the journal.
        destinations: where checkpoints go.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: EvidenceSettings,
        keys: LogKeys,
        *,
        colony: str,
        note: Callable[[Event], object],
        destinations: Sequence[Destination] = (),
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._keys = keys
        self._colony = colony
        self._note = note
        self._sequencer = Sequencer(database, clock)
        self._publisher = Publisher(database, clock, settings, destinations, note, self._public_keys)
        self._origin = ""
        self._problem = ""
        self._signed_size = 0
        self._signed_at = 0
        self._signing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; the log gets its name and its key where it has none.

        Raises:
            EvidenceFailed: log_key_unusable.
            StoreUnavailable: the store failed.
        """
        await asyncio.to_thread(self._keys.ensure)
        # The name must be one that no other log has, wherever checkpoints are gathered.
        fresh = f"cenoby/{self._colony}-{secrets.token_hex(4)}"
        self._origin = (await self._database.write(lambda connection: sql.add_log(connection, fresh))).origin
        newest = await self._database.read(sql.newest_checkpoint)
        self._signed_size, self._signed_at = newest.size if newest else 0, self._clock.monotonic_ns()
        await self._publisher.start(read_checkpoint(newest.note) if newest else None)
        self._task = asyncio.create_task(self._run(), name="evidence")

    async def stop(self) -> None:
        """Sign what there is, try once to publish it, and leave the rest to others. Takes a few seconds at most."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._turn(sign=True)
                await self._publisher.stop()
        try:
            await self._sequencer.close()
        except CenobyError as error:
            _log.warning("evidence_lease_kept", reason=error.message)

    async def checkpoint(self) -> Checkpoint:
        """Sign the log with all records that are there now (where this process sequences; else as far as it is).

        Raises:
            EvidenceFailed: log_gap, log_inconsistent, log_key_unusable.
            EvidenceMissing: checkpoint_missing: the log has no record yet.
            StoreUnavailable: the store failed.
        """
        await self._sequencer.catch_up()
        return await self._sign()

    async def publish(self) -> tuple[Standing, ...]:
        """Sign what is there, and send it to every destination now; how each stands after that.

        Raises:
            as for `checkpoint`.
        """
        await self._publisher.publish(await self.checkpoint())
        return self._publisher.standings()

    async def view(self) -> LogView:
        """How it stands."""
        log, newest = await self._database.read(lambda one: (sql.read_log(one), sql.newest_checkpoint(one)))
        return LogView(
            origin=self._origin,
            size=log.size if log else 0,
            signed=newest.size if newest else 0,
            note=newest.note if newest else "",
            made_ns=newest.made_ns if newest else 0,
            keys=tuple(key.to_text() for key in await self._public_keys()),
            problem=self._problem,
            destinations=self._publisher.standings(),
        )

    async def _run(self) -> None:
        while True:
            await self._turn()
            await asyncio.sleep(self._settings.sequence_every)

    async def _turn(self, *, sign: bool = False) -> None:
        """One look; what fails is told and tried again at the next."""
        try:
            await self._sequencer.catch_up()
            if self._sequencer.holds and self._is_due(sign):
                self._publisher.offer(await self._sign())
            self._problem = ""
        except CenobyError as error:
            if error.message != self._problem:
                self._problem = error.message
                _log.error("evidence_stuck", reason=error.message)
                if error.code in ("log_gap", "log_inconsistent"):
                    self._note(
                        EvidenceInconsistent(
                            place="here", size=self._signed_size, published=self._signed_size, reason=error.message
                        )
                    )
        except Exception as error:  # noqa: BLE001 - a bug of ours must not end the log for good
            self._problem = f"a bug of ours ({type(error).__name__}); the log has it"
            _log.error("evidence_stuck", exc_info=error)

    def _is_due(self, sign: bool) -> bool:
        new, waited_ns = self._sequencer.size - self._signed_size, self._clock.monotonic_ns() - self._signed_at
        settings = self._settings
        return new > 0 and (
            sign or new >= settings.checkpoint_records or waited_ns >= settings.checkpoint_every * 1_000_000_000
        )

    async def _sign(self) -> Checkpoint:
        async with self._signing:
            keys = await asyncio.to_thread(self._keys.ensure)
            before, size, root = await self._database.read(_root_of)
            made = Checkpoint.of(self._origin, size, root)
            if before is not None and before.size == size:
                made = made.joined(read_checkpoint(before.note).signatures)
            for key in keys:
                made = made.signed(self._origin, key)
            kept = sql.Made(size, self._clock.now_ns(), made.note)
            await self._database.write(lambda connection: sql.put_checkpoint(connection, kept))
            self._signed_size, self._signed_at = size, self._clock.monotonic_ns()
            public = await self._public_keys()
            if before is None or any(read_checkpoint(before.note).signed_by(key) is None for key in public):
                self._note(LogKeysChanged(keys=tuple(key.to_text() for key in public)))
            return made

    async def _public_keys(self) -> list[NoteKey]:
        return [NoteKey(self._origin, key.public) for key in await asyncio.to_thread(self._keys.read)]


def _root_of(connection: Connection) -> tuple[Any, int, bytes]:
    """The newest checkpoint, and the size and root of the log now, which must continue it."""
    log, before = sql.read_log(connection), sql.newest_checkpoint(connection)
    size = log.size if log else 0
    tree = Tree(size, sql.tile_reader(connection))
    if before is not None:
        was = read_checkpoint(before.note)
        if was.size > size or tree.root(was.size) != was.root:
            raise EvidenceFailed(
                "log_inconsistent",
                f"The log of {size} records is no continuation of its own checkpoint of {was.size}: the database was"
                " changed by another hand. Nothing is signed until a person has found out; keep all published ones.",
            )
    return before, size, tree.root()
