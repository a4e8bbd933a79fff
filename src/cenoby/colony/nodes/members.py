"""The other nodes of a colony: who lives, what each hosts, and the tools that are there.

Each node publishes a signed heartbeat every `BEAT_SECONDS`, and at once when what it hosts changes. Whoever is silent
for `DEAD_AFTER_SECONDS` is taken for dead; that counts only while this node hears its own heartbeats, for otherwise it
is the bus that is silent. A node whose offers are not known yet is asked for them. What nobody offers any more stays
listed for `REMEMBERED_SECONDS`, so that a node that is restarted costs its callers an "unavailable, try again" at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from cenoby import __version__
from cenoby.access.roles import AccessRefused
from cenoby.bus.contract import MessageBus, Subscription
from cenoby.colony.events import MemberChange, NodeJoined, NodeLeft, NodeLost
from cenoby.colony.nodes.answers import MadOffer, Offers, OrderTaken
from cenoby.colony.nodes.events import MadLoad, NodeAlive, NodeOrder, OffersWanted
from cenoby.colony.nodes.offers import PriceAsked, RemoteMad, offer_digest
from cenoby.colony.nodes.questions import ask
from cenoby.colony.nodes.seals import Seals
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import BusEvent, tag_of
from cenoby.kernel.ids import new_id
from cenoby.telemetry.logs import get_logger

BEAT_SECONDS = 1.0
DEAD_AFTER_SECONDS = 3.5
REMEMBERED_SECONDS = 30.0
_NEVER_NS = -(10**18)
_ANSWER_SECONDS = 5.0
_log = get_logger("colony.members")
T = TypeVar("T")


class Member(msgspec.Struct):
    """Another node.

    Attributes:
        alive: its last heartbeat.
        heard_ns: when that came, monotonic nanoseconds.
        listened_ns: for how long this node had listened by then.
        offers: what its MADs offer, each with its digest.
    """

    name: str
    alive: NodeAlive
    heard_ns: int
    listened_ns: int
    offers: dict[str, tuple[str, MadOffer]] = {}


class Presence(msgspec.Struct, frozen=True):
    """What this node says of itself in a heartbeat."""

    mads: dict[str, MadLoad]
    open_circuits: list[str]


class Members:
    """All nodes but this one.

    Args:
        bus: where they are heard.
        colony: the colony's name.
        seals: signs and opens.
        clock: the time.
        started_ns: when this node started, Unix nanoseconds.
        presence: what this node says of itself just now.
        offers: what its MADs offer just now.
        order: takes an order for this node.
        price: asks what a call of a MAD elsewhere may cost.
        changed: told of each node that comes or goes.
        relisted: told of each MAD whose offer, or whose place, is another than before.
    """

    def __init__(
        self,
        *,
        bus: MessageBus,
        colony: str,
        seals: Seals,
        clock: Clock,
        started_ns: int,
        presence: Callable[[], Presence],
        offers: Callable[[], list[MadOffer]],
        order: Callable[[NodeOrder], Awaitable[OrderTaken]],
        price: PriceAsked,
        changed: Callable[[MemberChange], None],
        relisted: Callable[[str], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._colony = colony
        self._seals = seals
        self._clock = clock
        self._started_ns = started_ns
        self._presence = presence
        self._own_offers = offers
        self._order = order
        self._price = price
        self._changed = changed
        self._relisted = relisted
        self._run = new_id()
        self._number = 0
        self._lag_ms = 0.0
        self._members: dict[str, Member] = {}
        self._mads: dict[str, RemoteMad] = {}
        self._digests: dict[str, str] = {}
        self._away_ns: dict[str, int] = {}
        self._listened_ns = 0
        self._own_heard_ns: int | None = None
        self._retired = False
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._heard = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self._beat: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and be heard.

        Raises:
            BusUnavailable: the bus cannot be reached.
        """
        self._subscriptions = [
            await self._bus.subscribe(f"{self._colony}.nodes", self._hear),
            await self._bus.subscribe(self.subject(self._seals.node), self._answer, group="node"),
        ]
        self._beat = asyncio.create_task(self._keep_beating(), name="members:beat")

    async def stop(self) -> None:
        """Say goodbye and be heard no more."""
        if self._beat is None:
            return
        self._beat.cancel()
        await asyncio.wait([self._beat])
        for task in self._asking.values():
            task.cancel()
        try:
            await self._say(leaving=True)
        except CenobyError as error:
            _log.warning("goodbye_unsaid", reason=error.message)
        for subscription in self._subscriptions:
            await subscription.close()

    async def retire(self) -> None:
        """Say that this node takes no more calls; it is heard until what it has is done."""
        self._retired = True
        try:
            await self._say()
        except CenobyError as error:
            _log.warning("retirement_unsaid", reason=error.message)

    def tell(self) -> None:
        """Say at once how this node is, because that changed."""
        self._news.set()

    def subject(self, node: str) -> str:
        """Where a node takes orders and questions."""
        return f"{self._colony}.node.{node}"

    @property
    def mads(self) -> Mapping[str, RemoteMad]:
        """The MADs that other nodes host, by name; always the current ones."""
        return self._mads

    @property
    def members(self) -> list[Member]:
        """The other nodes, by name."""
        return [self._members[name] for name in sorted(self._members)]

    def hosts(self, mad: str) -> list[str]:
        """The names of the other nodes that host a MAD."""
        return [member.name for member in self.members if mad in member.alive.mads]

    def lives(self, node: str) -> bool:
        """Whether another node of that name is there."""
        return node in self._members

    def silent_seconds(self, member: Member) -> float:
        """Seconds since its last heartbeat."""
        return (self._clock.monotonic_ns() - member.heard_ns) / 1e9

    async def lost(self, node: str) -> None:
        """Take a node for dead without waiting for its silence."""
        member = self._members.get(node)
        if member is not None:
            await self._forget(member, NodeLost)

    async def wait_for(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until what is known of other nodes fulfils `holds`; whether it does before `seconds` are over."""
        deadline_ns = self._clock.monotonic_ns() + seconds * 1e9
        while not holds():
            left = (deadline_ns - self._clock.monotonic_ns()) / 1e9
            if left <= 0:
                return False
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), left)
            except TimeoutError:
                return holds()
        return True

    async def order(self, node: str, mads: list[str], by: str) -> list[str]:
        """Have another node leave these MADs, or all of them and end where the list is empty; what it leaves.

        Raises:
            CenobyError: it cannot be reached, or refuses.
        """
        return (await self._ask(node, NodeOrder(mads=mads, by=by), OrderTaken)).mads

    async def _keep_beating(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_SECONDS
            try:
                await self._say()
            except CenobyError as error:
                _log.warning("heartbeat_lost", reason=error.message)
            self._bury()
            if self._away_ns:
                await self._merge()
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), max(due - loop.time(), 0))
            except TimeoutError:
                self._lag_ms = round((loop.time() - due) * 1000, 1)

    async def _say(self, *, leaving: bool = False) -> None:
        presence = self._presence()
        self._number += 1
        alive = NodeAlive(
            run=self._run,
            number=self._number,
            version=__version__,
            started_ns=self._started_ns,
            lag_ms=self._lag_ms,
            mads={} if leaving or self._retired else presence.mads,
            open_circuits=presence.open_circuits,
            leaving=leaving,
        )
        await self._bus.publish(self._seals.seal(f"{self._colony}.nodes", alive))

    async def _hear(self, envelope: Envelope) -> None:
        if envelope.node == self._seals.node:
            self._listen()
            return
        known = self._members.get(envelope.node)
        try:
            alive = await self._seals.open(envelope, NodeAlive, at=f"{self._colony}.nodes")
        except AccessRefused:
            if known is not None and not await self._seals.believes(envelope.node):
                # It was revoked: nobody waits for it to come back.
                self._away_ns |= dict.fromkeys(known.alive.mads, _NEVER_NS)
                await self._forget(known, NodeLost)
            raise
        if known is not None and known.alive.run != alive.run:
            if alive.started_ns <= known.alive.started_ns:
                # An earlier run of it, or another process with its key.
                return
            await self._forget(known, NodeLost)
            known = None
        if known is not None and alive.number <= known.alive.number:
            return
        if alive.leaving:
            if known is not None:
                await self._forget(known, NodeLeft)
            return
        now_ns = self._clock.monotonic_ns()
        if known is None:
            known = self._members[envelope.node] = Member(envelope.node, alive, now_ns, self._listened_ns)
            self._changed(NodeJoined(node=known.name, run=alive.run, mads=tuple(sorted(alive.mads))))
            self.tell()
        known.alive, known.heard_ns, known.listened_ns = alive, now_ns, self._listened_ns
        wanted = {name: load.offer for name, load in alive.mads.items()}
        if wanted.items() <= {name: offer for name, (offer, _) in known.offers.items()}.items():
            await self._merge()
        elif known.name not in self._asking:
            self._asking[known.name] = asyncio.create_task(self._fetch(known), name=f"members:offers:{known.name}")

    async def _fetch(self, member: Member) -> None:
        try:
            offers = await self._ask(member.name, OffersWanted(), Offers)
            member.offers = {one.name: (offer_digest(one), one) for one in offers.mads}
            await self._merge()
        except CenobyError as error:
            # Its next heartbeat makes us ask again.
            _log.warning("offers_unknown", node=member.name, reason=error.message)
        finally:
            del self._asking[member.name]

    def _listen(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._own_heard_ns is not None:
            # A longer gap says that the bus was away, or this process, and nothing about the others.
            self._listened_ns += min(now_ns - self._own_heard_ns, round(1.5 * BEAT_SECONDS * 1e9))
        self._own_heard_ns = now_ns

    async def _merge(self) -> None:
        """Make the MADs that are elsewhere from what is known; of two offers, the one of the node that started last."""
        newest: dict[str, tuple[str, MadOffer]] = {}
        for member in sorted(self._members.values(), key=lambda one: one.alive.started_ns):
            newest |= {name: offer for name, offer in member.offers.items() if name in member.alive.mads}
        gone = {name for name in self._digests.keys() - newest.keys() if not self._is_remembered(name)}
        for name in gone:
            del self._digests[name]
            self._mads.pop(name, None)
        self._away_ns = {name: ns for name, ns in self._away_ns.items() if name in self._digests.keys() - newest.keys()}
        changed = [name for name, (mark, _) in newest.items() if self._digests.get(name) != mark]
        for name in changed:
            self._digests[name] = newest[name][0]
            self._take_offer(newest[name][1])
        self._heard.set()
        for name in [*changed, *gone]:
            try:
                await self._relisted(name)
            except CenobyError as error:
                _log.warning("listeners_untold", mad=name, reason=error.message)

    def _take_offer(self, offer: MadOffer) -> None:
        try:
            self._mads[offer.name] = RemoteMad(offer, self._price)
        except Exception:  # noqa: BLE001 - what one node offers, perhaps of another version, keeps no other from us
            self._mads.pop(offer.name, None)
            _log.exception("offer_refused", mad=offer.name)

    def _is_remembered(self, mad: str) -> bool:
        now_ns = self._clock.monotonic_ns()
        return now_ns - self._away_ns.setdefault(mad, now_ns) < REMEMBERED_SECONDS * 1e9

    def _bury(self) -> None:
        dead_ns = self._listened_ns - round(DEAD_AFTER_SECONDS * 1e9)
        for member in [one for one in self._members.values() if one.listened_ns < dead_ns]:
            task = asyncio.ensure_future(self._forget(member, NodeLost))
            self._asking[f"forget {member.name}"] = task
            task.add_done_callback(lambda _, name=member.name: self._asking.pop(f"forget {name}", None))

    async def _forget(self, member: Member, kind: type[NodeLeft | NodeLost]) -> None:
        if self._members.pop(member.name, None) is None:
            return
        self._changed(kind(node=member.name, run=member.alive.run, mads=tuple(sorted(member.alive.mads))))
        await self._merge()

    async def _answer(self, envelope: Envelope) -> Any:
        mine = self.subject(self._seals.node)
        if envelope.event == tag_of(NodeOrder):
            taken = await self._order(await self._seals.open(envelope, NodeOrder, at=mine))
            return self._seals.answer(envelope, taken)
        await self._seals.open(envelope, OffersWanted, at=mine)
        return self._seals.answer(envelope, Offers(self._own_offers()))

    async def _ask(self, node: str, body: BusEvent, as_type: type[T]) -> T:
        return await ask(self._bus, self._seals, self.subject(node), body, as_type, _ANSWER_SECONDS)
