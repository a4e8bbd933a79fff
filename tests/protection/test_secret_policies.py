"""Policies of secrets: what no permit names is refused, and nobody uses a permit more often than it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cenoby.access.principals import Principal
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.events import Event
from cenoby.kernel.settings_secrets import SecretPermit, SecretTerms
from cenoby.protection.secrets import Use
from cenoby.protection.vault.permits import holding, permits_from_text, permits_to_text
from cenoby.protection.vault.policies import SecretPolicies
from cenoby.protection.vault.rule import SecretRefused
from cenoby.store.database import Database
from cenoby.store.engine import Engine

ADA = Use(tenant="default", agent="ada", roles=("developer",), tool="mads.turing.get_secret")
FIEDLER = Use(tenant="default", mad="fiedler", tool="mads.fiedler.complete", to="api.example.com:443")


PIA = Principal("pia", "default", ("operator",), "person")


async def told(event: Event) -> None:
    """The journal is not what is tried here."""


def permit(*who: str, **more: Any) -> SecretPermit:
    return SecretPermit.model_validate({"who": list(who)} | more)


@pytest.mark.parametrize(
    ("one", "use", "holds"),
    [
        (permit("agent:ada"), ADA, True),
        (permit("role:developer"), ADA, True),
        (permit("tenant:default"), ADA, True),
        (permit("tenant:default"), FIEDLER, True),
        (permit("agent:eve", "role:operator", "tenant:other", "mad:ada"), ADA, False),
        (permit("agent:fiedler"), FIEDLER, False),
        (permit("agent:ada", tools=["mads.turing.break_glass"]), ADA, False),
        (permit("agent:ada", to=["api.example.com"]), ADA, False),
        (permit("mad:fiedler", to=["api.example.com"]), FIEDLER, True),
        (permit("mad:fiedler", to=["*.example.com"]), FIEDLER, True),
        (permit("mad:fiedler", to=["example.com", "*.api.example.com"]), FIEDLER, False),
        (permit("mad:fiedler", to=["api.example.com:8443"]), FIEDLER, False),
        (permit("mad:fiedler", tools=["mads.fiedler.complete"], to=["api.example.com:443"]), FIEDLER, True),
    ],
)
def test_a_permit_lets_through_what_all_of_its_parts_fit(one: SecretPermit, use: Use, holds: bool) -> None:
    """Who, by which tool, and where to; a part that is left out fits everything, but for a place: told is no place."""
    assert bool(holding([one], use)) is holds
    assert permits_from_text(permits_to_text([one])) == [one]


@pytest.mark.parametrize("wrong", [{"who": []}, {"who": ["ada"]}, {"who": ["agent:ada"], "to": ["https://x.com"]}])
def test_a_permit_that_says_nothing_is_an_error(wrong: dict[str, Any]) -> None:
    """A permit for nobody, for somebody of no kind, or to a URL instead of a host, is refused where it is written."""
    with pytest.raises(ValidationError):
        SecretPermit.model_validate(wrong)


names = st.sampled_from(["ada", "eve", "fiedler", "api"])
uses = st.builds(
    Use,
    tenant=st.sampled_from(["default", "other"]),
    agent=names,
    roles=st.tuples(st.sampled_from(["developer", "operator"])),
    mad=st.sampled_from(["", "fiedler", "ada"]),
    tool=st.sampled_from(["", "mads.turing.get_secret"]),
    to=st.sampled_from(["", "a.example.com:443", "example.com:443", "example.com.evil.org:443"]),
)
permits = st.builds(
    lambda kind, name, tools, to: permit(f"{kind}:{name}", tools=tools, to=to),
    st.sampled_from(["agent", "role", "tenant", "mad"]),
    st.sampled_from(["ada", "eve", "fiedler", "developer", "default"]),
    st.sampled_from([[], ["mads.turing.get_secret"]]),
    st.sampled_from([[], ["example.com"], ["*.example.com"]]),
)


@given(st.lists(permits, max_size=4), uses)
def test_nothing_holds_that_no_permit_names(policy: list[SecretPermit], use: Use) -> None:
    """Whatever holds names the one who asks, in its own tenant, the tool, and the very place or one below it."""
    for number in holding(policy, use):
        one = policy[number]
        kind, _, name = one.who[0].partition(":")
        mine = {"tenant": [use.tenant], "mad": [use.mad], "agent": [use.agent], "role": list(use.roles)}[kind]
        assert name in mine
        assert not (use.mad and kind in ("agent", "role"))
        assert not one.tools or use.tool in one.tools
        if one.to:
            assert use.to in {"example.com": ["example.com:443"], "*.example.com": ["a.example.com:443"]}[one.to[0]]


@pytest.fixture
async def database(store: Engine) -> AsyncIterator[Database]:
    opened = await Database.open(store, clock=ManualClock())
    yield opened
    await opened.close()


async def test_both_policies_must_let_a_use_through(database: Database) -> None:
    """What the settings say and what a person set are asked both; without either there is no policy."""
    terms = {"key": SecretTerms(permits=[permit("role:developer")])}
    policies = SecretPolicies(database, ManualClock(), terms, "default")
    await policies.admit("key", ADA)
    await policies.admit("other", ADA)
    assert (await policies.explain("other", ADA)).decision == "no policy"
    await policies.set(PIA, "key", [permit("agent:eve")], "", told)
    with pytest.raises(SecretRefused) as refused:
        await policies.admit("key", ADA)
    assert refused.value.code == "secret_policy"
    explained = await policies.explain("key", ADA)
    assert (explained.decision, explained.because) == ("deny", "no permit of its policy names 'ada'")
    assert [(one.source, [each.holds for each in parts]) for one, parts in explained.considered] == [
        ("settings", [True]),
        ("set", [False]),
    ]
    await policies.admit("key", Use(tenant="other", agent="ada", roles=()))
    await policies.set(PIA, "key", None, "", told)
    await policies.admit("key", ADA)


async def test_a_policy_that_was_damaged_lets_nobody_through(database: Database) -> None:
    """Rows that somebody wrote into the database by hand, and that are no policy, deny."""
    policies = SecretPolicies(database, ManualClock(), {}, "default")
    await policies.set(PIA, "key", [permit("agent:ada")], "", told)
    await policies.admit("key", ADA)
    await database.write(lambda connection: connection.execute("UPDATE secret_policies SET permits = '[{}]'").rowcount)
    with pytest.raises(SecretRefused):
        await policies.admit("key", ADA)


async def test_nobody_uses_a_permit_more_often_than_it_says(database: Database) -> None:
    """At any moment, of the uses within one span no more were let through than the permit says; a refusal says when the
    next one may be, and then it may. Each agent is counted by itself, on any node that shares the database."""
    clock = ManualClock()
    terms = {"key": SecretTerms(permits=[permit("role:developer", times=3, per="minute")])}
    nodes = [SecretPolicies(database, clock, terms, "default") for _ in range(2)]
    went_through: list[int] = []
    for number in range(40):
        try:
            await nodes[number % 2].admit("key", ADA)
            went_through.append(clock.now_ns())
            clock.advance(7)
        except SecretRefused as refused:
            assert refused.code == "secret_used_up"
            assert refused.retry_after is not None
            clock.advance(refused.retry_after)
            await nodes[0].admit("key", ADA)
            went_through.append(clock.now_ns())
    await nodes[0].admit("key", Use(tenant="default", agent="eve", roles=("developer",)))
    assert all(b >= a for a, b in pairwise(went_through))
    for moment in went_through:
        assert sum(moment <= one < moment + 60 * 10**9 for one in went_through) <= 3
