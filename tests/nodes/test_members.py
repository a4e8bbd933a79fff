"""Who is there: nodes that come, go, die and come back, buses that are away, and offers that are not to be believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from cenoby.access.enrolment import Enrolment
from cenoby.access.roles import AccessRefused
from cenoby.colony.events import MemberChange, MessageRefused, NodeJoined, NodeLeft, NodeLost
from cenoby.colony.nodes import members as members_module
from cenoby.colony.nodes.answers import MadOffer, OrderTaken
from cenoby.colony.nodes.events import MadLoad, NodeAlive, NodeOrder
from cenoby.colony.nodes.members import Members, Presence
from cenoby.colony.nodes.offers import RemoteMad, offer_digest, offer_of
from cenoby.colony.nodes.seals import Seals
from cenoby.colony.tool import tools_of
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.signing import SigningKey
from cenoby.store.database import Database
from tests.nodes.rig import LossyBus, NodeBus
from tests.nodes.roamer import Roamer

BEAT, DEAD, REMEMBERED = 0.05, 0.3, 1.0


class Nodes:
    """Nodes of one colony, as far as they know of each other."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.bus = LossyBus()
        self.mad = Roamer(folder)
        self.enrolment = Enrolment(database, SystemClock())
        self.keys: dict[str, SigningKey] = {}
        self.changes: list[MemberChange] = []
        self.refused: list[MessageRefused] = []
        self.relisted: list[str] = []
        self.links: dict[Members, NodeBus] = {}

    def offer(self) -> MadOffer:
        return offer_of(self.mad, tools_of(self.mad, self.mad.name))

    async def seals(self, node: str) -> Seals:
        if node not in self.keys:
            self.keys[node] = SigningKey.generate()
            await self.enrolment.enroll(node, self.keys[node].public.to_text(), "test")
        return Seals(node, self.keys[node], self.enrolment, SystemClock(), self.refused.append)

    async def join(self, node: str, *offers: MadOffer, started_ns: int = 1) -> Members:
        """A node that hosts these MADs; the changes that node `watch` sees are kept."""

        async def order(wanted: NodeOrder) -> OrderTaken:
            return OrderTaken(wanted.mads)

        async def price(tool: str, arguments: object) -> int:
            raise AssertionError((tool, arguments))

        async def relisted(mad: str) -> None:
            if node == "watch":
                self.relisted.append(mad)

        link = NodeBus(self.bus)
        members = Members(
            bus=link,
            colony="t",
            seals=await self.seals(node),
            clock=SystemClock(),
            started_ns=started_ns,
            presence=lambda: Presence({one.name: MadLoad(offer_digest(one), "running") for one in offers}, []),
            offers=lambda: [*offers],
            order=order,
            price=price,
            changed=self.changes.append if node == "watch" else lambda _: None,
            relisted=relisted,
        )
        self.links[members] = link
        await members.start()
        return members

    def kinds(self) -> list[type[MemberChange]]:
        return [type(one) for one in self.changes]


@pytest.fixture
async def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nodes]:
    for name, value in (("BEAT_SECONDS", BEAT), ("DEAD_AFTER_SECONDS", DEAD), ("REMEMBERED_SECONDS", REMEMBERED)):
        monkeypatch.setattr(members_module, name, value)
    async with _nodes(tmp_path) as nodes:
        yield nodes


@asynccontextmanager
async def _nodes(folder: Path) -> AsyncIterator[Nodes]:
    database = await Database.open(folder / "colony.db", clock=SystemClock())
    nodes = Nodes(folder, database)
    yield nodes
    for members in nodes.links:
        await members.stop()
    await nodes.bus.close()
    await database.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - looks from outside
            await asyncio.sleep(0.01)


async def test_a_bus_that_is_away_takes_nobody_for_dead(nodes: Nodes) -> None:
    """While nothing is heard, not even from itself, a node keeps the others and their tools, however long it lasts."""
    watch = await nodes.join("watch")
    await nodes.join("two", nodes.offer())
    await until(lambda: "roamer" in watch.mads)
    nodes.bus.loses = lambda _: True
    await asyncio.sleep(4 * DEAD)
    assert watch.lives("two")
    nodes.bus.loses = lambda _: False
    await asyncio.sleep(4 * DEAD)
    assert (nodes.kinds(), watch.hosts("roamer")) == ([NodeJoined], ["two"])


