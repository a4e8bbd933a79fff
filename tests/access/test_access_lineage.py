"""Agents that others made, agents that the settings declare, and tokens that follow each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.access.errors import AccessUnauthenticated
from cenoby.access.principals import Principal
from cenoby.access.registration import MOST_GENERATIONS, Wish
from cenoby.access.roles import SHIPPED_ROLES, AccessRefused, RoleTable
from cenoby.access.tokens import Identities
from cenoby.kernel.clock import ManualClock
from cenoby.store.database import Database
from tests.stores import cache_of, everything_in


@pytest.fixture
async def identities(database: Database, clock: ManualClock) -> Identities:
    return await opened(database, clock)


async def opened(database: Database, clock: ManualClock) -> Identities:
    cache = cache_of(database)
    identities = Identities(cache, clock, RoleTable())
    await cache.warm()
    return identities


async def refused(identities: Identities, **wish: Any) -> str:
    with pytest.raises(AccessRefused) as error:
        await identities.issue(Wish(**wish))
    return error.value.code


async def test_a_principal_has_what_was_said_of_its_agent(
    identities: Identities, database: Database, clock: ManualClock
) -> None:
    """Department, seniority, level and parent are in the principal, are kept, and are listed with the reason."""
    await identities.issue(Wish(name="lead", roles=("developer",)))
    wish = Wish(
        name="ann", roles=("observer",), department="lab", seniority="junior", autonomy="semi", parent="lead",
        reason="to read along",
    )  # fmt: skip
    made = await identities.issue(wish)
    expected = Principal("ann", "default", ("observer",), "agent", made.id, "lab", "junior", "semi", "lead")
    assert identities.authenticate(made.text) == expected
    again = await opened(database, clock)
    assert again.authenticate(made.text) == expected
    shown = next(one for one in again.list_agents() if one.name == "ann")
    assert (shown.department, shown.parent, shown.reason) == ("lab", "lead", "to read along")


async def test_a_child_never_exceeds_its_parent(identities: Identities) -> None:
    """Neither by roles nor by level, unless an operator says so; a parent that is not there, or foreign, is none."""
    await identities.issue(Wish(name="lead", roles=("developer",), autonomy="semi"))
    await identities.issue(Wish(name="foreign", roles=("developer",), tenant="other"))
    child = {"name": "kid", "parent": "lead"}
    assert await refused(identities, **child, roles=("operator",)) == "lineage_exceeded"
    assert await refused(identities, **child, roles=("auditor",)) == "lineage_exceeded"
    assert await refused(identities, **child, roles=("developer",), autonomy="full") == "lineage_exceeded"
    assert await refused(identities, name="kid", roles=("developer",), parent="nobody") == "agent_invalid"
    assert await refused(identities, name="kid", roles=("developer",), parent="foreign") == "agent_invalid"
    # `observer` is another name, and has nothing that a developer lacks.
    await identities.issue(Wish(**child, roles=("observer",), autonomy="semi"))
    assert await refused(identities, name="kid", roles=("auditor",), replace=True) == "lineage_exceeded"
    assert await refused(identities, name="kid", parent="other") == "roles_differ"
    await identities.issue(Wish(name="chief", roles=("operator",), parent="lead", beyond_parent=True))


async def test_a_child_loses_what_its_parent_loses(identities: Identities) -> None:
    """At once, through all generations, and in tokens that are in use; not where an operator let it go beyond."""
    await identities.issue(Wish(name="lead", roles=("developer",)))
    kid = await identities.issue(Wish(name="kid", roles=("developer", "observer"), parent="lead"))
    grandkid = await identities.issue(Wish(name="grandkid", roles=("developer",), parent="kid"))
    free = await identities.issue(Wish(name="free", roles=("developer",), parent="lead", beyond_parent=True))
    assert identities.authenticate(grandkid.text).roles == ("developer",)
    await identities.issue(Wish(name="lead", roles=("observer",), replace=True))
    assert identities.authenticate(kid.text).roles == ("observer",)
    assert identities.authenticate(grandkid.text).roles == ()
    assert identities.authenticate(free.text).roles == ("developer",)


async def test_lineage_is_bounded(identities: Identities) -> None:
    """An agent makes agents that make agents, and somewhere that ends."""
    parent: str | None = None
    for number in range(MOST_GENERATIONS):
        await identities.issue(Wish(name=f"g{number}", roles=("developer",), parent=parent))
        parent = f"g{number}"
    assert await refused(identities, name="one-more", roles=("developer",), parent=parent) == "lineage_exceeded"


ROLES = sorted(SHIPPED_ROLES)


@given(st.lists(st.sampled_from(ROLES), max_size=3), st.sampled_from(ROLES), st.data())
@settings(deadline=None)
def test_what_covers_a_role_allows_all_that_it_allows(held: list[str], role: str, data: st.DataObject) -> None:
    """Whoever covers a role may use every action type that the role may."""
    from cenoby.access.actions import known_actions

    table = RoleTable()
    action = data.draw(st.sampled_from(sorted(known_actions())))
    if table.covers(held, role) and table.allows(Principal("a", "t", (role,), "agent"), action):
        assert table.allows(Principal("a", "t", tuple(sorted(held)), "agent"), action)


async def test_declared_agents_are_registered_once(identities: Identities, database: Database) -> None:
    """The first start registers them, the next changes nothing, another word changes that one; none has a token."""
    wishes = [
        Wish(name="boss", roles=("operator",), kind="person", autonomy="full", replace=True),
        Wish(name="ann", roles=("developer",), department="lab", parent="boss", autonomy="", replace=True),
    ]
    assert [one.name for one in await identities.declare(wishes)] == ["boss", "ann"]
    assert await identities.declare(wishes) == []
    (changed,) = await identities.declare(
        [wishes[0], Wish(name="ann", roles=("observer",), autonomy="locked", replace=True)]
    )
    assert (changed.name, changed.roles, changed.autonomy, changed.department) == (
        "ann",
        ("observer",),
        "locked",
        "lab",
    )
    assert identities.list_tokens() == []
    before = await database.read(everything_in)
    with pytest.raises(AccessRefused):
        await identities.declare([Wish(name="new", roles=("developer",)), Wish(name="ann", tenant="other")])
    assert await database.read(everything_in) == before


async def test_reading_never_mints(identities: Identities, database: Database) -> None:
    """Whatever is asked, known or not: no agent, no token, no row comes of it."""
    made = await identities.create_token("ada", ["observer"])
    before = await database.read(everything_in)
    identities.list_agents(), identities.list_tokens("nobody"), identities.blocks.list("default")
    for text in ("", "cby_unknown", "a.b.c", made.text):
        try:
            principal = identities.authenticate(text)
        except AccessUnauthenticated:
            continue
        assert identities.ended(principal) is None
        identities.hold(principal, lambda problem: None).release()
    assert await database.read(everything_in) == before
    assert [one.name for one in identities.list_agents()] == ["ada"]


async def test_a_rotated_token_works_on_for_the_grace(identities: Identities, clock: ManualClock) -> None:
    """The new one has the same agent, life time and key; the old one ends with the grace, and is rotated only once."""
    old = await identities.create_token("ada", ["observer"], ttl_seconds=3600)
    clock.advance(600)
    new = await identities.rotate(old.id, grace_seconds=30)
    assert identities.authenticate(new.text).agent == identities.authenticate(old.text).agent == "ada"
    assert identities.token(new.id).expires_ns == clock.now_ns() + 3600 * 1_000_000_000
    assert identities.token(old.id).successor == new.id
    with pytest.raises(AccessRefused) as twice:
        await identities.rotate(old.id, grace_seconds=30)
    assert twice.value.code == "token_rotated"
    clock.advance(30)
    with pytest.raises(AccessUnauthenticated) as over:
        identities.authenticate(old.text)
    assert over.value.code == "token_expired"
    with pytest.raises(AccessUnauthenticated):
        await identities.rotate(old.id, grace_seconds=30)
    assert identities.authenticate(new.text).agent == "ada"


async def test_a_grace_prolongs_nothing(identities: Identities, clock: ManualClock) -> None:
    """A token that had less time left than the grace keeps that, and with no grace it ends at once."""
    short = await identities.create_token("ada", ["observer"], ttl_seconds=10)
    await identities.rotate(short.id, grace_seconds=3600)
    assert identities.token(short.id).expires_ns == clock.now_ns() + 10 * 1_000_000_000
    other = await identities.create_token("ada")
    identities.authenticate(other.text)
    await identities.rotate(other.id, grace_seconds=0)
    with pytest.raises(AccessUnauthenticated):
        identities.authenticate(other.text)


async def test_what_ended_is_known_to_those_under_way(identities: Identities, clock: ManualClock) -> None:
    """A revocation moves the count and names its reason; an expiry does neither: that call was let in in time."""
    made, other = (
        await identities.create_token("ada", ["observer"], ttl_seconds=10),
        await identities.create_token("ada"),
    )
    principal, bystander = identities.authenticate(made.text), identities.authenticate(other.text)
    clock.advance(11)
    seen = identities.ends
    assert identities.ended(principal) is None
    await identities.revoke(made.id)
    assert identities.ends > seen
    problem = identities.ended(principal)
    assert problem is not None
    assert problem.code == "token_revoked"
    assert identities.ended(bystander) is None


async def test_a_blocked_subject_is_blocked_in_its_tenant_alone(identities: Identities) -> None:
    """All of its tokens or one; another tenant's operator blocks nobody here, and takes nothing back."""
    ola, eve = (Principal(name, tenant, ("operator",), "person") for name, tenant in (("ola", "a"), ("eve", "b")))
    await identities.blocks.add("corp#ann", "", "left", ola)
    await identities.blocks.add("corp#bob", "t1", "stolen", ola)
    assert identities.blocks.blocks("a", "corp#ann", "any")
    assert identities.blocks.blocks("a", "corp#bob", "t1")
    assert not identities.blocks.blocks("a", "corp#bob", "t2")
    assert not identities.blocks.blocks("b", "corp#ann", "any")
    assert identities.blocks.list("b") == []
    assert not await identities.blocks.remove("corp#ann", "", eve)
    assert await identities.blocks.remove("corp#ann", "", ola)
    assert not identities.blocks.blocks("a", "corp#ann", "any")
