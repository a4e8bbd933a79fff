"""What changed in the colony, for clients that listen: from bus subjects to coalesced feeds.

Every notice only says "read it again", so a feed keeps at most one notice per thing, however slow its client is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

from cenoby.bus.contract import MessageBus, Subscription, payload_as
from cenoby.colony.events import ListName, ToolsChanged
from cenoby.colony.events import ResourceUpdated as UpdatedOnBus
from cenoby.kernel.envelope import Envelope

_NOTICES: dict[ListName, ServerEvent] = {
    "tools": ToolsListChanged(),
    "prompts": PromptsListChanged(),
    "resources": ResourcesListChanged(),
}


class Feed:
    """The changes that one listening client asked for.

    Args:
        tenant: whose resources it may hear of.
        lists: which of `tools`, `prompts`, `resources` it wants to hear of as lists.
    """

    def __init__(self, tenant: str, lists: Iterable[str] = ()) -> None:
        self.tenant = tenant
        self.lists = frozenset(lists)
        self.uris: set[str] = set()
        self._waiting: dict[ServerEvent, None] = {}
        self._news = asyncio.Event()
        self._closed = False

    def offer(self, event: ServerEvent) -> None:
        """Add a change that the client has not been told of yet; a feed that is closed takes none."""
        if self._closed:
            return
        self._waiting[event] = None
        self._news.set()

    def close(self) -> None:
        """End the feed once what waits in it has been taken."""
        self._closed = True
        self._news.set()

    def cut(self) -> None:
        """End the feed at once; what waits in it is told to nobody."""
        self._waiting = {}
        self.close()

    async def take(self) -> list[ServerEvent]:
        """What changed since the last time, oldest first; empty only when the feed is closed."""
        while not self._waiting and not self._closed:
            self._news.clear()
            await self._news.wait()
        events, self._waiting = list(self._waiting), {}
        return events


class Changes:
    """All open feeds, filled from the bus.

    Args:
        bus: where `<colony>.tools` and `<colony>.<tenant>.resource` are published.
        colony: the colony's name.
    """

    def __init__(self, bus: MessageBus, colony: str) -> None:
        self._bus = bus
        self._colony = colony
        self._feeds: set[Feed] = set()
        self._by_uri: dict[str, set[Feed]] = defaultdict(set)
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """Listen on the bus."""
        self._subscriptions = [
            await self._bus.subscribe(f"{self._colony}.tools", self._on_hosting),
            await self._bus.subscribe(f"{self._colony}.*.resource", self._on_resource),
        ]

    async def stop(self) -> None:
        """Stop listening and end all feeds."""
        self.close_feeds()
        for subscription in self._subscriptions:
            await subscription.close()

    def open(self, tenant: str, lists: Iterable[str] = ()) -> Feed:
        """A new feed; it hears of changes from now on."""
        feed = Feed(tenant, lists)
        self._feeds.add(feed)
        return feed

    def watch(self, feed: Feed, uri: str) -> None:
        """Tell `feed` when the resource changes."""
        feed.uris.add(uri)
        self._by_uri[uri].add(feed)

    def unwatch(self, feed: Feed, uri: str) -> None:
        """Tell `feed` of that resource no more."""
        feed.uris.discard(uri)
        watching = self._by_uri.get(uri)
        if watching is not None:
            watching.discard(feed)
            if not watching:
                del self._by_uri[uri]

    def drop(self, feed: Feed) -> None:
        """Forget a feed."""
        for uri in list(feed.uris):
            self.unwatch(feed, uri)
        self._feeds.discard(feed)
        feed.close()

    def close_feeds(self) -> None:
        """End every feed, so that the streams behind them end."""
        for feed in list(self._feeds):
            feed.close()

    async def _on_hosting(self, envelope: Envelope) -> None:
        changed = payload_as(envelope, ToolsChanged).lists
        for feed in list(self._feeds):
            for name in changed:
                if name in feed.lists:
                    feed.offer(_NOTICES[name])

    async def _on_resource(self, envelope: Envelope) -> None:
        uri = payload_as(envelope, UpdatedOnBus).uri
        for feed in self._by_uri.get(uri, ()):
            if feed.tenant == envelope.tenant:
                feed.offer(ResourceUpdated(uri))
