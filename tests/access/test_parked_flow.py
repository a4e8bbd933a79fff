"""Parked calls run once, if a person or the policy of their tier says so, however processes die and race."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parked_house import ADA, OLA, PIA, POINTS, Node, refusal

from cenoby.access.actions import RiskTier
from cenoby.access.approvals.grants import Scope
from cenoby.access.approvals.parked_calls import ApprovalPorts
from cenoby.access.principals import Principal
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings_approvals import ApprovalSettings, TierTimeout
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.journal import Journal, JournalQuery, Record

MINUTE = 60


class Colony:
    """Two nodes on one store."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.nodes: list[Node] = []
        self.databases: list[Database] = []

    async def open(self, store: Engine, approvals: ApprovalSettings, risk: RiskTier, **ports: Any) -> None:
        for name in ("one", "two"):
            if not self.databases or store.dialect == "postgresql":
                # A file has one owner at a time, so there it is one process that dies and comes again.
                self.databases.append(await Database.open(store, clock=self.clock))
                journal = Journal(self.databases[-1], node=name, clock=self.clock)
            self.nodes.append(Node(journal, self.databases[-1], self.clock, approvals, risk, **ports))

    async def close(self) -> None:
        for database in self.databases:
            await database.close()

    @property
    def effects(self) -> list[tuple[str, str]]:
        return [effect for node in self.nodes for effect in node.effects]

    async def events(self, code: str) -> list[Record]:
        """Records of one kind of event, oldest first, with their payloads."""
        journal = self.nodes[0].journal
        page = await journal.page(JournalQuery(code=code, newest_first=False, limit=1000))
        found = [await journal.get(record.id) for record in page.records]
        return [record for record in found if record is not None]

    async def pending(self) -> list[str]:
        return [one.id for one in await self.nodes[0].approvals.list("default", pending=True)]

    async def settle(self) -> None:
        """Let both nodes take on all there is, without deaths."""
        for _ in range(3):
            self.clock.advance(1)
            for node in self.nodes:
                await node.work()


MakeColony = Callable[..., Any]


@pytest.fixture
async def make_colony(store: Engine, clock: ManualClock) -> AsyncIterator[MakeColony]:
    made: list[Colony] = []

    async def make(risk: RiskTier = RiskTier.HIGH, ports: dict[str, Any] | None = None, **approvals: Any) -> Colony:
        colony = Colony(clock)
        made.append(colony)
        await colony.open(store, ApprovalSettings(**approvals), risk, **(ports or {}))
        return colony

    yield make
    for colony in made:
        await colony.close()


STEPS = st.one_of(
    st.tuples(st.just("call"), st.sampled_from("ab"), st.sampled_from(["", "claimed", "intended", "acted"])),
    st.tuples(st.sampled_from(["approve", "deny", "cancel"]), st.sampled_from("ab"), st.just("")),
    st.tuples(st.just("work"), st.sampled_from("ab"), st.sampled_from(["", *POINTS])),
    st.tuples(st.just("wait"), st.just("a"), st.just("")),
)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1), STEPS), max_size=14), st.sampled_from([RiskTier.LOW, RiskTier.MEDIUM]))
def test_no_interleaving_runs_a_call_twice_or_without_approval(
    new_store: Callable[[], Engine], steps: list[tuple[int, tuple[str, str, str]]], risk: RiskTier
) -> None:
    """Calls, repetitions, decisions, cancellations, time, and deaths at every boundary, on two nodes: each request has
    at most one effect, only one that was approved (by a person, or by time at low risk) has any, and at last every
    parked call has ended, once."""

    async def play() -> None:
        colony = Colony(ManualClock())
        await colony.open(new_store(), ApprovalSettings(), risk)
        try:
            for number, (kind, digest, point) in steps:
                await _step(colony, colony.nodes[number], kind, digest, point)
            await colony.settle()
            await _check(colony, risk)
        finally:
            await colony.close()

    asyncio.run(play())


