"""The bus over core NATS.

`p.` and `r.` keep what is published and what is requested apart, e.g. `cenoby.p.main.default.mad.rogers`: plain
subscriptions listen to the one, and all that can answer share one queue group of the other, so that a request reaches
exactly one of them whatever group it is in. Names of ours hold nothing that NATS forbids, so they travel as they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cenoby.bus.contract import DEFAULT_DEPTH, BusInvalid, BusUnavailable, Handler, check_subject
from cenoby.bus.delivery import LocalSubscription, delivery_trace
from cenoby.bus.nats_client import Received
from cenoby.bus.nats_link import RETRY_SECONDS, NatsLink
from cenoby.bus.wire import decode_envelope, decode_reply, encode_answer, encode_envelope, encode_error
from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError
from cenoby.telemetry.recorder import CallTrace

_RESPONDERS = "responders"
# The server ends a connection whose control line (subject, reply, queue, sizes) exceeds 4096 bytes.
_SUBJECT_BYTES = 2048
_SUBJECTS_KEPT = 4096
# A responder outlives its caller's deadline by so much, for the clocks of two machines differ.
_GRACE_SECONDS = 5.0
_REQUESTS_AT_ONCE = 4096
_log = logging.getLogger(__name__)


class NatsBus:
    """A `MessageBus` over core NATS.

    Args:
        link: an open connection, closed with the bus.
        clock: tells the wall time that deadlines are compared with.
        trace: told of each delivery of a published envelope that has a correlation: how long it waited here, and how
            long it was handled.
    """

    def __init__(
        self, link: NatsLink, *, clock: Clock | None = None, trace: Callable[[CallTrace], None] | None = None
    ) -> None:
        self.clock = clock or SystemClock()
        self._link = link
        self._trace = trace
        self._closed = False
        self._listening: dict[LocalSubscription, list[Any]] = {}
        self._responders: dict[LocalSubscription, _Responder] = {}

    async def publish(self, envelope: Envelope) -> None:
        self._link.check_open()
        subject = self._subject("p", envelope.recipient, pattern=False)
        await self._link.publish(subject, encode_envelope(envelope))

    async def subscribe(
        self, subject: str, handler: Handler, *, group: str = "", depth: int = DEFAULT_DEPTH
    ) -> LocalSubscription:
        self._link.check_open()
        published = self._subject("p", subject, pattern=True)
        subscription = LocalSubscription(self, subject, handler, group, depth)
        handles = self._listening[subscription] = []
        try:
            queue = hashlib.sha256(f"{group}\0{subject}".encode()).hexdigest()[:32] if group else ""
            handles.append(await self._link.listen(published, queue, self._into(subscription)))
            if group:
                responder = self._responders[subscription] = _Responder(self._link, handler, self.clock)
                requested = self._subject("r", subject, pattern=True)
                handles.append(await self._link.listen(requested, _RESPONDERS, responder.take))
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def request(self, envelope: Envelope) -> Any:
        self._link.check_open()
        subject = self._subject("r", envelope.recipient, pattern=False)
        data = encode_envelope(envelope)
        seconds = (envelope.deadline_ns - self.clock.now_ns()) / 1e9 if envelope.deadline_ns else None
        try:
            if seconds is not None and seconds <= 0:
                raise TimeoutError
            answer = await self._link.request(subject, data, seconds=seconds)
        except TimeoutError:
            text = f"No answer from {envelope.recipient} before the deadline; try again."
            raise BusUnavailable("bus_deadline", text, retry_after=RETRY_SECONDS) from None
        return decode_reply(answer.data)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.gather(*(one.close() for one in tuple(self._listening)))
        await self._link.close()

    async def forget(self, subscription: LocalSubscription, seconds: float) -> None:
        """End what reaches `subscription`; called by its own `close`."""
        for handle in self._listening.pop(subscription, []):
            await self._link.unlisten(handle)
        responder = self._responders.pop(subscription, None)
        if responder is not None:
            await responder.finish(seconds)

    def trace(self, delivery: str, envelope: Envelope, status: str, published_ns: int, taken_ns: int) -> None:
        """Record a delivery, by its id, that has just been handled; times are monotonic nanoseconds."""
        if self._trace is not None and envelope.correlation:
            self._trace(delivery_trace(self.clock, delivery, envelope, status, published_ns, taken_ns))

    def _into(self, subscription: LocalSubscription) -> Callable[[Received], bool]:
        def sink(received: Received) -> bool:
            return subscription.offer(received.data, self.clock.monotonic_ns() if self._trace else 0)

        return sink

    def _subject(self, kind: str, text: str, *, pattern: bool) -> str:
        return _checked(self._link.address.prefix, kind, text, pattern)


@lru_cache(_SUBJECTS_KEPT)
def _checked(prefix: str, kind: str, text: str, pattern: bool) -> str:
    check_subject(text, pattern=pattern)
    found = f"{prefix}.{kind}.{text}"
    try:
        too_long = len(found.encode()) > _SUBJECT_BYTES
    except UnicodeEncodeError:
        raise BusInvalid("bus_subject_invalid", f"{text!r} has no form in UTF-8.") from None
    if too_long:
        raise BusInvalid("bus_subject_invalid", f"A subject over NATS has at most {_SUBJECT_BYTES} bytes.")
    return found


class _Responder:
    """Runs one handler for the requests that reach it, all at once up to a bound."""

    def __init__(self, link: NatsLink, handler: Handler, clock: Clock) -> None:
        self._link = link
        self._handler = handler
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()

    def take(self, received: Received) -> bool:
        """Begin to answer a request."""
        if len(self._running) >= 2 * _REQUESTS_AT_ONCE:
            # So many that even saying no piles up; the caller's deadline tells it.
            return True
        busy = len(self._running) >= _REQUESTS_AT_ONCE
        task = asyncio.create_task(self._refuse(received) if busy else self._answer(received))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return busy

    async def finish(self, seconds: float) -> None:
        """Let what is under way end, within `seconds`."""
        running = self._running - {task for task in (asyncio.current_task(),) if task}
        if running:
            _, unfinished = await asyncio.wait(running, timeout=seconds)
            for task in unfinished:
                task.cancel()
            if unfinished:
                await asyncio.wait(unfinished)

    async def _answer(self, received: Received) -> None:
        bound = asyncio.timeout(None)
        try:
            envelope = decode_envelope(received.data)
            if envelope.deadline_ns:
                bound = asyncio.timeout((envelope.deadline_ns - self._clock.now_ns()) / 1e9 + _GRACE_SECONDS)
            async with bound:
                answer = encode_answer(await self._handler(envelope))
        except CenobyError as error:
            answer = encode_error(error)
        except Exception as error:  # noqa: BLE001 - goes back to the caller as one typed fault
            if bound.expired():
                return
            _log.exception("bus responder failed", extra={"subject": received.subject})
            answer = encode_error(error)
        await self._reply(received, answer)

    async def _refuse(self, received: Received) -> None:
        text = f"{_REQUESTS_AT_ONCE} requests are under way there; try again shortly."
        await self._reply(received, encode_error(BusUnavailable("bus_no_responder", text, retry_after=RETRY_SECONDS)))

    async def _reply(self, received: Received, answer: bytes) -> None:
        try:
            try:
                await self._link.publish(received.reply, answer)
            except BusInvalid as too_large:
                await self._link.publish(received.reply, encode_error(too_large))
        except BusUnavailable as error:
            _log.warning("bus answer lost", extra={"subject": received.subject, "reason": error.message})
