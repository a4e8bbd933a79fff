"""The bus within one process.

Values pass by reference, or with `codec=True` through msgpack and back, as they would reach another process. A request
calls its responder directly, in the caller's task: no hop, no queue, and a timer only once the responder waits for
something.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import cycle
from typing import Any

from cenoby.bus.contract import DEFAULT_DEPTH, BusUnavailable, Handler, check_subject, matches
from cenoby.bus.delivery import LocalSubscription, delivery_trace
from cenoby.bus.wire import (
    decode_envelope,
    decode_reply,
    encode_answer,
    encode_envelope,
    encode_error,
    responder_failed,
)
from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError
from cenoby.telemetry.recorder import CallTrace

_ROUTES_KEPT = 8192
_log = logging.getLogger(__name__)


class _Route:
    """Where the envelopes of one subject go."""

    __slots__ = ("groups", "listeners", "responders")

    def __init__(self, found: list[LocalSubscription]) -> None:
        members: dict[tuple[str, str], list[LocalSubscription]] = {}
        for one in found:
            if one.group:
                members.setdefault((one.subject, one.group), []).append(one)
        self.listeners = [one for one in found if not one.group]
        self.groups = [cycle(group) for group in members.values()]
        grouped = [one.handler for one in found if one.group]
        self.responders: Iterator[Handler] | None = cycle(grouped) if grouped else None


class MemoryBus:
    """A `MessageBus` for one process and one event loop.

    Args:
        clock: tells the wall time that deadlines are compared with.
        codec: pass everything through its bytes, errors included.
        trace: told of each delivery of a published envelope that has a correlation: how long it waited, and how long
            it was handled. A request is part of its caller's own span.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        codec: bool = False,
        trace: Callable[[CallTrace], None] | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self._trace = trace
        self._codec = codec
        self._closed = False
        self._subscriptions: list[LocalSubscription] = []
        self._routes: dict[str, _Route] = {}

    async def publish(self, envelope: Envelope) -> None:
        route = self._routes.get(envelope.recipient) or self._find(envelope.recipient)
        item = encode_envelope(envelope) if self._codec else envelope
        now_ns = self.clock.monotonic_ns() if self._trace and envelope.correlation else 0
        lagging = False
        for one in route.listeners:
            lagging |= one.offer(item, now_ns)
        for members in route.groups:
            lagging |= next(members).offer(item, now_ns)
        if lagging:
            await asyncio.sleep(0)

    async def subscribe(
        self, subject: str, handler: Handler, *, group: str = "", depth: int = DEFAULT_DEPTH
    ) -> LocalSubscription:
        self._check_open()
        subscription = LocalSubscription(self, subject, handler, group, depth)
        self._subscriptions.append(subscription)
        self._routes.clear()
        return subscription

    async def request(self, envelope: Envelope) -> Any:
        route = self._routes.get(envelope.recipient) or self._find(envelope.recipient)
        if route.responders is None:
            raise BusUnavailable(
                "bus_no_responder", f"Nobody answers on {envelope.recipient} now; try again shortly.", retry_after=1.0
            )
        handler = next(route.responders)
        if self._codec:
            handler = _through_codec(handler)
        try:
            if not envelope.deadline_ns:
                return await handler(envelope)
            return await self._bounded(handler, envelope)
        except CenobyError:
            raise
        except Exception as error:  # the caller gets one typed fault for whatever a responder may raise
            _log.exception("bus responder failed", extra={"subject": envelope.recipient})
            raise responder_failed(error) from error

    async def close(self) -> None:
        self._closed = True
        self._routes.clear()
        await asyncio.gather(*(one.close() for one in tuple(self._subscriptions)))

    async def forget(self, subscription: LocalSubscription, seconds: float) -> None:
        """Route nothing more to `subscription`; called by its own `close`. A request runs in its caller's task."""
        del seconds
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._routes.clear()

    def trace(self, delivery: str, envelope: Envelope, status: str, published_ns: int, taken_ns: int) -> None:
        """Record a delivery, by its id, that has just been handled; times are monotonic nanoseconds."""
        if self._trace is not None:
            self._trace(delivery_trace(self.clock, delivery, envelope, status, published_ns, taken_ns))

    def _find(self, recipient: str) -> _Route:
        self._check_open()
        names = check_subject(recipient, pattern=False)
        route = _Route([one for one in self._subscriptions if matches(one.pattern, names)])
        if len(self._routes) >= _ROUTES_KEPT:
            self._routes.clear()
        self._routes[recipient] = route
        return route

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("bus_closed", "The bus is closed; the colony is stopping.")

    async def _bounded(self, handler: Handler, envelope: Envelope) -> Any:
        seconds = (envelope.deadline_ns - self.clock.now_ns()) / 1e9
        if seconds <= 0:
            raise _deadline(envelope)
        steps = handler(envelope).__await__()
        try:
            waits_for = next(steps)
        except StopIteration as finished:
            return finished.value
        # A timer costs more than most answers, so it is set only for a responder that did not answer at once.
        with _Deadline(seconds, envelope):
            return await _resume(steps, waits_for)


class _Deadline:
    """Cancels the task it is entered in once `seconds` have passed, and turns that into `BusUnavailable`.

    The same bookkeeping of `cancel` and `uncancel` as `asyncio.timeout`, at less than half its cost a request.
    """

    __slots__ = ("_cancelling", "_envelope", "_passed", "_task", "_timer")

    def __init__(self, seconds: float, envelope: Envelope) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is made in a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._envelope = envelope
        self._passed = False
        self._timer = asyncio.get_running_loop().call_later(seconds, self._pass)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._timer.cancel()
        del self._timer  # it keeps its callback, which leads back here
        if self._passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise _deadline(self._envelope) from None

    def _pass(self) -> None:
        self._passed = True
        self._task.cancel()


@types.coroutine
def _resume(steps: Generator[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """The rest of an awaitable whose first step was taken already and waits for `waits_for`."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as thrown:  # noqa: BLE001 - a cancellation too is for the steps to handle
            advance = partial(steps.throw, thrown)
        else:
            advance = partial(steps.send, sent)
        try:
            waits_for = advance()
        except StopIteration as finished:
            return finished.value


def _deadline(envelope: Envelope) -> BusUnavailable:
    return BusUnavailable(
        "bus_deadline", f"No answer from {envelope.recipient} before the deadline; try again.", retry_after=1.0
    )


def _through_codec(handler: Handler) -> Handler:
    async def answer(envelope: Envelope) -> Any:
        return decode_reply(await _answer_encoded(handler, encode_envelope(envelope)))

    return answer


async def _answer_encoded(handler: Handler, request: bytes) -> bytes:
    try:
        return encode_answer(await handler(decode_envelope(request)))
    except Exception as error:  # noqa: BLE001 - goes back to the caller as bytes, as from another process
        if not isinstance(error, CenobyError):
            _log.exception("bus responder failed")
        return encode_error(error)
