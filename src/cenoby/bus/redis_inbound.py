"""What comes in from Redis: plain envelopes by Pub/Sub, and by streams what groups share and what answers us."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

from redis.exceptions import ResponseError

from cenoby.bus.contract import matches
from cenoby.bus.delivery import LocalSubscription
from cenoby.bus.redis_address import RedisAddress
from cenoby.bus.redis_link import Lane
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError

_BATCH = 64
_BLOCK_MS = 1_000
_CONFIRM_SECONDS = 5.0
_GLOB = re.compile(r"([\[\]?\\^-])")


class Listener:
    """One Pub/Sub connection for every subscription without group.

    Args:
        cancelled: told the id of each request, of anybody, that nobody waits for any more.
    """

    def __init__(self, address: RedisAddress, clock: Clock, cancelled: Callable[[str], None]) -> None:
        self.subscriptions: list[LocalSubscription] = []
        self._channel = f"{address.root}:bus:s:"
        self._cancel_channel = f"{address.root}:bus:cancel"
        self._cancelled = cancelled
        self._clock = clock
        self._by_name: dict[bytes, list[LocalSubscription]] = {}
        self._confirmed: dict[bytes, asyncio.Future[None]] = {}
        self._lane = Lane(address, clock, "listener", opened=self._open, received=self._receive, lost=self._lose)

    async def start(self) -> None:
        """Connect; raises as `Lane.start`."""
        await self._lane.start()
        await self._confirmation(self._cancel_channel.encode())

    async def add(self, one: LocalSubscription) -> None:
        """Return once what is published from now on reaches `one`."""
        self.subscriptions.append(one)
        verb, name = self._name(one)
        self._by_name.setdefault(name, []).append(one)
        if name not in self._confirmed and self._lane.up.is_set():
            self._lane.post(verb, name)
        await self._confirmation(name)

    def remove(self, one: LocalSubscription) -> None:
        """Deliver nothing more to `one`."""
        if one not in self.subscriptions:
            return
        self.subscriptions.remove(one)
        verb, name = self._name(one)
        self._by_name[name].remove(one)
        if not self._by_name[name]:
            del self._by_name[name]
            self._confirmed.pop(name, None)
            if self._lane.up.is_set():
                self._lane.post(verb.replace("SUB", "UNSUB"), name)

    def ping(self) -> None:
        """Have the connection prove that it lives."""
        if self._lane.up.is_set():
            self._lane.post("PING")

    async def close(self) -> None:
        await self._lane.close()

    def _name(self, one: LocalSubscription) -> tuple[str, bytes]:
        if "*" not in one.pattern and one.pattern[-1] != ">":
            return "SUBSCRIBE", f"{self._channel}{one.subject}".encode()
        # A glob's `*` is anything, dots too: it lets too much through, which `matches` takes out again.
        glob = re.sub(r">$", "*", _GLOB.sub(r"\\\1", one.subject))
        return "PSUBSCRIBE", f"{self._channel}{glob}".encode()

    def _open(self) -> None:
        self._lane.post("SUBSCRIBE", self._cancel_channel)
        for name, found in self._by_name.items():
            self._lane.post(self._name(found[0])[0], name)

    async def _confirmation(self, name: bytes) -> None:
        confirmed = self._confirmed.setdefault(name, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(_CONFIRM_SECONDS):
                await asyncio.shield(confirmed)
        except TimeoutError as error:
            raise self._lane.error or self._lane.address.failure(error, self._clock) from None

    async def _receive(self, message: Any) -> None:
        if isinstance(message, ResponseError):
            self._refuse(message)
            return
        kind, name = message[0], message[1]
        if kind in (b"subscribe", b"psubscribe"):
            confirmed = self._confirmed.get(name)
            if confirmed and not confirmed.done():
                confirmed.set_result(None)
            return
        if kind not in (b"message", b"pmessage"):
            return
        channel, data = cast("bytes", message[-2]).decode(), message[-1]
        if channel == self._cancel_channel:
            self._cancelled(data.decode())
            return
        names, now_ns = tuple(channel.removeprefix(self._channel).split(".")), self._clock.monotonic_ns()
        lagging = False
        for one in tuple(self._by_name.get(name, ())):
            if matches(one.pattern, names):
                lagging |= one.offer(data, now_ns)
        if lagging:
            await asyncio.sleep(0)

    def _refuse(self, error: ResponseError) -> None:
        # The server does not say which it means; whoever waits is told, and may ask again.
        refusal = self._lane.address.failure(error, self._clock)
        for name, confirmed in [*self._confirmed.items()]:
            if not confirmed.done():
                confirmed.set_exception(refusal)
                del self._confirmed[name]

    def _lose(self, _: CenobyError) -> None:
        self._confirmed = {name: one for name, one in self._confirmed.items() if not one.done()}


class StreamReader:
    """One connection that waits at our inbox and at the stream of every group we are in.

    Each entry is ours alone once it was handed to us, and stays pending in Redis until we confirm it with the next
    command: what was on its way when a connection broke is read again, and nothing is taken twice.

    Args:
        me: our name in the streams' consumer groups.
        take: told of each entry and of the group's member whose turn it is; true when that lags.
        renew: called when a stream is gone and must be registered again.
    """

    def __init__(
        self,
        address: RedisAddress,
        clock: Clock,
        me: str,
        *,
        take: Callable[[dict[bytes, bytes], LocalSubscription | None], bool],
        renew: Callable[[], None],
    ) -> None:
        self.subscriptions: list[LocalSubscription] = []
        self.lane = Lane(address, clock, "streams", opened=self._open, received=self._receive, lost=lambda _: None)
        self._root = f"{address.root}:bus:"
        self._me = me
        self._take = take
        self._renew = renew
        self._groups: dict[tuple[str, str], list[LocalSubscription]] = {}
        self._taken: dict[bytes, list[bytes]] = {}
        self._confirming = 0
        self._recovering = False

    def add(self, one: LocalSubscription) -> None:
        """Read for `one` too, once its group is registered."""
        self.subscriptions.append(one)
        self._groups.setdefault((one.subject, one.group), []).append(one)

    def remove(self, one: LocalSubscription) -> bool:
        """Whether `one` was the last of its group here."""
        if one not in self.subscriptions:
            return False
        self.subscriptions.remove(one)
        key = (one.subject, one.group)
        self._groups[key].remove(one)
        if self._groups[key]:
            return False
        del self._groups[key]
        return True

    def forget_all(self) -> None:
        """Take nothing more for any group."""
        self.subscriptions.clear()
        self._groups.clear()

    def names(self) -> list[str]:
        """Pattern and group of each group we are in, one after the other."""
        return [name for key in self._groups for name in key]

    def _open(self) -> None:
        self._recovering = True
        self._ask()

    def _ask(self) -> None:
        """Confirm what was taken, and wait for more; after a break, first for what had been on its way."""
        self._confirming = 0
        for stream, entries in self._taken.items():
            self.lane.post("XACK", stream, "m", *entries)
            self.lane.post("XDEL", stream, *entries)
            self._confirming += 2
        streams = [f"{self._root}inbox:{self._me}", *(f"{self._root}group:{p} {g}" for p, g in self._groups)]
        place = "0" if self._recovering else ">"
        command = ("XREADGROUP", "GROUP", "m", self._me, "COUNT", _BATCH, "BLOCK", _BLOCK_MS, "STREAMS")
        self.lane.post(*command, *streams, *([place] * len(streams)))

    async def _receive(self, response: Any) -> None:
        if self._confirming:
            self._confirming -= 1
            if not self._confirming:
                self._taken.clear()
            return
        if isinstance(response, ResponseError):
            # A stream is gone: a restart without what was held, or a group that everybody left meanwhile.
            self._renew()
            await asyncio.sleep(0.05)
        else:
            # Only a read without a gap shows that nothing more was on its way.
            found = 0
            for stream, entries in response or ():
                for entry_id, fields in entries:
                    found += 1
                    self._taken.setdefault(stream, []).append(entry_id)
                    if fields and self._hand_over(stream, fields):
                        await asyncio.sleep(0)
            self._recovering = self._recovering and found > 0
        self._ask()

    def _hand_over(self, stream: bytes, fields: list[bytes]) -> bool:
        entry = dict(zip(fields[::2], fields[1::2], strict=True))
        return self._take(entry, self._next(stream.decode()))

    def _next(self, stream: str) -> LocalSubscription | None:
        """The member whose turn it is."""
        pattern, _, group = stream.removeprefix(f"{self._root}group:").partition(" ")
        members = self._groups.get((pattern, group))
        if not members:
            return None
        members.append(members.pop(0))
        return members[-1]