async def _step(colony: Colony, node: Node, kind: str, digest: str, point: str) -> None:
    from parked_house import Death

    if kind == "call":
        node.dies_at = point
        try:
            await asyncio.wait_for(node.call(digest), 20)
        except Death:
            pass
        finally:
            node.dies_at = ""
    elif kind == "work":
        await node.work(point)
    elif kind == "wait":
        colony.clock.advance(45 * MINUTE)
    else:
        wanted = [one for one in await node.approvals.list("default", pending=True) if one.digest == digest]
        if wanted and kind == "cancel":
            await node.approvals.cancel(wanted[0].id, ADA)
        elif wanted:
            await node.approvals.decide(wanted[0].id, OLA, kind == "approve")


async def _check(colony: Colony, risk: RiskTier) -> None:
    per_request = Counter(approval for approval, _ in colony.effects)
    assert all(count == 1 for count in per_request.values()), per_request
    approved = {record.payload["approval_id"] for record in await colony.events("approval_approved")}
    timed = await colony.events("approval_timed_out")
    by_time = {record.payload["approval_id"] for record in timed if record.payload["verdict"] == "approve"}
    assert risk is RiskTier.LOW or not by_time
    assert per_request.keys() <= approved | by_time
    parked = [record.payload["approval_id"] for record in await colony.events("call_parked")]
    ended = [record.payload["approval_id"] for record in await colony.events("parked_call_ended")]
    assert len(ended) == len(set(ended))
    assert set(ended) | set(await colony.pending()) == set(parked)


@pytest.mark.parametrize("point", POINTS)
async def test_a_death_at_each_boundary_of_the_run(make_colony: MakeColony, point: str) -> None:
    """The other node goes on: before the intent it runs the call, after it nobody does; what the journal has is told,
    and what nobody knows is `unknown`."""
    colony = await make_colony()
    one, two = colony.nodes
    assert await one.call("a") == "approval_pending"
    (approval,) = await colony.pending()
    await one.approvals.decide(approval, OLA, True)
    assert not await one.work(point)
    await two.work()
    assert len(colony.effects) == (0 if point == "intended" else 1)
    request, row = await two.approvals.parked(approval, "default")
    kept = await two.approvals.result(row, collect=False)
    assert (request.status, row.outcome, kept.outcome) == ("used", *[_end(point)] * 2)
    await colony.settle()
    assert len(await colony.events("parked_call_ended")) == 1
    assert await two.call("a") == "kept"
    assert len(colony.effects) == (0 if point == "intended" else 1)


def _end(point: str) -> str:
    return "unknown" if point in ("intended", "acted") else "ok"


async def test_a_node_that_froze_before_its_intent_does_nothing_when_it_wakes(make_colony: MakeColony) -> None:
    """Its run lost the approval to the node that took over, so its intent is not recorded and it has no effect."""
    colony = await make_colony()
    one, two = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    await one.approvals.decide(approval, OLA, True)
    frozen, go_on = asyncio.Event(), asyncio.Event()
    act = one._act

    async def freeze(approval_id: str, run: str, digest: str) -> None:
        frozen.set()
        await go_on.wait()
        await act(approval_id, run, digest)

    one._act = freeze
    working = asyncio.create_task(one.work())
    await frozen.wait()
    colony.clock.advance(40)
    await two.work()
    go_on.set()
    await working
    assert (len(one.effects), len(two.effects)) == (0, 1)


async def test_a_caller_who_is_quicker_than_the_engine_by_a_moment(make_colony: MakeColony) -> None:
    """The engine has seen the approval and not yet claimed it when the caller calls again: the caller runs the call."""
    colony = await make_colony()
    one, two = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    await one.approvals.decide(approval, OLA, True)
    answers: list[str] = []

    async def repeat() -> None:
        two.interlude = None
        answers.append(await one.call("a"))

    two.interlude = repeat
    await two.work()
    await colony.settle()
    _, row = await two.approvals.parked(approval, "default")
    assert (answers, colony.effects, row.outcome) == (["ok"], [(approval, "a")], "repeated")


