"""One handler at work on one queue of JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from cenoby.bus.contract import BusUnavailable
from cenoby.bus.nats_client import Received
from cenoby.bus.nats_jetstream import Delivery, JetStreamRefused
from cenoby.bus.nats_link import NatsLink
from cenoby.bus.wire import decode_envelope
from cenoby.bus.work import WorkHandler
from cenoby.kernel.codec import CodecError
from cenoby.kernel.envelope import Envelope

CLOSE_SECONDS = 5.0
_PULL_SECONDS = 30.0
_LATER_SECONDS = 0.1
_LATEST_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_TRIM_SECONDS = 60.0
_WANTED = json.dumps({"batch": 1, "expires": round(_PULL_SECONDS * 1e9)}).encode()
_DONE = b"+ACK"
_DONE_AND_WANTED = b"+NXT " + _WANTED
_UNHEARD = "Nobody acknowledged it in time: its worker went away each time it was delivered."
_log = logging.getLogger(__name__)

Pulled = tuple[Received, Delivery]
Bury = Callable[[Envelope, int, str], Awaitable[None]]
"""Makes a dead letter of an envelope after so many deliveries for this reason."""


class NatsWorker:
    """Has `concurrency` places, each of which pulls one envelope, has it handled, and answers for it.

    Args:
        link: the connection, which stays open.
        consumer: `stream.consumer` that is pulled from.
        ensure: makes that consumer again should it be gone.
        trim: forgets what was done long ago.
        bury: makes a dead letter.
    """

    def __init__(
        self,
        link: NatsLink,
        consumer: str,
        handler: WorkHandler,
        *,
        concurrency: int,
        ack_wait: float,
        max_deliveries: int,
        ensure: Callable[[], Awaitable[None]],
        trim: Callable[[], Awaitable[None]],
        bury: Bury,
    ) -> None:
        self._link = link
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{consumer}"
        self._handler = handler
        self._beat = ack_wait / 3
        self._max_deliveries = max_deliveries
        self._ensure = ensure
        self._trim = trim
        self._bury = bury
        self._inbox = link.new_inbox()
        self._listening: Any = None
        self._pulls: dict[str, asyncio.Future[Received | None]] = {}
        self._tokens = count()
        # By place in the stream: what the handler has, and where to answer for it.
        self._held: dict[int, str] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._closing = False
        self._concurrency = concurrency
        self._tasks: list[asyncio.Task[None]] = []
        self._keeper: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        return len(self._held)

    @property
    def closed(self) -> bool:
        """Whether it was told to take nothing more."""
        return self._closing

    async def start(self) -> None:
        """Begin to take work."""
        self._listening = await self._link.listen(f"{self._inbox}.*", "", self._take)
        self._link.losses.add(self._lost)
        self._tasks = [asyncio.create_task(self._place()) for _ in range(self._concurrency)]
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._lost()
            if self._listening is not None:
                # Without an inbox the server delivers nothing to the pulls that are open; what was on its way until
                # now is given back by `_take`.
                await self._link.unlisten(self._listening)
            self._link.losses.discard(self._lost)
        mine = asyncio.current_task()
        places = [one for one in self._tasks if one is not mine]
        if places:
            _, unfinished = await asyncio.wait(places, timeout=CLOSE_SECONDS)
            for one in unfinished:
                one.cancel()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await asyncio.gather(*places, *self._errands, return_exceptions=True)

    def _take(self, received: Received) -> bool:
        # Work comes under its own subject and does not tell which pull it answers: the oldest, as the server does it.
        token = received.subject.rpartition(".")[2] if received.status else ""
        pull = self._pulls.pop(token if token in self._pulls else next(iter(self._pulls), ""), None)
        if pull is not None and not pull.done() and not self._closing:
            pull.set_result(received)
        elif Delivery.of(received) is not None:
            task = asyncio.create_task(self._answer(received.reply, b"-NAK"))
            self._errands.add(task)
            task.add_done_callback(self._errands.discard)
        return False

    def _lost(self) -> None:
        """What was pulled for will not come on this connection."""
        for pull in tuple(self._pulls.values()):
            if not pull.done():
                pull.set_result(None)

    async def _place(self) -> None:
        pulled: Pulled | None = None
        while not self._closing:
            try:
                pulled = await (self._handle(*pulled) if pulled else self._pull(self._next, _WANTED))
            except BusUnavailable:
                pulled = None
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:  # noqa: BLE001 - a place that ended would be missing until the next start
                pulled = None
                _log.exception("work place stumbled")
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _pull(self, subject: str, wanted: bytes) -> Pulled | None:
        """What comes for `wanted`, sent to `subject`: one message of the stream, or None."""
        token = str(next(self._tokens))
        loop = asyncio.get_running_loop()
        pull = self._pulls[token] = loop.create_future()
        timer = loop.call_later(_PULL_SECONDS + 2, _give_up, pull)
        try:
            await self._link.publish(subject, wanted, reply=f"{self._inbox}.{token}")
            received = await pull
        finally:
            timer.cancel()
            self._pulls.pop(token, None)
        if received is None or received.status == "408":
            return None
        delivery = Delivery.of(received)
        if delivery is None:
            # No such consumer, too many pulls, or another leader: 404, 409, 503.
            await asyncio.sleep(_PAUSE_SECONDS)
            with contextlib.suppress(JetStreamRefused):
                await self._ensure()
            return None
        return received, delivery

    async def _handle(self, received: Received, delivery: Delivery) -> Pulled | None:
        """Work on it and answer for it; the next one, where that was asked for in the same message."""
        if delivery.position in self._held:
            # Delivered again while it is still at work here, e.g. after an outage: that work answers for both.
            self._held[delivery.position] = received.reply
            return None
        self._held[delivery.position] = received.reply
        answer, more = b"-NAK", False
        try:
            answer = await self._work(received, delivery)
            more = answer == _DONE and not self._closing
        finally:
            reply = self._held.pop(delivery.position)
            if not more:
                await self._answer(reply, answer)
        if not more:
            return None
        try:
            return await self._pull(reply, _DONE_AND_WANTED)
        except BusUnavailable as error:
            _unanswered(error)
            raise

    async def _work(self, received: Received, delivery: Delivery) -> bytes:
        """What to answer for it."""
        try:
            envelope = decode_envelope(received.data)
        except CodecError:
            _log.exception("work is no envelope", extra={"subject": received.subject})
            return b"+TERM"
        if delivery.times > self._max_deliveries:
            await self._bury(envelope, delivery.times - 1, _UNHEARD)
            return b"+TERM"
        try:
            await self._handler(envelope)
            return _DONE
        except Exception as error:  # noqa: BLE001 - whatever it raises, it is tried again or kept as a dead letter
            _log.warning("work failed", exc_info=error, extra={"subject": envelope.recipient})
            reason = "".join(traceback.format_exception(error))
        if delivery.times >= self._max_deliveries:
            await self._bury(envelope, delivery.times, reason)
            return b"+TERM"
        later = min(_LATER_SECONDS * 2 ** (delivery.times - 1), _LATEST_SECONDS)
        return b"-NAK " + json.dumps({"delay": round(later * 1e9)}).encode()

    async def _answer(self, reply: str, answer: bytes) -> None:
        try:
            await self._link.publish(reply, answer)
        except BusUnavailable as error:
            _unanswered(error)

    async def _keep(self) -> None:
        """Tell the server that what is held is at work, and now and then have done work forgotten."""
        loop = asyncio.get_running_loop()
        trimmed = 0.0
        while True:
            for reply in tuple(self._held.values()):
                await self._answer(reply, b"+WPI")
            if loop.time() - trimmed > _TRIM_SECONDS:
                trimmed = loop.time()
                with contextlib.suppress(BusUnavailable, JetStreamRefused):
                    await self._trim()
            await asyncio.sleep(self._beat)


def _give_up(pull: asyncio.Future[Received | None]) -> None:
    if not pull.done():
        pull.set_result(None)


def _unanswered(error: BusUnavailable) -> None:
    # It will be delivered again, which is what at least once means.
    _log.warning("work could not be answered for", extra={"reason": error.message})
