"""What durable work needs of JetStream: streams, what is put and read there, and what an acknowledgement is worth."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

from cenoby.bus.contract import BusUnavailable
from cenoby.bus.nats_client import Received
from cenoby.bus.nats_link import RETRY_SECONDS, NatsLink
from cenoby.bus.work import Durability

_SECONDS = 5.0
_BATCH = 128
_READER_IDLE_NS = 30_000_000_000
_READER_TRIES = 5
_NOT_FOUND = 404


class JetStreamRefused(Exception):
    """JetStream said no; `code` is as in HTTP."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


class JetStream:
    """JetStream's requests over one connection."""

    def __init__(self, link: NatsLink) -> None:
        self.link = link

    async def call(self, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request of the JetStream API.

        Raises:
            JetStreamRefused: it was understood and refused.
            BusUnavailable: bus_deadline, bus_disconnected (also where JetStream is not there), bus_closed.
        """
        return await self._ask(f"$JS.API.{action}", json.dumps(body).encode() if body else b"", _SECONDS)

    async def put(self, subject: str, data: bytes, *, message_id: str, seconds: float = _SECONDS) -> tuple[int, bool]:
        """Append to the stream of `subject`; its position, and whether that id was there already.

        Raises:
            JetStreamRefused, BusInvalid, BusUnavailable.
        """
        answer = await self._ask(subject, data, seconds, {"Nats-Msg-Id": message_id})
        return int(answer.get("seq", 0)), bool(answer.get("duplicate"))

    async def find(self, action: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """As `call`, with None where the thing does not exist."""
        try:
            return await self.call(action, body)
        except JetStreamRefused as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    async def last(self, stream: str, filtered: str) -> tuple[int, bytes] | None:
        """The newest message on subjects that `filtered` covers, and its position."""
        found = await self.find(f"STREAM.MSG.GET.{stream}", {"last_by_subj": filtered})
        if found is None:
            return None
        return int(found["message"]["seq"]), base64.b64decode(found["message"].get("data", ""))

    async def read(self, stream: str, filtered: str, *, after: int = 0) -> AsyncGenerator[tuple[int, bytes], None]:
        """What is there now on subjects that `filtered` covers, oldest first, with its position.

        A reader on the server that nobody acknowledges to; when the connection breaks in between, another one goes on
        where this one was.
        """
        newest = await self.last(stream, filtered)
        tries = 0
        while newest and after < newest[0] and tries < _READER_TRIES:
            tries += 1
            async with contextlib.aclosing(self._read_once(stream, filtered, after + 1)) as found:
                async for position, data, remaining in found:
                    tries = 0
                    after = position
                    yield position, data
                    if position >= newest[0] or not remaining:
                        return

    async def _read_once(self, stream: str, filtered: str, first: int) -> AsyncGenerator[tuple[int, bytes, int], None]:
        config: dict[str, Any] = {
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": first,
            "filter_subject": filtered,
            "inactive_threshold": _READER_IDLE_NS,
            "mem_storage": True,
        }
        made = await self.call(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})
        inbox, came = self.link.new_inbox(), asyncio.Queue[Received | None](_BATCH + 8)

        def lost() -> None:
            with contextlib.suppress(asyncio.QueueFull):
                came.put_nowait(None)

        def take(received: Received) -> bool:
            if not came.full():
                came.put_nowait(received)
            return False

        handle = await self.link.listen(inbox, "", take)
        self.link.losses.add(lost)
        try:
            expected = 1
            while True:
                wanted = json.dumps({"batch": _BATCH, "no_wait": True}).encode()
                await self.link.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{made['name']}", wanted, reply=inbox)
                for _ in range(_BATCH):
                    async with asyncio.timeout(_SECONDS):
                        received = await came.get()
                    delivery = Delivery.of(received) if received is not None else None
                    if received is None or delivery is None or delivery.number != expected:
                        return
                    expected += 1
                    yield delivery.position, received.data, delivery.remaining
        except TimeoutError:
            return
        finally:
            self.link.losses.discard(lost)
            await self.link.unlisten(handle)
            with contextlib.suppress(JetStreamRefused, BusUnavailable):
                await self.call(f"CONSUMER.DELETE.{stream}.{made['name']}")

    async def durability(self) -> Durability:
        """What an acknowledgement is worth at this server.

        Only the system account may ask a server for its settings, and only from 2.10 on a server can be told to sync
        before it acknowledges; 2.9 syncs every two minutes.
        """
        info = self.link.server_info
        try:
            subject = f"$SYS.REQ.SERVER.{info.get('server_id', '')}.JSZ"
            answer = await self.link.request(subject, b'{"config":true}', seconds=1.0)
            told: Any = json.loads(answer.data)
        except (TimeoutError, ValueError, BusUnavailable):
            told = None
        return judge(str(info.get("version", "")), told, clustered="cluster" in info)

    async def _ask(
        self, subject: str, data: bytes, seconds: float, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        shown = self.link.address.shown
        try:
            received = await self.link.request(subject, data, seconds=seconds, headers=headers, of_broker=True)
        except TimeoutError:
            text = f"JetStream at {shown} did not answer within {seconds:.1f} s; try again."
            raise BusUnavailable("bus_deadline", text, retry_after=RETRY_SECONDS) from None
        except BusUnavailable as error:
            if error.code != "bus_no_responder":
                raise
            text = f"{shown} keeps no durable work now: JetStream, or our stream in it, is not there; try again."
            raise BusUnavailable("bus_disconnected", text, retry_after=RETRY_SECONDS) from error
        answer: dict[str, Any] = json.loads(received.data)
        if "error" in answer:
            refusal: dict[str, Any] = answer["error"]
            raise JetStreamRefused(int(refusal.get("code", 0)), str(refusal.get("description", "")))
        return answer


class Delivery:
    """What the reply subject of a message says about its delivery.

    Attributes:
        times: how often it was delivered, this time included.
        position: its place in the stream.
        number: its number among the deliveries of this consumer.
        remaining: messages that the consumer still has to deliver.
    """

    __slots__ = ("number", "position", "remaining", "times")

    def __init__(self, times: int, position: int, number: int, remaining: int) -> None:
        self.times, self.position, self.number, self.remaining = times, position, number, remaining

    @classmethod
    def of(cls, received: Received) -> Delivery | None:
        """None where it is no message of a stream, e.g. a status."""
        names = received.reply.split(".")
        # $JS.ACK.stream.consumer.times.position.number.time.remaining; domain and account come before the stream in the
        # longer form of newer servers.
        first = 4 if len(names) == 9 else 6
        if names[:2] != ["$JS", "ACK"] or len(names) < first + 5:
            return None
        times, position, number, _, remaining = (int(one) for one in names[first : first + 5])
        return cls(times, position, number, remaining)


def judge(version: str, told: Any, *, clustered: bool) -> Durability:
    """The durability that a server's version and, where it answered, its own settings (JSZ) promise.

    The settings of one server say nothing of the others in its cluster.
    """
    config: Any = (told.get("data") or {}).get("config") if isinstance(told, dict) else None  # pyright: ignore
    if isinstance(config, dict):
        always = bool(config.get("sync_always"))  # pyright: ignore
        if always:
            return Durability.UNKNOWN if clustered else Durability.FSYNCED
        return Durability.FLUSHED_LATER
    parts = version.split(".")
    known = len(parts) >= 2 and parts[0].isdigit() and parts[1].isdigit()
    return Durability.FLUSHED_LATER if known and (int(parts[0]), int(parts[1])) < (2, 10) else Durability.UNKNOWN
