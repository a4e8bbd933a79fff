"""Durable work over Redis Streams: done at least once, by whichever process takes it.

What an acknowledgement is worth is the server's configuration, read at every connection:

    appendonly yes, appendfsync always     FSYNCED
    appendonly yes, any other appendfsync  FLUSHED_LATER: a power cut may lose the last second or more
    no append-only file                    UNKNOWN: a restart of Redis loses all since its last snapshot, if any
    we may not read the configuration      UNKNOWN

The server must not evict (`maxmemory-policy noeviction`). Replay reaches back 24 hours, and to all that is not done;
dead letters stay until they are retried or dropped.
An ACL user needs what the bus needs (`redis_bus`), and `+config|get` for the durability to be known.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from itertools import count
from typing import Any

from cenoby.bus.contract import BusInvalid, BusUnavailable, check_subject
from cenoby.bus.redis_address import RETRY_SECONDS, RedisAddress
from cenoby.bus.redis_link import BEAT_SECONDS, Commands, Lane
from cenoby.bus.redis_work_scripts import DONE, EXTEND, FAILED, LEAVE, PUT, RETRY, TAKE
from cenoby.bus.wire import decode_envelope, encode_envelope
from cenoby.bus.work import (
    ACK_WAIT_SECONDS,
    DUPLICATE_WINDOW_SECONDS,
    MAX_DELIVERIES,
    DeadLetter,
    Durability,
    WorkHandler,
)
from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.ids import new_id

_CLOSE_SECONDS = 5.0
_LOOK_SECONDS = 1.0
"""How often a worker looks for what a dead one held; what is put or due again wakes it."""
_LATER_SECONDS = 0.1
_LATEST_SECONDS = 30.0
_TELL_SECONDS = 30.0
_LEAVE_SECONDS = 2.0
_PAGE = 200
_LONGEST_ERROR = 16 * 1024
_log = logging.getLogger(__name__)


class RedisWorker:
    """One handler on one queue: takes what it has room for, and holds it while the handler runs."""

    def __init__(
        self,
        commands: Commands,
        queue: str,
        handler: WorkHandler,
        *,
        name: str,
        concurrency: int,
        ack_wait: float,
        max_deliveries: int,
    ) -> None:
        self.queue = queue
        self.wake = asyncio.Event()
        self._commands = commands
        self._root = commands.lane.address.root
        self._handler = handler
        self._name = name
        self._room = concurrency
        self._ack_wait = ack_wait
        self._max_deliveries = max_deliveries
        self._held: dict[asyncio.Task[None], bytes] = {}
        self._closing = False
        self._unsure = False
        self._taker = asyncio.create_task(self._take(), name=f"work:{queue}")
        self._keeper = asyncio.create_task(self._keep(ack_wait / 3), name=f"work-leases:{queue}")

    @property
    def running(self) -> int:
        return len(self._held)

    async def close(self) -> None:
        self._closing = True
        self.wake.set()
        held = {*self._held} - {asyncio.current_task()}
        if held:
            _, unfinished = await asyncio.wait(held, timeout=_CLOSE_SECONDS)
            for task in unfinished:
                task.cancel()
        # Not cancelled but waited for: what it is just taking would stay with nobody until `ack_wait` is over.
        await asyncio.gather(*held, self._taker, return_exceptions=True)
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        with suppress(CenobyError, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._commands.run(LEAVE, self._root, self.queue, self._name)

    async def _take(self) -> None:
        while not self._closing:
            self.wake.clear()
            room = self._room - len(self._held)
            taken, due = await self._ask(room) if room else ([], 0.0)
            for entry, data, deliveries in taken:
                if self._closing:
                    await self._tell(FAILED, entry, self._name, 0, 1, "")
                    continue
                task = asyncio.create_task(self._do(entry, data, deliveries), name=f"work:{self.queue}")
                self._held[task] = entry
                task.add_done_callback(self._let_go)
            if len(taken) < room or not room:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), min(due or _LOOK_SECONDS, _LOOK_SECONDS))

    async def _ask(self, room: int) -> tuple[list[tuple[bytes, bytes, int]], float]:
        """What there is for us, and in how many seconds something is due again (0: nothing is)."""
        lease_ms = round(self._ack_wait * 1000)
        try:
            taken, due = await self._commands.run(
                *(TAKE, self._root, self.queue, self._name, room, lease_ms, self._max_deliveries),
                *(int(self._unsure), *(self._held.values() if self._unsure else ())),
            )
            self._unsure = False
        except CenobyError as error:
            # What was taken may be on its way in a connection that broke: the next time tells what we have.
            self._unsure = True
            _log.debug("no work can be taken: %s", error.message, extra={"queue": self.queue})
            return [], 0.0
        return taken, int(due) / 1e6

    async def _do(self, entry: bytes, data: bytes, deliveries: int) -> None:
        try:
            await self._handler(decode_envelope(data))
        except asyncio.CancelledError:
            # We are stopping: it is due at once, for whoever else there is, and this was no try.
            await self._tell(FAILED, entry, self._name, 0, 1, "")
            raise
        except Exception:  # noqa: BLE001 - whatever work does to its handler, it is tried again or given up on the record
            later = min(_LATER_SECONDS * 2 ** (deliveries - 1), _LATEST_SECONDS)
            micros = round(later * 1e6) if deliveries < self._max_deliveries else -1
            await self._tell(FAILED, entry, self._name, micros, 0, traceback.format_exc()[-_LONGEST_ERROR:])
        else:
            await self._tell(DONE, entry)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._held.pop(task, None)
        self.wake.set()

    async def _tell(self, script: Any, entry: bytes, *arguments: Any) -> None:
        """Say how an entry ended, again and again while the broker is away; it is held meanwhile."""
        last = asyncio.get_running_loop().time() + (_CLOSE_SECONDS if self._closing else _TELL_SECONDS)
        while True:
            try:
                await self._commands.run(script, self._root, self.queue, entry, *arguments)
                return
            except CenobyError as error:
                if asyncio.get_running_loop().time() > last or error.code == "bus_closed":
                    text = "the end of work could not be told, so it will be done again: %s"
                    _log.warning(text, error.message, extra={"queue": self.queue})
                    return
                await asyncio.sleep(min(RETRY_SECONDS, self._ack_wait / 3))

    async def _keep(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self._held:
                try:
                    await self._commands.run(EXTEND, self._root, self.queue, self._name, *self._held.values())
                except CenobyError as error:
                    _log.warning("work could not be kept: %s", error.message, extra={"queue": self.queue})


class RedisWork:
    """A `WorkQueue` over one Redis; `durability` and replay as the module says. Make it with `connect`.

    Args:
        address: which Redis, and as whom.
        clock: for the times in messages; what is due when is told by Redis's own clock.
    """

    def __init__(self, address: RedisAddress, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._root = address.root
        self._me = new_id()
        self._numbers = count()
        self._closed = False
        self._durability = Durability.UNKNOWN
        self._workers: list[RedisWorker] = []
        self._chores: set[asyncio.Task[None]] = set()
        self._commands = Commands(address, self._clock, opened=lambda: self._soon(self._read_durability()))
        self._nudges = Lane(
            address, self._clock, "nudges", opened=self._listen, received=self._nudge, lost=lambda _: None
        )
        self._beat: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, address: RedisAddress, *, clock: Clock | None = None) -> RedisWork:
        """A connected work queue.

        Raises:
            BusInvalid: bus_refused.
            BusUnavailable: bus_disconnected.
        """
        work = cls(address, clock=clock)
        try:
            await work._commands.lane.start()
            await work._read_durability()
            await work._nudges.start()
        except BaseException:
            await work.close()
            raise
        work._beat = asyncio.create_task(work._keep(), name="redis:beat")
        return work

    @property
    def durability(self) -> Durability:
        return self._durability

    async def put(self, envelope: Envelope) -> bool:
        self._check_open()
        check_subject(envelope.recipient, pattern=False)
        data, window_ms = encode_envelope(envelope), round(DUPLICATE_WINDOW_SECONDS * 1000)
        return bool(await self._commands.run(PUT, self._root, envelope.recipient, envelope.id, data, window_ms))

    async def work(
        self,
        queue: str,
        handler: WorkHandler,
        *,
        concurrency: int = 1,
        ack_wait: float = ACK_WAIT_SECONDS,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> RedisWorker:
        self._check_open()
        check_subject(queue, pattern=False)
        name = f"{self._me}.{next(self._numbers)}"
        await self._commands.run(LEAVE, self._root, queue, name)
        worker = RedisWorker(
            self._commands,
            queue,
            handler,
            name=name,
            concurrency=concurrency,
            ack_wait=ack_wait,
            max_deliveries=max_deliveries,
        )
        self._workers.append(worker)
        return worker

    async def depth(self, queue: str) -> int:
        self._check_open()
        return int(await self._commands.call("ZCARD", f"{self._root}:work:open:{queue}"))

    async def replay(self, queue: str, *, after: int = 0) -> AsyncIterator[tuple[int, Envelope]]:
        self._check_open()
        stream = f"{self._root}:work:q:{queue}"
        last = await self._commands.call("XREVRANGE", stream, "+", "-", "COUNT", 1)
        while last:
            rows = await self._commands.call("XRANGE", stream, f"({after}-0", last[0][0], "COUNT", _PAGE)
            if not rows:
                return
            for entry, fields in rows:
                after = int(entry.split(b"-")[0])
                found = dict(zip(fields[::2], fields[1::2], strict=True))
                # A dead letter that was put back is in the history already.
                if found[b"a"] == b"0":
                    yield after, decode_envelope(found[b"d"])

    async def dead_letters(self, queue: str = "", *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        deaths = f"{self._root}:work:deaths" + (f":{queue}" if queue else "")
        ids: list[bytes] = await self._commands.call("ZREVRANGE", deaths, 0, limit - 1) if limit > 0 else []
        rows = await asyncio.gather(*(self._letter(one.decode()) for one in ids))
        return [row for row in rows if row]

    async def retry(self, letter_id: str) -> bool:
        self._check_open()
        return bool(await self._commands.run(RETRY, self._root, letter_id, 1))

    async def drop(self, letter_id: str) -> bool:
        self._check_open()
        return bool(await self._commands.run(RETRY, self._root, letter_id, 0))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(*(worker.close() for worker in self._workers))
        self._workers.clear()
        chores = [*self._chores, *([self._beat] if self._beat else [])]
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await asyncio.gather(self._nudges.close(), self._commands.close())

    async def _letter(self, letter_id: str) -> DeadLetter | None:
        row = await self._commands.call("HGETALL", f"{self._root}:work:dead:{letter_id}")
        if not row:
            return None
        found = dict(zip(row[::2], row[1::2], strict=True))
        return DeadLetter(
            id=letter_id,
            queue=found[b"queue"].decode(),
            envelope=decode_envelope(found[b"data"]),
            deliveries=int(found[b"tries"]),
            error=found[b"error"].decode(errors="replace"),
            died_ns=int(found[b"died"]) * 1000,
        )

    async def _read_durability(self) -> None:
        try:
            row = await self._commands.call("CONFIG", "GET", "*append*")
        except BusInvalid:
            self._durability = Durability.UNKNOWN
            return
        found = dict(zip(row[::2], row[1::2], strict=True))
        always = found.get(b"appendfsync") == b"always" and found.get(b"no-appendfsync-on-rewrite") == b"no"
        if found.get(b"appendonly") != b"yes":
            self._durability = Durability.UNKNOWN
        else:
            self._durability = Durability.FSYNCED if always else Durability.FLUSHED_LATER

    def _soon(self, chore: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            with suppress(CenobyError):
                await chore

        task = asyncio.create_task(quietly())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _listen(self) -> None:
        self._nudges.post("SUBSCRIBE", f"{self._root}:work:nudge")
        for worker in self._workers:
            worker.wake.set()

    async def _nudge(self, message: Any) -> None:
        if isinstance(message, Exception):
            # Without the channel a worker still looks every second.
            _log.warning("redis work is not told of new work: %s", message)
        elif message[0] == b"message":
            for worker in self._workers:
                if worker.queue == message[2].decode():
                    worker.wake.set()

    async def _keep(self) -> None:
        """Have each connection prove that it lives."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self._commands.tell("PING")
            if self._nudges.up.is_set():
                self._nudges.post("PING")

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("bus_closed", "The work queue is closed; the colony is stopping.")