async def test_a_killed_node_is_lost_and_its_tools_are_remembered(nodes: Nodes) -> None:
    """They are listed for a while, so that callers hear 'unavailable' and not 'no such tool', and then gone."""
    watch = await nodes.join("watch")
    two = await nodes.join("two", nodes.offer())
    await until(lambda: "roamer" in watch.mads)
    await nodes.links[two].kill()
    await until(lambda: not watch.lives("two"))
    assert (nodes.kinds(), watch.hosts("roamer")) == ([NodeJoined, NodeLost], [])
    assert "roamer" in watch.mads
    await until(lambda: "roamer" not in watch.mads)
    assert nodes.relisted == ["roamer", "roamer"]


async def test_a_node_that_retires_is_there_until_it_says_goodbye(nodes: Nodes) -> None:
    """It hosts nothing any more at once, and is not taken for gone, so that what it has under way is waited for."""
    watch = await nodes.join("watch")
    two = await nodes.join("two", nodes.offer())
    await until(lambda: "roamer" in watch.mads)
    await two.retire()
    await until(lambda: not watch.hosts("roamer"))
    await asyncio.sleep(2 * DEAD)
    assert nodes.kinds() == [NodeJoined]
    await two.stop()
    await until(lambda: not watch.lives("two"))
    assert nodes.kinds() == [NodeJoined, NodeLeft]


async def test_a_node_restarted_at_once_was_lost(nodes: Nodes) -> None:
    """What its earlier run had is lost, although nobody noticed a silence; late words of that run change nothing."""
    watch = await nodes.join("watch")
    two = await nodes.join("two", nodes.offer(), started_ns=1)
    await until(lambda: "roamer" in watch.mads)
    again = await nodes.join("two", nodes.offer(), started_ns=2)
    await until(lambda: len(nodes.changes) == 3)
    await asyncio.sleep(2 * DEAD)
    assert nodes.kinds() == [NodeJoined, NodeLost, NodeJoined]
    await two.stop()
    await asyncio.sleep(2 * BEAT)
    assert watch.lives("two")
    assert len(nodes.changes) == 3
    await again.stop()
    await until(lambda: not watch.lives("two"))


async def test_a_revoked_node_is_forgotten_at_once(nodes: Nodes) -> None:
    """It is lost before its silence could be noticed, and its tools are not remembered."""
    watch = await nodes.join("watch")
    await nodes.join("two", nodes.offer())
    await until(lambda: "roamer" in watch.mads)
    await nodes.enrolment.revoke("two")
    await until(lambda: not watch.lives("two"))
    assert "roamer" not in watch.mads


async def test_what_is_not_to_be_offered_is_not_listed(nodes: Nodes) -> None:
    """Tools of another MAD, and schemas that would be fetched from elsewhere; other offers of that node are taken."""
    offer = nodes.offer()
    first = offer.tools[0]
    stolen = msgspec.structs.replace(first, name="mads.grace.approve_all")
    fetched = msgspec.structs.replace(first, name="mads.far.go", input_schema={"$ref": "http://127.0.0.1:1/schema"})
    broken = msgspec.structs.replace(first, name="mads.odd.go", input_schema={"type": "object", "properties": {"_": 7}})
    bad = [
        msgspec.structs.replace(offer, name=name, tools=[tool], prompts=[], resources=[])
        for name, tool in (("thief", stolen), ("far", fetched), ("odd", broken))
    ]
    for one in bad[:2]:
        with pytest.raises(ValueError, match=r"points to|another MAD's"):
            RemoteMad(one, nodes.links)  # pyright: ignore[reportArgumentType]
    watch = await nodes.join("watch")
    await nodes.join("two", *bad, offer)
    await until(lambda: "roamer" in watch.mads)
    await asyncio.sleep(3 * BEAT)
    assert list(watch.mads) == ["roamer"]


async def test_only_what_was_said_to_all_is_heard(nodes: Nodes) -> None:
    """A heartbeat that was signed for another colony's subject is none here."""
    watch = await nodes.join("watch")
    seals = await nodes.seals("two")
    alive = NodeAlive(run="r", number=1, version="1", started_ns=1, lag_ms=0, mads={})
    with pytest.raises(AccessRefused, match=r"was written for u\.nodes"):
        await watch._hear(seals.seal("u.nodes", alive))
    assert not watch.members
