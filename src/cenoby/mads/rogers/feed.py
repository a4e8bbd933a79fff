"""Live feeds: every message event of the bus, handed to those who watch its conversation."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from cenoby.bus.contract import MessageBus, Subscription, payload_as, subject
from cenoby.kernel.codec import to_json
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.events import name_of
from cenoby.mads.rogers.events import MessagePosted
from cenoby.mads.rogers.pages import Message

_MESSAGE_POSTED = name_of(MessagePosted)
_DEPTH = 16_384
_FOLLOWER_DEPTH = 1024
_CROWD = 64
_HEAD_START_SECONDS = 0.002
"""Before so many followers are woken, whoever posted gets the time to have the call recorded: the thread that writes
needs the interpreter several times for a commit, and a loop that wakes hundreds gives it up only every 5 ms."""
_AT_ONCE = 8
"""Followers woken in one turn of the loop: a message that hundreds watch must not hold up everything else."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message, and its JSON: encoded once, however many watch."""

    message: Message
    json: str


class Follower:
    """One watcher's place in the feed. What does not fit is left out; the numbers of the messages show the gap."""

    def __init__(self) -> None:
        self._waiting: list[Delivery] = []
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None

    def offer(self, delivery: Delivery) -> None:
        """Hand over a message without waiting."""
        if len(self._waiting) < _FOLLOWER_DEPTH:
            self._waiting.append(delivery)
            self._wake.set()

    async def take(self, seconds: float) -> list[Delivery]:
        """What has come since the last call; waits for something, at most `seconds`, and may come back sooner."""
        if self._alarm is None:
            # One alarm serves many calls: setting one for each would cost more than the rest of them.
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._ring)
        if not self._waiting:
            await self._wake.wait()
        self._wake.clear()
        taken, self._waiting = self._waiting, []
        return taken

    def close(self) -> None:
        """Let go of the alarm."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()


class Feed:
    """One bus subscription for all conversations of the colony, and the followers of each.

    Args:
        bus: where messages are announced.
        colony: the colony's name.
    """

    def __init__(self, bus: MessageBus, colony: str) -> None:
        self._bus = bus
        self._colony = colony
        self._followers: defaultdict[str, set[Follower]] = defaultdict(set)
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._subscription = await self._bus.subscribe(f"{self._colony}.*.conversation.*", self._hand_out, depth=_DEPTH)

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            await self._subscription.close()

    def subject(self, tenant: str, conversation: str) -> str:
        """The bus subject of a conversation's events."""
        return subject(self._colony, tenant, "conversation", conversation)

    @contextmanager
    def follow(self, tenant: str, conversation: str) -> Generator[Follower]:
        """A place in the feed of one conversation while the body runs."""
        key, follower = self.subject(tenant, conversation), Follower()
        self._followers[key].add(follower)
        try:
            yield follower
        finally:
            follower.close()
            self._followers[key].discard(follower)
            if not self._followers[key]:
                del self._followers[key]

    async def _hand_out(self, envelope: Envelope) -> None:
        followers = self._followers.get(envelope.recipient)
        if not followers or envelope.event.partition(".")[0] != _MESSAGE_POSTED:
            return
        message = payload_as(envelope, MessagePosted).message
        delivery = Delivery(message, to_json(message).decode())
        if len(followers) > _CROWD and self._subscription is not None and not self._subscription.waiting:
            await asyncio.sleep(_HEAD_START_SECONDS)
        for position, follower in enumerate(tuple(followers), 1):
            follower.offer(delivery)
            if position % _AT_ONCE == 0:
                await asyncio.sleep(0)
