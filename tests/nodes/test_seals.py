"""What one node says is believed by another only as it was said, only from enrolled nodes, fresh, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cenoby.access.enrolment import Enrolment
from cenoby.access.roles import AccessRefused
from cenoby.colony.events import MessageRefused
from cenoby.colony.nodes.answers import OrderTaken
from cenoby.colony.nodes.events import NodeOrder, OffersWanted
from cenoby.colony.nodes.refusals import Refusals
from cenoby.colony.nodes.seals import Seals
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.codec import pack, unpack
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.signing import SigningKey
from cenoby.store.database import Database, StoreUnavailable

HERE = "main.node.two"
ORDER = NodeOrder(mads=["marco"], by="ola")


class Pair:
    """Two enrolled nodes, and what the second one refused."""

    def __init__(self, enrolment: Enrolment, database: Database, clock: ManualClock) -> None:
        self.enrolment, self.database, self.clock = enrolment, database, clock
        self.keys = {name: SigningKey.generate() for name in ("one", "two")}
        self.refused: list[MessageRefused] = []
        self.one = Seals("one", self.keys["one"], enrolment, clock, self.refused.append)
        self.two = Seals("two", self.keys["two"], enrolment, clock, self.refused.append)

    def order(self) -> Envelope:
        return self.one.seal(HERE, ORDER)

    async def refuses(self, envelope: Envelope, why: str) -> None:
        with pytest.raises(AccessRefused, match=why):
            await self.two.open(envelope, NodeOrder, at=HERE)
        assert why in self.refused[-1].notes


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    clock = ManualClock()
    database = await Database.open(tmp_path / "colony.db", clock=clock)
    pair = Pair(Enrolment(database, clock), database, clock)
    assert await pair.enrolment.enroll_first("one", pair.keys["one"].public.to_text())
    assert not await pair.enrolment.enroll_first("two", pair.keys["two"].public.to_text())
    await pair.enrolment.enroll("two", pair.keys["two"].public.to_text(), "ola")
    yield pair
    await database.close()


async def test_a_signed_message_arrives_as_it_was_said(pair: Pair) -> None:
    """Also after a journey as bytes; and its answer is believed."""
    envelope = unpack(pack(pair.order()), Envelope)
    assert await pair.two.open(envelope, NodeOrder, at=HERE) == ORDER
    answer = pair.two.answer(envelope, OrderTaken(["marco"]))
    for said in (answer, msgspec.to_builtins(answer)):
        assert await pair.one.open_answer(envelope, said, OrderTaken) == ("two", OrderTaken(["marco"]))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: {"payload": one.payload + b"\0"},
        lambda one: {"recipient": "main.node.three"},
        lambda one: {"id": one.id[:-1] + ("0" if one.id[-1] != "0" else "1")},
        lambda one: {"deadline_ns": one.deadline_ns + 1},
        lambda one: {"correlation": "x"},
        lambda one: {"tenant": "other"},
        lambda one: {"sender": "other"},
        lambda one: {"event": "node_offers.v1"},
        lambda one: {"node": "two"},
        lambda one: {"notes": "x"},
        lambda one: {"signature": bytes(64)},
        lambda one: {"signature": b"short"},
    ],
)
async def test_a_changed_message_is_refused(pair: Pair, change: Callable[[Envelope], dict[str, object]]) -> None:
    """No field of a signed envelope can be another than the signing node wrote."""
    envelope = pair.order()
    await pair.refuses(msgspec.structs.replace(envelope, **change(envelope)), "its signature is wrong")
    assert await pair.two.open(envelope, NodeOrder, at=HERE) == ORDER


async def test_an_unsigned_message_is_refused(pair: Pair) -> None:
    """As is one whose payload was never packed."""
    await pair.refuses(msgspec.structs.replace(pair.order(), signature=b""), "it is not signed")
    await pair.refuses(msgspec.structs.replace(pair.order(), payload=ORDER), "it is not signed")


async def test_a_stranger_is_refused(pair: Pair) -> None:
    """Who was never enrolled, and who was revoked, within a second."""
    stranger = Seals("three", SigningKey.generate(), pair.enrolment, pair.clock, pair.refused.append)
    await pair.refuses(stranger.seal(HERE, ORDER), "no such node is enrolled")
    impostor = Seals("one", SigningKey.generate(), pair.enrolment, pair.clock, pair.refused.append)
    await pair.refuses(impostor.seal(HERE, ORDER), "its signature is wrong")
    assert await pair.two.open(pair.order(), NodeOrder, at=HERE) == ORDER
    await pair.enrolment.revoke("one")
    await pair.refuses(pair.order(), "no such node is enrolled")


async def test_another_process_sees_a_revocation_within_a_second(pair: Pair, tmp_path: Path) -> None:
    """An enrolment that read the key before believes it for one second at most."""
    database = await Database.open(tmp_path / "colony.db", clock=pair.clock)
    theirs = Enrolment(database, pair.clock)
    assert await theirs.key_of("one") is not None
    await pair.enrolment.revoke("one")
    pair.clock.advance(1.0)
    assert await theirs.key_of("one") is None
    await database.close()


async def test_a_message_is_believed_once_and_while_it_is_fresh(pair: Pair) -> None:
    """A second delivery is refused; and so is one after half a minute, by either clock."""
    envelope = pair.order()
    assert await pair.two.open(envelope, NodeOrder, at=HERE) == ORDER
    for _ in range(3):
        await pair.refuses(envelope, "it was seen before")
        pair.clock.advance(9)
    old = pair.order()
    pair.clock.advance(31)
    await pair.refuses(old, "31 s old")
    await pair.refuses(envelope, "s old")


async def test_another_event_is_not_taken_for_the_one_that_is_expected(pair: Pair) -> None:
    """A signed body of one kind is no body of another."""
    await pair.refuses(pair.one.seal(HERE, OffersWanted()), "its body is no NodeOrder")


async def test_an_answer_is_only_for_its_request(pair: Pair) -> None:
    """An unsigned answer, one to another request, and one whose body or node was changed are refused."""
    first, second = pair.order(), pair.order()
    answer = pair.two.answer(first, OrderTaken(["marco"]))
    changed = msgspec.structs.replace(answer, body=pack(OrderTaken([])))
    other = msgspec.structs.replace(answer, node="one")
    for request, said in ((second, answer), (first, changed), (first, other), (first, {"mads": []}), (first, None)):
        with pytest.raises(AccessRefused):
            await pair.one.open_answer(request, said, OrderTaken)
    assert len(pair.refused) == 5


async def test_a_message_is_not_believed_elsewhere(pair: Pair) -> None:
    """Brought unchanged to a subject that it was not written for, it is refused: nobody else is drained."""
    three = Seals("three", SigningKey.generate(), pair.enrolment, pair.clock, pair.refused.append)
    with pytest.raises(AccessRefused, match=f"it was written for {HERE}"):
        await three.open(pair.order(), NodeOrder, at="main.node.three")


async def test_keys_that_were_read_hold_while_the_store_is_away(pair: Pair) -> None:
    """No store, no revocation, so who was enrolled still is; a stranger is none; and nobody is where none was read."""
    assert await pair.two.open(pair.order(), NodeOrder, at=HERE) == ORDER
    await pair.database.close()
    pair.clock.advance(2)
    assert await pair.two.open(pair.order(), NodeOrder, at=HERE) == ORDER
    stranger = Seals("three", SigningKey.generate(), pair.enrolment, pair.clock, pair.refused.append)
    await pair.refuses(stranger.seal(HERE, ORDER), "no such node is enrolled")
    with pytest.raises(StoreUnavailable):
        await Enrolment(pair.database, pair.clock).key_of("one")


async def test_names_that_anybody_can_send_cost_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand unknown names: one question to the store, at most eight records a second, and nothing unprintable."""
    asked, read = [], pair.database.read

    async def count(work: Any) -> Any:
        asked.append(work)
        return await read(work)

    monkeypatch.setattr(pair.database, "read", count)
    noted: list[MessageRefused] = []
    refusals = Refusals(noted.append, pair.clock.monotonic_ns)
    pair.clock.advance(2)
    for number in range(1000):
        name = f"n{number}\0"
        refusals(MessageRefused(node=name, subject="", message="", notes="no such node"))
        with pytest.raises(AccessRefused):
            await pair.two.open(msgspec.structs.replace(pair.order(), node=name), NodeOrder, at=HERE)
    assert (len(asked), len(noted)) == (1, 8)
    assert all("\0" not in one.node for one in pair.refused)
    pair.clock.advance(1)
    refusals(noted[0])
    assert noted[-1].more == 992
