"""Watching a conversation: every message after a number, once and in order, for a stretch of time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import to_json
from cenoby.mads.rogers.feed import Delivery, Follower
from cenoby.mads.rogers.ledger import ACKNOWLEDGEMENT, ConversationLedger
from cenoby.mads.rogers.pages import PAGE_CHARS, Message
from cenoby.mads.rogers.sql import Slice, Viewer

CHECK_SECONDS = 15.0
"""After so much silence the ledger is asked, because the bus delivers at most once."""

_PAGE = 100

Tell = Callable[[int, str], Awaitable[None]]
"""Told of each message: how many there were so far, and the message as JSON."""


class Watch:
    """One watcher's way through a conversation.

    The feed brings what is new; where its numbers show a gap, the ledger fills it.

    Args:
        ledger: where the messages are kept.
        follower: a place in the conversation's feed, taken before `last` was read.
        viewer: who watches.
        conversation: id of the conversation.
        last: number of the last message that the watcher has.
        limit: messages after which the watch ends early.
        acknowledgements: whether messages that only acknowledge are shown.
        tell: told of each message as it comes.
    """

    def __init__(
        self,
        ledger: ConversationLedger,
        follower: Follower,
        viewer: Viewer,
        conversation: str,
        *,
        last: int,
        limit: int,
        acknowledgements: bool,
        tell: Tell,
    ) -> None:
        self.last = last
        self.seen: list[Message] = []
        self._ledger = ledger
        self._follower = follower
        self._viewer = viewer
        self._conversation = conversation
        self._room = limit
        self._chars = PAGE_CHARS
        self._acknowledgements = acknowledgements
        self._tell = tell

    async def run(self, seconds: float, clock: Clock) -> None:
        """Watch for `seconds`, or until `limit` messages or a page's worth of text have come.

        Raises:
            ConversationUnknown: conversation_unknown.
        """
        ends_ns = clock.monotonic_ns() + round(seconds * 1e9)
        await self._catch_up()
        while self._open and (left := (ends_ns - clock.monotonic_ns()) / 1e9) > 0:
            deliveries = await self._follower.take(min(left, CHECK_SECONDS))
            if not deliveries:
                await self._catch_up()
            for delivery in deliveries:
                await self._accept(delivery)

    @property
    def _open(self) -> bool:
        return self._room > 0 and self._chars > 0

    async def _accept(self, delivery: Delivery) -> None:
        if delivery.message.seq == self.last + 1 and self._open:
            await self._show(delivery.message, delivery.json)
        elif delivery.message.seq > self.last:
            await self._catch_up()

    async def _catch_up(self) -> None:
        more = True
        while more and self._open:
            page = await self._ledger.history(
                self._viewer, self._conversation, Slice(limit=min(self._room, _PAGE), after=self.last)
            )
            more = page.more_after
            for message in page.messages:
                await self._show(message, to_json(message).decode())

    async def _show(self, message: Message, json: str) -> None:
        self.last = message.seq
        if self._acknowledgements or ACKNOWLEDGEMENT not in message.tags:
            self.seen.append(message)
            self._room -= 1
            self._chars -= len(message.content)
            await self._tell(len(self.seen), json)
