"""The last step of every transport: a bounded queue in front of one handler, and the task that empties it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from itertools import count
from typing import Protocol

from cenoby.bus.contract import CLOSE_SECONDS, Handler, check_subject
from cenoby.bus.wire import decode_envelope
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id
from cenoby.telemetry.recorder import CallTrace

_log = logging.getLogger(__name__)


class Deliverer(Protocol):
    """What a subscription needs from the bus that it belongs to."""

    @property
    def clock(self) -> Clock: ...

    async def forget(self, subscription: LocalSubscription, seconds: float) -> None:
        """Deliver nothing more to `subscription`; requests under way may go on for `seconds`. Called by its `close`."""
        ...

    def trace(self, delivery: str, envelope: Envelope, status: str, published_ns: int, taken_ns: int) -> None:
        """Record a delivery, by its id, that has just been handled; times are monotonic nanoseconds."""
        ...


class LocalSubscription:
    """One handler, its bounded queue, and the task that feeds the one from the other."""

    def __init__(self, bus: Deliverer, subject: str, handler: Handler, group: str, depth: int) -> None:
        self.subject = subject
        self.pattern = check_subject(subject, pattern=True)
        self.handler = handler
        self.group = group
        self.dropped = 0
        self._id = new_id()
        self._handled = count()
        self._bus = bus
        self._depth = depth
        self._queue: deque[tuple[Envelope | bytes, int]] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._consume(), name=f"bus:{subject}")

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def offer(self, item: Envelope | bytes, now_ns: int) -> bool:
        """Queue `item`, or drop it when the queue is full; true when the consumer lags and should get a turn.

        `now_ns` is the monotonic time of publication, or 0 where nobody records it.
        """
        queue = self._queue
        if len(queue) >= self._depth:
            self.dropped += 1
            return True
        queue.append((item, now_ns))
        if len(queue) == 1:
            self._wake.set()
        return len(queue) * 2 > self._depth

    async def close(self, *, seconds: float = CLOSE_SECONDS) -> None:
        self._closed = True
        self._queue.clear()
        self._wake.set()
        await self._bus.forget(self, seconds)
        self._queue.clear()
        if self._task is not asyncio.current_task():
            _, unfinished = await asyncio.wait((self._task,), timeout=seconds)
            if unfinished:
                self._task.cancel()
                await asyncio.wait((self._task,))

    async def _consume(self) -> None:
        queue = self._queue
        while not self._closed:
            if not queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            item, published_ns = queue.popleft()
            status, taken_ns = "ok", self._bus.clock.monotonic_ns() if published_ns else 0
            envelope: Envelope | None = None
            try:
                envelope = item if isinstance(item, Envelope) else decode_envelope(item)
                await self.handler(envelope)
            except Exception:  # noqa: BLE001 - whatever one envelope does to a handler, the next one is delivered
                status = "error"
                _log.exception("bus handler failed", extra={"subject": self.subject})
            if published_ns and envelope:
                # An id of its own each would cost more than all the rest of a delivery.
                self._bus.trace(f"{self._id}/{next(self._handled)}", envelope, status, published_ns, taken_ns)


def delivery_trace(
    clock: Clock, delivery: str, envelope: Envelope, status: str, published_ns: int, taken_ns: int
) -> CallTrace:
    """The trace of a delivery that has just been handled: how long it waited, and how long it was handled."""
    handled_ns = clock.monotonic_ns()
    return CallTrace(
        correlation=envelope.correlation,
        invocation=delivery,
        tool=f"bus {envelope.recipient}",
        agent=envelope.sender,
        status=status,
        start_ns=clock.now_ns() - (handled_ns - published_ns),
        marks=[("start", published_ns), ("wait", taken_ns), ("handle", handled_ns)],
        parent=envelope.causation,
    )
