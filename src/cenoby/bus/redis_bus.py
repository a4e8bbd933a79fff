"""The bus over Redis: between processes, at most once.

What nobody shares goes over Pub/Sub. What a group shares, and every request, goes through a stream with a consumer
group, one for each pattern and group; a reply comes back through its caller's own stream. So a connection that breaks
for a moment delays those and loses nothing, while plain envelopes published meanwhile are lost to who was away.

Who answers where is registered in Redis and renewed every second: a request without anybody is refused at once, and
after a crash within four seconds. Deadlines are compared with each machine's own clock: keep clocks together.

Three connections serve a bus however many subscriptions it has: commands, Pub/Sub, and one that waits at the streams.
An ACL user needs `~<prefix>:* &<prefix>:* +@read +@write +@pubsub +@scripting +@connection +@stream +time`. A pattern
that is subscribed to without a group is compared with the ACL's letter by letter, so it needs its own
`&<prefix>:<db>:bus:s:<pattern>` with a last `>` as `*` (for a colony `main`: `main.*.resource`,
`main.*.conversation.*`), or `&*`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from cenoby.bus.contract import CLOSE_SECONDS, DEFAULT_DEPTH, BusUnavailable, Handler, check_subject
from cenoby.bus.delivery import LocalSubscription, delivery_trace
from cenoby.bus.redis_address import RETRY_SECONDS, RedisAddress
from cenoby.bus.redis_bus_scripts import CANCEL, LEAVE, PUBLISH, REGISTER, REQUEST, STREAM_LENGTH
from cenoby.bus.redis_inbound import Listener, StreamReader
from cenoby.bus.redis_link import BEAT_SECONDS, Commands
from cenoby.bus.wire import decode_envelope, decode_reply, encode_answer, encode_envelope, encode_error
from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.ids import new_id
from cenoby.telemetry.recorder import CallTrace

_REPLY_TRIES = 5
_CHORE_SECONDS = 2.0
_log = logging.getLogger(__name__)


class RedisBus:
    """A `MessageBus` over one Redis. Make it with `connect`.

    Args:
        address: which Redis, and as whom.
        clock: tells the wall time that deadlines are compared with.
        trace: told of each delivery of a published envelope that has a correlation, from its arrival here on.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        clock: Clock | None = None,
        trace: Callable[[CallTrace], None] | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self._trace = trace
        self._root = address.root
        self._shown = address.shown
        self._me = new_id()
        self._numbers = count()
        self._closed = False
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._commands = Commands(address, self.clock)
        self._listener = Listener(address, self.clock, self._cancel_handler)
        self._reader = StreamReader(
            address, self.clock, self._me, take=self._take, renew=lambda: self._soon(self._register(wake=True))
        )
        self._beat: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        address: RedisAddress,
        *,
        clock: Clock | None = None,
        trace: Callable[[CallTrace], None] | None = None,
    ) -> RedisBus:
        """A connected bus.

        Raises:
            BusInvalid: bus_refused.
            BusUnavailable: bus_disconnected.
        """
        bus = cls(address, clock=clock, trace=trace)
        try:
            await bus._commands.lane.start()
            await bus._register(wake=False, first=True)
            await bus._listener.start()
            await bus._reader.lane.start()
        except BaseException:
            await bus._hang_up()
            raise
        bus._beat = asyncio.create_task(bus._keep(), name="redis:beat")
        return bus

    async def publish(self, envelope: Envelope) -> None:
        self._check_open()
        check_subject(envelope.recipient, pattern=False)
        await self._commands.run(PUBLISH, self._root, envelope.recipient, encode_envelope(envelope))

    async def subscribe(
        self, subject: str, handler: Handler, *, group: str = "", depth: int = DEFAULT_DEPTH
    ) -> LocalSubscription:
        self._check_open()
        check_subject(subject, pattern=True)
        one = LocalSubscription(self, subject, handler, group, depth)
        try:
            if group:
                self._reader.add(one)
                await self._register(wake=True)
            else:
                await self._listener.add(one)
        except BaseException:
            await one.close()
            raise
        return one

    async def request(self, envelope: Envelope) -> Any:
        self._check_open()
        check_subject(envelope.recipient, pattern=False)
        data = encode_envelope(envelope)
        seconds = (envelope.deadline_ns - self.clock.now_ns()) / 1e9 if envelope.deadline_ns else None
        if seconds is not None and seconds <= 0:
            raise _deadline(envelope)
        number = next(self._numbers)
        request_id = f"{self._me}-{number}"
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        placed: list[bytes] | None = None
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                placed = await self._commands.run(
                    REQUEST, self._root, envelope.recipient, data, number, self._me, request_id
                )
                if not placed:
                    raise _no_responder(envelope.recipient)
                reply = await answer
        except BaseException as error:
            if placed or isinstance(error, TimeoutError | asyncio.CancelledError):
                self._commands.tell(*CANCEL.command(self._root, *(placed or (b"", b"")), request_id))
            if isinstance(error, TimeoutError) and deadline.expired():
                raise _deadline(envelope) from None
            raise
        finally:
            del self._waiting[request_id]
        return decode_reply(reply)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._beat:
            self._beat.cancel()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_closed())
        everything, names = [*self._listener.subscriptions, *self._reader.subscriptions], self._reader.names()
        self._reader.forget_all()
        await self._reader.lane.close()
        await self._quietly(self._commands.run(LEAVE, self._root, self._me, 1, *names))
        await asyncio.gather(*(one.close() for one in everything))
        under_way = {*self._running.values()} - {asyncio.current_task()}
        if under_way:
            _, unfinished = await asyncio.wait(under_way, timeout=CLOSE_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.wait(under_way)
        await self._hang_up()

    async def forget(self, subscription: LocalSubscription, seconds: float) -> None:
        """Deliver nothing more to `subscription`; called by its own `close`. Requests under way end by themselves."""
        del seconds
        if not subscription.group:
            self._listener.remove(subscription)
        elif self._reader.remove(subscription):
            names = (subscription.subject, subscription.group)
            await self._quietly(self._commands.run(LEAVE, self._root, self._me, 0, *names))

    def trace(self, delivery: str, envelope: Envelope, status: str, published_ns: int, taken_ns: int) -> None:
        """Record a delivery, by its id, that has just been handled; times are monotonic ns from its arrival on."""
        if self._trace is not None and envelope.correlation:
            self._trace(delivery_trace(self.clock, delivery, envelope, status, published_ns, taken_ns))

    async def _hang_up(self) -> None:
        chores = {*self._chores, *([self._beat] if self._beat else [])} - {asyncio.current_task()}
        for chore in chores:
            chore.cancel()
        if chores:
            await asyncio.wait(chores)
        await asyncio.gather(self._listener.close(), self._reader.lane.close(), self._commands.close())

    def _check_open(self) -> None:
        if self._closed:
            raise _closed()

    async def _keep(self) -> None:
        """Renew what is registered, and have each connection prove that it lives."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self._listener.ping()
            await self._quietly(self._register(wake=False))

    async def _register(self, *, wake: bool, first: bool = False) -> None:
        fresh = await self._commands.run(REGISTER, self._root, self._me, int(wake), *self._reader.names())
        if fresh and not first:
            # Redis came back without what it held: neither our requests nor the answers to them are there any more.
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(_forgotten(self._shown))

    async def _quietly(self, chore: Coroutine[Any, Any, Any]) -> None:
        """Do what is done again or undone by itself anyhow."""
        try:
            async with asyncio.timeout(_CHORE_SECONDS):
                await chore
        except (CenobyError, TimeoutError) as error:
            _log.debug("redis bus chore failed: %s", error)

    def _soon(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._quietly(chore))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _take(self, entry: dict[bytes, bytes], one: LocalSubscription | None) -> bool:
        """One entry of a stream: a reply where there is no subscription's group, a request, or a shared envelope."""
        request_id = entry.get(b"i", b"").decode()
        if b"a" in entry:
            answer = self._waiting.get(request_id)
            if answer and not answer.done():
                answer.set_result(entry[b"a"])
        elif request_id:
            task = asyncio.create_task(self._answer(entry[b"d"], one, entry[b"r"].decode(), request_id))
            self._running[request_id] = task
            task.add_done_callback(lambda _: self._running.pop(request_id, None))
        elif one and b"d" in entry:
            return one.offer(entry[b"d"], self.clock.monotonic_ns() if self._trace else 0)
        return False

    def _cancel_handler(self, request_id: str) -> None:
        if task := self._running.get(request_id):
            task.cancel()

    async def _answer(self, data: bytes, one: LocalSubscription | None, inbox: str, request_id: str) -> None:
        deadline = asyncio.timeout(None)
        try:
            envelope = decode_envelope(data)
            if one is None:
                raise _no_responder(envelope.recipient)
            async with deadline:
                if envelope.deadline_ns:
                    seconds = (envelope.deadline_ns - self.clock.now_ns()) / 1e9
                    deadline.reschedule(asyncio.get_running_loop().time() + seconds)
                reply = encode_answer(await one.handler(envelope))
        except Exception as error:  # noqa: BLE001 - whatever it is goes back to the caller
            if isinstance(error, TimeoutError) and deadline.expired():
                return
            reply = _error(error)
        await self._reply(inbox, request_id, reply)

    async def _reply(self, inbox: str, request_id: str, reply: bytes) -> None:
        command = ("XADD", f"{self._root}:bus:inbox:{inbox}", "NOMKSTREAM", "MAXLEN", "~", STREAM_LENGTH, "*")
        # Again after a broken connection: the caller takes the first answer with its id, and no other.
        for tries_left in reversed(range(_REPLY_TRIES)):
            try:
                await self._commands.call(*command, "i", request_id, "a", reply)
                return
            except CenobyError as error:
                if not tries_left or self._closed:
                    _log.warning("an answer could not be sent: %s", error)
                    return
                await asyncio.sleep(RETRY_SECONDS)


def _error(error: Exception) -> bytes:
    if not isinstance(error, CenobyError):
        _log.exception("bus responder failed")
    return encode_error(error)


def _closed() -> BusUnavailable:
    return BusUnavailable("bus_closed", "The bus is closed; the colony is stopping.")


def _no_responder(recipient: str) -> BusUnavailable:
    return BusUnavailable("bus_no_responder", f"Nobody answers on {recipient} now; try again shortly.", retry_after=1.0)


def _deadline(envelope: Envelope) -> BusUnavailable:
    return BusUnavailable(
        "bus_deadline", f"No answer from {envelope.recipient} before the deadline; try again.", retry_after=1.0
    )


def _forgotten(shown: str) -> BusUnavailable:
    return BusUnavailable(
        "bus_disconnected",
        f"{shown} was restarted and forgot the request; try again.",
        retry_after=RETRY_SECONDS,
    )