async def test_a_frozen_node_that_wakes_between_the_look_and_the_claim_of_its_successor(
    make_colony: MakeColony,
) -> None:
    """It gets as far as its intent, so the successor, who looked before, does not get the approval any more."""
    colony = await make_colony()
    one, two = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    await one.approvals.decide(approval, OLA, True)
    frozen, go_on = asyncio.Event(), asyncio.Event()
    act = one._act

    async def freeze(approval_id: str, run: str, digest: str) -> None:
        frozen.set()
        await go_on.wait()
        await act(approval_id, run, digest)

    one._act = freeze
    working = asyncio.create_task(one.work())
    await frozen.wait()
    colony.clock.advance(40)

    async def wake() -> None:
        two.interlude = None
        go_on.set()
        await working

    two.interlude = wake
    await two.work()
    await colony.settle()
    _, row = await two.approvals.parked(approval, "default")
    assert (colony.effects, row.outcome) == ([(approval, "a")], "ok")


async def test_the_result_is_given_once_to_the_call_made_again(make_colony: MakeColony) -> None:
    """Run by the engine, told to the same call made again, and then that call is a new one."""
    colony = await make_colony()
    one, two = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    await two.approvals.decide(approval, OLA, True)
    await two.work()
    assert await one.call("a") == "kept"
    assert await one.call("a") == "approval_pending"
    assert len(colony.effects) == 1


async def test_whoever_collects_the_result_makes_the_next_call_a_new_one(make_colony: MakeColony) -> None:
    """The result that was asked for by its id is not given to a later call with the same arguments."""
    colony = await make_colony()
    one, _ = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    await one.approvals.decide(approval, OLA, True)
    await one.work()
    _, row = await one.approvals.parked(approval, "default")
    assert (await one.approvals.result(row, collect=True)).outcome == "ok"
    assert await one.call("a") == "approval_pending"


async def test_a_result_is_kept_for_a_time(make_colony: MakeColony) -> None:
    """After `keep_minutes` nothing of arguments and result is left."""
    colony = await make_colony(keep_minutes=10)
    one, two = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    await one.approvals.decide(approval, OLA, True)
    await one.work()
    colony.clock.advance(11 * MINUTE)
    await two.work()
    _, row = await two.approvals.parked(approval, "default")
    assert (row.context, row.result, row.outcome) == (None, None, "ok")


@pytest.mark.parametrize(
    ("risk", "minutes", "verdict"),
    [(RiskTier.LOW, 60, "approve"), (RiskTier.MEDIUM, 240, "deny"), (RiskTier.HIGH, 10_000, ""), (4, 10_000, "")],
)
async def test_time_decides_by_tier(make_colony: MakeColony, risk: int, minutes: int, verdict: str) -> None:
    """Low risk is approved after an hour, medium denied after four, high and critical wait, whatever time it takes."""
    colony = await make_colony(RiskTier(risk))
    one, two = colony.nodes
    await one.call("a")
    await one.work()
    colony.clock.advance(minutes * MINUTE - 1)
    await two.work()
    assert (colony.effects, len(await colony.pending())) == ([], 1)
    colony.clock.advance(2)
    await two.work()
    timed = [record.payload["verdict"] for record in await colony.events("approval_timed_out")]
    assert timed == ([verdict] if verdict else [])
    assert len(colony.effects) == (1 if verdict == "approve" else 0)
    if verdict == "deny":
        assert await one.call("a") == "approval_denied"


@pytest.mark.parametrize("tier", ["high", "critical"])
def test_settings_cannot_have_time_approve_what_is_dangerous(tier: str) -> None:
    """The settings are refused, before anything starts."""
    with pytest.raises(ValueError, match="approved by time"):
        ApprovalSettings(tiers={tier: TierTimeout(then="approve", minutes=1)})  # type: ignore[dict-item]


