"""Durable work over JetStream.

Two streams per prefix: `<prefix>_work` holds what was put (`<prefix>.w.<queue>`), done or not, and `<prefix>_dead` the
dead letters (`<prefix>.d.<id>.<queue>`). Each queue has one durable consumer that all its workers pull from.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Generator
from typing import Any

from cenoby.bus.contract import BusInvalid, BusUnavailable, check_subject, subject
from cenoby.bus.nats_jetstream import JetStream, JetStreamRefused
from cenoby.bus.nats_link import RETRY_SECONDS, NatsLink
from cenoby.bus.nats_worker import NatsWorker
from cenoby.bus.wire import decode_envelope, encode_envelope
from cenoby.bus.work import (
    ACK_WAIT_SECONDS,
    DUPLICATE_WINDOW_SECONDS,
    MAX_DELIVERIES,
    DeadLetter,
    Durability,
    WorkHandler,
)
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import pack, unpack
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError

_DONE_KEPT = 100_000
"""Places of the stream for which work that is done is kept for replay."""
_DEAD_KEPT = 10_000
_LONGEST_ERROR = 8000
_LETTER_BYTES = 64 * 1024
"""What a dead letter may add to its envelope."""
_MOST_UNANSWERED = 20_000
_MOST_PULLS = 8192
_SUBJECT_BYTES = 1024
_PUT_SECONDS = 5.0


class NatsWork:
    """A `WorkQueue` over JetStream. Made by `open_work`.

    Args:
        link: an open connection, closed with it.
        clock: tells when a letter died.
    """

    def __init__(self, link: NatsLink, clock: Clock) -> None:
        prefix = link.address.prefix
        self._link = link
        self._clock = clock
        self._jetstream = JetStream(link)
        self._work_stream, self._dead_stream = f"{prefix}_work", f"{prefix}_dead"
        self._work_root, self._dead_root = f"{prefix}.w", f"{prefix}.d"
        self._durability = Durability.UNKNOWN
        self._workers: list[NatsWorker] = []
        self._closed = False

    @property
    def durability(self) -> Durability:
        return self._durability

    async def open(self) -> None:
        """Make the streams where they are missing; those that are there stay as an operator has set them.

        Raises:
            BusInvalid: bus_url_invalid, where there is no JetStream; bus_refused, where we may not use it.
            BusUnavailable: bus_disconnected, bus_deadline.
        """
        if not self._link.server_info.get("jetstream"):
            text = f"{self._link.address.shown} has no JetStream, which durable work needs; start nats-server with -js."
            raise BusInvalid("bus_url_invalid", text)
        with self._translated():
            await self._make_streams()
        self._durability = await self._jetstream.durability()

    async def put(self, envelope: Envelope) -> bool:
        self._check_open()
        where = self._subject(envelope.recipient)
        data = encode_envelope(envelope)
        if len(data) + _LETTER_BYTES > self._link.max_payload:
            text = f"{len(data)} bytes and what a dead letter adds are more than the server's max_payload."
            raise BusInvalid("bus_payload_invalid", text)
        seconds = _PUT_SECONDS
        if envelope.deadline_ns:
            seconds = min(seconds, (envelope.deadline_ns - self._clock.now_ns()) / 1e9)
        if seconds <= 0:
            text = "The deadline of the envelope has passed."
            raise BusUnavailable("bus_deadline", text, retry_after=RETRY_SECONDS)
        with self._translated():
            _, duplicate = await self._jetstream.put(where, data, message_id=subject(envelope.id), seconds=seconds)
        return not duplicate

    async def work(
        self,
        queue: str,
        handler: WorkHandler,
        *,
        concurrency: int = 1,
        ack_wait: float = ACK_WAIT_SECONDS,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> NatsWorker:
        self._check_open()
        self._subject(queue)

        async def ensure() -> None:
            await self._make_streams()
            await self._make_consumer(queue, ack_wait)

        async def trim() -> None:
            await self._trim(queue)

        async def bury(envelope: Envelope, deliveries: int, reason: str) -> None:
            await self._bury(queue, envelope, deliveries, reason)

        with self._translated():
            await ensure()
        worker = NatsWorker(
            self._link,
            f"{self._work_stream}.{_consumer(queue)}",
            handler,
            concurrency=concurrency,
            ack_wait=ack_wait,
            max_deliveries=max_deliveries,
            ensure=ensure,
            trim=trim,
            bury=bury,
        )
        self._workers = [one for one in self._workers if not one.closed] + [worker]
        try:
            await worker.start()
        except BaseException:
            await worker.close()
            raise
        return worker

    async def depth(self, queue: str) -> int:
        self._check_open()
        where = self._subject(queue)
        with self._translated():
            found = await self._jetstream.find(f"CONSUMER.INFO.{self._work_stream}.{_consumer(queue)}")
            if found is not None:
                return int(found["num_pending"]) + int(found["num_ack_pending"])
            # Nobody has worked on it yet: all that was put is there.
            found = await self._jetstream.find(f"STREAM.INFO.{self._work_stream}", {"subjects_filter": where})
            subjects: dict[str, int] = (found["state"].get("subjects") or {}) if found else {}
            return subjects.get(where, 0)

    async def replay(self, queue: str, *, after: int = 0) -> AsyncIterator[tuple[int, Envelope]]:
        """As in the contract; what is done is kept for the last 100 000 places of the stream of all queues."""
        self._check_open()
        where = self._subject(queue)
        with self._translated():
            async with contextlib.aclosing(self._jetstream.read(self._work_stream, where, after=after)) as found:
                async for position, data in found:
                    yield position, decode_envelope(data)

    async def dead_letters(self, queue: str = "", *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        where = f"{self._dead_root}.*.{queue}" if queue else f"{self._dead_root}.>"
        if queue:
            self._subject(queue)
        newest = deque[bytes](maxlen=limit)
        with self._translated():
            async with contextlib.aclosing(self._jetstream.read(self._dead_stream, where)) as found:
                async for _, data in found:
                    newest.append(data)
        return [unpack(data, DeadLetter) for data in reversed(newest)]

    async def retry(self, letter_id: str) -> bool:
        self._check_open()
        with self._translated():
            found = await self._jetstream.last(self._dead_stream, f"{self._dead_root}.{subject(letter_id)}.>")
            if found is None:
                return False
            position, data = found
            letter = unpack(data, DeadLetter)
            # An id of its own, for the envelope's may still be remembered; the same one for whoever retries as well.
            again = f"{subject(letter_id)}/{letter.died_ns}"
            await self._jetstream.put(self._subject(letter.queue), encode_envelope(letter.envelope), message_id=again)
            return await self._delete(position)

    async def drop(self, letter_id: str) -> bool:
        self._check_open()
        with self._translated():
            found = await self._jetstream.last(self._dead_stream, f"{self._dead_root}.{subject(letter_id)}.>")
            return found is not None and await self._delete(found[0])

    async def close(self) -> None:
        self._closed = True
        workers, self._workers = self._workers, []
        await asyncio.gather(*(one.close() for one in workers))
        await self._link.close()

    async def _make_streams(self) -> None:
        shared: dict[str, Any] = {
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "duplicate_window": round(DUPLICATE_WINDOW_SECONDS * 1e9),
            "num_replicas": 1,
        }
        # What is to be done has no limit but the server's own: whatever forgot it would break the promise of `put`.
        limits = {self._work_stream: {}, self._dead_stream: {"max_msgs": _DEAD_KEPT}}
        roots = {self._work_stream: self._work_root, self._dead_stream: self._dead_root}
        for name, limit in limits.items():
            if await self._jetstream.find(f"STREAM.INFO.{name}") is None:
                config = {"name": name, "subjects": [f"{roots[name]}.>"], **shared, **limit}
                await self._jetstream.call(f"STREAM.CREATE.{name}", config)

    async def _make_consumer(self, queue: str, ack_wait: float) -> None:
        name = _consumer(queue)
        config: dict[str, Any] = {
            "durable_name": name,
            "description": queue[:200],
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": round(ack_wait * 1e9),
            # Tries are counted by the workers: the server would leave what it gives up without a trace.
            "max_deliver": -1,
            "filter_subject": self._subject(queue),
            "max_ack_pending": _MOST_UNANSWERED,
            "max_waiting": _MOST_PULLS,
        }
        body = {"stream_name": self._work_stream, "config": config}
        await self._jetstream.call(f"CONSUMER.DURABLE.CREATE.{self._work_stream}.{name}", body)

    async def _trim(self, queue: str) -> None:
        """Forget what of `queue` is done and further back than replay reaches."""
        stream = await self._jetstream.find(f"STREAM.INFO.{self._work_stream}")
        consumer = await self._jetstream.find(f"CONSUMER.INFO.{self._work_stream}.{_consumer(queue)}")
        if stream is None or consumer is None:
            return
        first = min(int(consumer["ack_floor"]["stream_seq"]) + 1, int(stream["state"]["last_seq"]) - _DONE_KEPT)
        if first > 1:
            body = {"filter": self._subject(queue), "seq": first}
            await self._jetstream.call(f"STREAM.PURGE.{self._work_stream}", body)

    async def _bury(self, queue: str, envelope: Envelope, deliveries: int, reason: str) -> None:
        died_ns = self._clock.now_ns()
        # The end of a traceback says what was raised.
        letter = DeadLetter(envelope.id, queue, envelope, deliveries, reason[-_LONGEST_ERROR:], died_ns)
        where = f"{self._dead_root}.{subject(envelope.id)}.{queue}"
        with self._translated():
            await self._jetstream.put(where, pack(letter), message_id=f"{subject(envelope.id)}/{died_ns}")

    async def _delete(self, position: int) -> bool:
        """False where somebody else was quicker."""
        try:
            await self._jetstream.call(f"STREAM.MSG.DELETE.{self._dead_stream}", {"seq": position})
        except JetStreamRefused:
            return False
        return True

    def _subject(self, queue: str) -> str:
        check_subject(queue, pattern=False)
        found = f"{self._work_root}.{queue}"
        try:
            too_long = len(found.encode()) > _SUBJECT_BYTES
        except UnicodeEncodeError:
            raise BusInvalid("bus_subject_invalid", f"{queue!r} has no form in UTF-8.") from None
        if too_long:
            raise BusInvalid("bus_subject_invalid", f"A queue over NATS has at most {_SUBJECT_BYTES} bytes.")
        return found

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        """JetStream's refusals as errors of ours."""
        try:
            yield
        except JetStreamRefused as error:
            raise self._refused(error) from error

    def _refused(self, error: JetStreamRefused) -> CenobyError:
        text = f"JetStream at {self._link.address.shown} refuses: {error}"
        if error.code in (400, 401, 403):
            return BusInvalid("bus_refused", f"{text}.")
        return BusUnavailable("bus_disconnected", f"{text}; try again.", retry_after=RETRY_SECONDS)

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("bus_closed", "The work queue is closed; the colony is stopping.")


async def open_work(link: NatsLink, clock: Clock) -> NatsWork:
    """A work queue on `link`, which it owns; the link is closed where that fails.

    Raises:
        BusInvalid: bus_url_invalid, bus_refused.
        BusUnavailable: bus_disconnected, bus_deadline.
    """
    work = NatsWork(link, clock)
    try:
        await work.open()
    except BaseException:
        await link.close()
        raise
    return work


def _consumer(queue: str) -> str:
    """A name for the queue's consumer; a queue's own may hold what NATS forbids there."""
    return hashlib.sha256(queue.encode()).hexdigest()[:32]
