"""The contract of durable work: what is put is done at least once, or ends among the dead letters.

`WorkQueue` stands beside `MessageBus`: a bus forgets what nobody was there for, a work queue does not. The one
conformance suite is `tests/bus/test_work_conformance.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from cenoby.kernel.envelope import Envelope

WorkHandler = Callable[[Envelope], Awaitable[None]]

ACK_WAIT_SECONDS = 30.0
"""After so long without a sign of life from whoever took it, work is given to somebody else."""
MAX_DELIVERIES = 5
"""Deliveries after which work that is never acknowledged is a dead letter."""
DUPLICATE_WINDOW_SECONDS = 120.0
"""How long at least a second envelope with the same id is recognised."""


class Durability(StrEnum):
    """What it means that `put` returned."""

    FSYNCED = "fsynced"
    """On disk: it outlasts a power cut."""
    FLUSHED_LATER = "flushed_later"
    """With the broker: it outlasts a killed process of ours; a power cut at the broker may lose the last seconds."""
    UNKNOWN = "unknown"
    """The broker does not say; take it for `flushed_later`."""


class DeadLetter(msgspec.Struct, frozen=True):
    """Work that was given up.

    Attributes:
        id: of the envelope; `retry` and `drop` take it.
        queue: where it was put.
        envelope: the work.
        deliveries: how often it was tried.
        error: what the last try raised, with its traceback, or that nobody acknowledged it in time.
        died_ns: Unix nanoseconds.
    """

    id: str
    queue: str
    envelope: Envelope
    deliveries: int
    error: str
    died_ns: int


class Worker(Protocol):
    """One handler at work on one queue."""

    @property
    def running(self) -> int:
        """Envelopes that the handler has and has not finished."""
        ...

    async def close(self) -> None:
        """Take nothing more; what is under way may finish (5 s at most), and what does not goes back to the queue."""
        ...


class WorkQueue(Protocol):
    """Queues of envelopes that outlast who put them and who takes them.

    Guarantees of every implementation:
      - `put` returns when the envelope is as safe as `durability` says; an envelope with the id of one that was put
        within `DUPLICATE_WINDOW_SECONDS` is not queued again.
      - At least once: an envelope is delivered until its handler returns, to one worker at a time. While the worker's
        process lives, the handler may take as long as it needs; when that process dies, the envelope is delivered to
        another worker after `ack_wait`.
      - A handler that raises gets the envelope again, later each time; after `max_deliveries` it is a dead letter.
      - Of one sender, envelopes are first delivered in the order in which they were put; with several workers, with
        concurrency, or when one is delivered again, they may be done in another order.
      - A worker holds at most `concurrency` envelopes: what it does not take stays in the queue for others.
      - Workers of one queue share it, whichever process they are in.
    """

    @property
    def durability(self) -> Durability:
        """What an acknowledgement is worth here; known once connected."""
        ...

    async def put(self, envelope: Envelope) -> bool:
        """Queue `envelope` under its recipient, an exact subject; False where its id was put before.

        Raises:
            BusInvalid: bus_subject_invalid, bus_payload_invalid.
            BusUnavailable: bus_closed, bus_deadline, bus_disconnected; it may be queued or not, so put it again.
        """
        ...

    async def work(
        self,
        queue: str,
        handler: WorkHandler,
        *,
        concurrency: int = 1,
        ack_wait: float = ACK_WAIT_SECONDS,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> Worker:
        """Call `handler` for what is in `queue`, now and later; its return acknowledges.

        Args:
            queue: the subject under which work is put.
            handler: does the work; doing the same envelope twice must do no harm.
            concurrency: envelopes it has at once.
            ack_wait: seconds after which a dead worker's envelope is somebody else's; the same for all workers of it.
            max_deliveries: tries before it is a dead letter; the same for all workers of the queue.

        Raises:
            BusInvalid: bus_subject_invalid.
            BusUnavailable: bus_closed, bus_disconnected.
        """
        ...

    async def depth(self, queue: str) -> int:
        """Envelopes in `queue` that are not done: waiting, or with a worker."""
        ...

    def replay(self, queue: str, *, after: int = 0) -> AsyncIterator[tuple[int, Envelope]]:
        """What was put into `queue`, done or not, oldest first, with its position; nothing is acknowledged by it.

        It ends at what was put last when it began. How far back it reaches is for each implementation to say.

        Args:
            queue: the subject.
            after: position after which to begin; 0 for the oldest that is kept.
        """
        ...

    async def dead_letters(self, queue: str = "", *, limit: int = 100) -> list[DeadLetter]:
        """Work that was given up, newest first; of one queue, or of all where that is empty."""
        ...

    async def retry(self, letter_id: str) -> bool:
        """Put a dead letter back into its queue with all its tries; False where there is none of that id."""
        ...

    async def drop(self, letter_id: str) -> bool:
        """Forget a dead letter; False where there is none of that id."""
        ...

    async def close(self) -> None:
        """Close every worker; whatever is called afterwards raises `BusUnavailable`."""
        ...