async def test_the_escalation_chain(make_colony: MakeColony) -> None:
    """Who comes next is told at each step, and at the end it is a no; somebody may decide at any moment before."""
    chain = [{"minutes": 120, "to": ["role:operator"]}, {"minutes": 240, "to": ["agent:pia"]}]
    colony = await make_colony(timeout="escalate", escalation=chain)
    one, two = colony.nodes
    await one.call("a")
    await one.call("b")
    for minutes, told in ((119, 0), (2, 2), (120, 4), (0, 4)):
        colony.clock.advance(minutes * MINUTE)
        await two.work()
        assert len(await colony.events("approval_escalated")) == told
    assert {tuple(one.payload["to"]) for one in await colony.events("approval_escalated")} == {
        ("role:operator",),
        ("agent:pia",),
    }
    first, _ = await colony.pending()
    await one.approvals.decide(first, PIA, True)
    await one.work()
    assert len(colony.effects) == 1
    colony.clock.advance(240 * MINUTE)
    await two.work()
    assert [record.payload["verdict"] for record in await colony.events("approval_timed_out")] == ["deny"]
    assert len(colony.effects) == 1


async def test_four_eyes(make_colony: MakeColony) -> None:
    """What is critical needs two people: not one twice, not the caller, no machine; nothing runs after the first."""
    colony = await make_colony(RiskTier.CRITICAL)
    one, two = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    robot = Principal("robot", "default", ("operator",), "agent")
    for who, code in ((robot, "approver_not_person"), (ADA, "approval_own")):
        assert await refusal(lambda who=who: one.approvals.decide(approval, who, True)) == code
    first = await one.approvals.decide(approval, OLA, True)
    assert (first.status, first.seconded_by) == ("pending", "ola")
    await one.work()
    assert colony.effects == []
    assert await refusal(lambda: two.approvals.decide(approval, OLA, True)) == "approval_seconded"
    assert (await two.approvals.decide(approval, PIA, True)).status == "approved"
    await two.work()
    assert len(colony.effects) == 1
    assert len(await colony.events("approval_seconded")) == 1


async def test_one_no_is_enough(make_colony: MakeColony) -> None:
    """Also after somebody agreed."""
    colony = await make_colony(RiskTier.CRITICAL)
    one, _ = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    await one.approvals.decide(approval, OLA, True)
    assert (await one.approvals.decide(approval, PIA, False, "no")).status == "denied"
    await colony.settle()
    assert colony.effects == []


async def test_all_agents_of_a_person_are_that_person(make_colony: MakeColony) -> None:
    """Neither the requester's own person decides, nor does one person agree twice by two agents."""
    people = {"ada": "ann", "ola": "olaf", "ola-two": "olaf", "ann": "ann", "pia": "pia"}
    ports = {"ports": ApprovalPorts(person_of=lambda principal: people[principal.agent])}
    colony = await make_colony(RiskTier.CRITICAL, ports)
    one, _ = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    ann, second = (Principal(name, "default", ("operator",), "person") for name in ("ann", "ola-two"))
    assert await refusal(lambda: one.approvals.decide(approval, ann, True)) == "approval_own"
    await one.approvals.decide(approval, OLA, True)
    assert await refusal(lambda: one.approvals.decide(approval, second, True)) == "approval_seconded"
    assert (await one.approvals.decide(approval, PIA, True)).status == "approved"


async def test_grants(make_colony: MakeColony) -> None:
    """A yes for a time holds for the same arguments, or for any, where the person said so; until it is revoked or over;
    one for a conversation holds in that alone."""
    colony = await make_colony()
    one, two = colony.nodes
    await one.call("a", "talk")
    (approval,) = await colony.pending()
    scope = Scope("time", 30)
    await one.approvals.decide(approval, OLA, True, scope=scope)
    await colony.settle()
    assert [await two.call("a"), await two.call("a"), await two.call("b")] == ["ok", "ok", "approval_pending"]
    assert await one.approvals.revoke_grants(approval, OLA) == 1
    await two.call("a")
    assert await two.call("a") == "approval_pending"
    wider = next(one_.id for one_ in await one.approvals.list("default", pending=True) if one_.digest == "b")
    await one.approvals.decide(wider, OLA, True, scope=Scope("time", 30, any_arguments=True))
    assert await two.call("c") == "ok"
    colony.clock.advance(31 * MINUTE)
    assert await two.call("c") == "approval_pending"
    assert await two.call("d", "talk") == "approval_pending"
    talk = next(one_.id for one_ in await one.approvals.list("default", pending=True) if one_.digest == "d")
    await one.approvals.decide(talk, OLA, True, scope=Scope("conversation", 30, any_arguments=True))
    assert [await two.call("e", "talk"), await two.call("e", "other")] == ["ok", "approval_pending"]


@pytest.mark.parametrize(
    ("risk", "scope"),
    [
        (RiskTier.CRITICAL, Scope("time", 30, any_arguments=True)),
        (RiskTier.HIGH, Scope("time", 0)),
        (RiskTier.HIGH, Scope("time", 100_000)),
        (RiskTier.HIGH, Scope("conversation", 30)),
        (RiskTier.HIGH, Scope("once", 0, any_arguments=True)),
    ],
)
async def test_what_cannot_be_granted(make_colony: MakeColony, risk: RiskTier, scope: Scope) -> None:
    """Nothing critical for any arguments, nothing without an end, no conversation that was not named."""
    colony = await make_colony(risk)
    one, _ = colony.nodes
    await one.call("a")
    (approval,) = await colony.pending()
    assert await refusal(lambda: one.approvals.decide(approval, OLA, True, scope=scope)) == "approval_scope"
    assert await colony.pending() == [approval]


async def test_of_two_deciders_on_two_nodes_one_wins(make_colony: MakeColony) -> None:
    """At the same moment through two processes' connections: one decision stands, the other is told so."""
    colony = await make_colony()
    one, two = colony.nodes
    for number in range(5):
        await one.call(f"d{number}")
        (approval,) = await colony.pending()
        answers = await asyncio.gather(
            one.approvals.decide(approval, OLA, True),
            two.approvals.decide(approval, PIA, False),
            return_exceptions=True,
        )
        codes = [getattr(answer, "code", "won") for answer in answers]
        assert sorted(codes) == ["approval_decided", "won"]
        await colony.settle()
    approved = len(await colony.events("approval_approved"))
    assert len(colony.effects) == approved
    assert approved + len(await colony.events("approval_denied")) == 5


async def test_what_is_parked_does_not_lie_in_the_open_and_cannot_be_changed(make_colony: MakeColony) -> None:
    """The arguments are not in the database's bytes, and a context that is another request's is not run."""
    colony = await make_colony()
    one, _ = colony.nodes
    await one.call("very-secret")
    await one.call("other")
    database = colony.databases[0]
    rows = await database.read(
        lambda connection: connection.execute("SELECT approval, context FROM parked_calls ORDER BY approval").fetchall()
    )
    assert all(b"very-secret" not in bytes(context) for _, context in rows)
    swapped = [(rows[1][1], rows[0][0]), (rows[0][1], rows[1][0])]
    await database.write(
        lambda connection: (
            connection.executemany("UPDATE parked_calls SET context = ? WHERE approval = ?", swapped) and None
        )
    )
    for approval in await colony.pending():
        await one.approvals.decide(approval, OLA, True)
    await one.work()
    assert colony.effects == []
    _, row = await one.approvals.parked(rows[0][0], "default")
    kept = await one.approvals.result(row, collect=False)
    assert (kept.outcome, kept.error["code"]) == ("refused", "seal_broken")
