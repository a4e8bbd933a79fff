"""Rules on who may reach what: what is read, who wins, what is counted, and that redirects are judged again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cenoby.kernel.clock import ManualClock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.settings_egress import EgressRule, EgressSettings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_policy import EgressPolicy, EgressRefused, spelled_host
from cenoby.protection.egress_rules.errors import EgressRulesInvalid, EgressSpent
from cenoby.protection.egress_rules.events import EgressRulesLoaded, EgressRulesRejected
from cenoby.protection.egress_rules.file import read_rules
from cenoby.protection.egress_rules.hours import Allowance, Hours
from cenoby.protection.egress_rules.keeper import EgressRuleKeeper
from cenoby.protection.egress_rules.rules import EgressDecisions, Leaving, RuleSet
from cenoby.protection.egress_rules.sender import COLONY, Sender
from tests.protection.test_protection_egress import answer, redirect, serving

ADA = Sender("ada", "acme", ("developer",), "mads.marco.fetch")
BOB = Sender("bob", "acme", ("observer",), "mads.fiedler.complete")
OAUTH = Sender(part="oauth")


def rule(effect: str, name: str = "r", **more: Any) -> EgressRule:
    return EgressRule.model_validate({"name": name, "effect": effect} | more)


def says(rules: list[EgressRule], by: Sender, url: str, method: str = "GET", default: str = "allow") -> str:
    """`yes`, or why not; the limits of an hour aside."""
    told = EgressSettings.model_validate({"default": default, "ports": [80, 443, 8443]})
    decisions = EgressDecisions(told, ManualClock())
    decisions.use(RuleSet(tuple(rules)))
    target = EgressPolicy(told).check(url)
    try:
        decisions.check(Leaving(by, method, target, len(target.url.query), len(url)))
    except EgressRefused as error:
        assert error.code in ("egress_rule", "egress_query")
        return error.message
    return "yes"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rules: [{name: a, effect: deny, host: [x]}]", "unknown key rules.0.host, did you mean hosts?"),
        ("rules: [{name: a, effect: forbid}]", "rules.0.effect"),
        ("rules: [{name: A b, effect: deny}]", "rules.0.name"),
        ("rules: [{name: a, effect: deny, hosts: ['https://x.example/']}]", "rules.0.hosts.0"),
        ("rules: [{name: a, effect: deny, hosts: ['a.*.example']}]", "rules.0.hosts.0"),
        ("rules: [{name: a, effect: deny, hosts: ['x.example:80']}]", "rule 'a': 'x.example:80' is no host"),
        ("rules: [{name: a, effect: deny, methods: [get]}]", "rules.0.methods.0"),
        ("rules: [{name: a, effect: deny}, {name: a, effect: only}]", "two rules are called 'a'"),
        ("rules: [", "not valid YAML"),
        ("- a", "it must be `rules:`"),
        ("default: deny", "unknown key default"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    """A file with any mistake is refused whole, and the message names the place."""
    file = tmp_path / "egress.yaml"
    file.write_text(text)
    with pytest.raises(EgressRulesInvalid) as refused:
        read_rules(file, spelled_host)
    assert complaint in refused.value.message and str(file) in refused.value.message


def test_hosts_are_compared_in_one_spelling(tmp_path: Path) -> None:
    """Capitals, a last dot, an umlaut and the spellings of an address make no difference to a rule."""
    file = tmp_path / "egress.yaml"
    hosts = ["BÜCHER.example.", "*.Docs.example", "2606:4700::0001"]
    file.write_text(f"rules: [{{name: books, effect: only, hosts: {hosts}}}]")
    rules = list(read_rules(file, spelled_host).rules)
    for url in ("http://bücher.example/", "http://a.b.docs.EXAMPLE./", "https://[2606:4700:0::1]/"):
        assert says(rules, ADA, url) == "yes"
    for url in ("http://docs.example/", "http://evildocs.example/", "http://bucher.example/"):
        assert "rule 'books' allows other requests only" in says(rules, ADA, url)


def test_the_strictest_wins_and_is_named() -> None:
    """Deny beats only, every only must fit, and the default decides where no rule lets it out."""
    company = rule("only", "company", tenants=["acme"], hosts=["*.example"])
    hers = rule("only", "hers", agents=["ada"], hosts=["docs.example"], methods=["GET"])
    never = rule("deny", "never", roles=["developer"], hosts=["bad.docs.example"])
    rules = [rule("allow", "all", hosts=["*.example", "bad.docs.example"]), company, hers, never]
    assert says(rules, ADA, "https://docs.example/") == "yes"
    assert "'hers'" in says(rules, ADA, "https://docs.example/", "POST")
    assert "'hers'" in says(rules, ADA, "https://other.example/")
    assert "'never'" in says(rules, ADA, "https://bad.docs.example/")
    assert says(rules, BOB, "https://other.example/", "POST") == "yes"
    assert "'company'" in says(rules, BOB, "https://elsewhere.org/")
    assert "egress.default is deny" in says([], ADA, "https://docs.example/", default="deny")
    assert says([hers], ADA, "https://docs.example/", default="deny") == "yes"
    models = rule("allow", "models", tools=["mads.fiedler.*"], schemes=["https"], ports=[8443])
    assert says([models], BOB, "https://models.example:8443/", default="deny") == "yes"
    assert "egress.default" in says([models], BOB, "https://models.example/", default="deny")
    assert "egress.default" in says([models], ADA, "https://models.example:8443/", default="deny")


def test_the_colonys_own_parts_go_where_the_settings_send_them() -> None:
    """The default says nothing of them; a rule does that names them, or nobody. The nameless is denied."""
    url = "https://issuer.example/"
    assert says([], OAUTH, url, default="deny") == "yes"
    assert says([rule("deny", agents=["ada"])], OAUTH, url) == "yes"
    assert "'r'" in says([rule("deny")], OAUTH, url)
    assert "'r'" in says([rule("only", parts=["oauth"], hosts=["other.example"])], OAUTH, url)
    assert says([rule("deny", parts=["oauth"])], ADA, url) == "yes"
    assert "egress.default" in says([], COLONY, url, default="deny")


def test_a_query_is_no_way_to_carry_data_out() -> None:
    """The shorter of the general cap and those of the rules that fit holds."""
    short = rule("limit", longest_query=10, agents=["ada"])
    assert says([short], ADA, "https://a.example/?q=12345678") == "yes"
    assert "rule 'r' allows 10" in says([short], ADA, "https://a.example/?q=123456789")
    assert "egress.longest_query allows 2048" in says([], BOB, "https://a.example/?" + "q" * 2049)


SOME = st.builds(
    rule,
    st.sampled_from(["only", "deny", "limit"]),
    agents=st.sampled_from([[], ["ada"], ["bob"]]),
    roles=st.sampled_from([[], ["developer"]]),
    tools=st.sampled_from([[], ["mads.marco.*"], ["mads.fiedler.complete"]]),
    hosts=st.sampled_from([[], ["a.example"], ["*.example"], ["b.org"]]),
    methods=st.sampled_from([[], ["GET"], ["POST"]]),
    longest_query=st.sampled_from([None, 0]),
)
ALLOW = st.builds(rule, st.just("allow"), hosts=st.sampled_from([[], ["a.example"]]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rules=st.lists(SOME | ALLOW, max_size=5),
    stricter=SOME,
    laxer=ALLOW,
    by=st.sampled_from([ADA, BOB]),
    url=st.sampled_from(["https://a.example/", "http://b.org/?q=1", "https://c.d.example/"]),
    method=st.sampled_from(["GET", "POST"]),
    at=st.integers(0, 5),
)
def test_a_stricter_rule_never_opens_and_an_allow_never_closes(
    rules: list[EgressRule], stricter: EgressRule, laxer: EgressRule, by: Sender, url: str, method: str, at: int
) -> None:
    """Wherever it stands in the file: with deny or limit added nothing more leaves, with allow nothing less; and an
    only under the default allow opens nothing either."""
    before = says(rules, by, url, method)
    with_stricter = says([*rules[:at], stricter, *rules[at:]], by, url, method)
    assert with_stricter != "yes" or before == "yes"
    for default in ("allow", "deny"):
        if says(rules, by, url, method, default) == "yes":
            assert says([*rules[:at], laxer, *rules[at:]], by, url, method, default) == "yes"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.tuples(st.integers(0, 1800), st.integers(1, 60)), min_size=1, max_size=60),
    most=st.integers(20, 200),
)
def test_no_hour_holds_more_than_was_granted(steps: list[tuple[int, int]], most: int) -> None:
    """Of whatever was let out, any 60 minutes hold at most the limit; and who waits as long as told gets through."""
    clock = ManualClock()
    hours = Hours(clock)
    allowance = Allowance(("", "ada"), "bytes", most, "the limit")
    sent: list[tuple[int, int]] = []
    for seconds, size in steps:
        clock.advance(seconds)
        over = hours.take([allowance], size)
        if over is not None and over.seconds is None:
            assert size > most
            continue
        if over is not None:
            clock.advance(over.seconds or 0)
            assert hours.take([allowance], size) is None
        sent.append((clock.monotonic_ns(), size))
    for begin, _ in sent:
        assert sum(size for at, size in sent if 0 <= at - begin <= 3_600_000_000_000) <= most


def test_a_request_that_one_limit_stops_is_counted_by_none() -> None:
    """Who is refused by the narrow limit has not used up the wide one."""
    hours = Hours(ManualClock())
    wide, narrow = (Allowance((name, "ada"), "requests", most, name) for name, most in (("wide", 3), ("narrow", 1)))
    assert hours.take([wide, narrow], 1) is None
    refused = [hours.take([wide, narrow], 1) for _ in range(5)]
    assert all(one is not None and one.allowance is narrow for one in refused)
    assert [hours.take([wide], 1) is None for _ in range(3)] == [True, True, False]


async def refused(work: Any) -> CenobyError:
    with pytest.raises((EgressRefused, EgressSpent)) as caught:
        await work
    return caught.value


async def test_a_redirect_is_judged_for_the_same_sender() -> None:
    """What leads from an allowed host to another one is refused there, and each hop counts as a request."""
    async with serving(lambda _: answer(b"x")) as other:
        where = f"http://127.0.0.1:{other.port}/"
        async with serving(lambda _: redirect(where)) as first:
            start = f"http://127.0.0.1:{first.port}/"
            told = EgressSettings(
                allow=[f"127.0.0.1:{other.port}", f"127.0.0.1:{first.port}"], requests_per_hour=3, bytes_per_hour=500
            )
            async with EgressGuard(told) as guard:
                guard.decisions.use(RuleSet((rule("deny", "not-there", agents=["bob"], ports=[other.port]),)))
                assert "'not-there'" in (await refused(guard.fetch("GET", start, by=BOB))).message
                assert other.asked == []
                assert (await guard.fetch("GET", start, by=ADA)).body == b"x"
                spent = await refused(guard.fetch("GET", start, by=ADA))
                assert (spent.code, len(first.asked), len(other.asked)) == ("egress_requests", 3, 1)
                assert spent.retry_after is not None and 0 < spent.retry_after <= 3660
                large = await refused(guard.fetch("POST", start, body=b"x" * 500, by=BOB))
                assert (large.code, large.retry_after) == ("egress_bytes", None)
                assert len((await guard.fetch("GET", where, by=OAUTH)).body) == 1


async def test_a_file_that_cannot_be_used_leaves_the_old_rules_in_force(tmp_path: Path) -> None:
    """Good, then broken, gone and good again: what holds is always the last good one, and both are journalled."""
    file = tmp_path / "egress.yaml"
    file.write_text("rules: [{name: one, effect: deny, agents: [ada]}]")
    told = EgressSettings(rules=file, look_every=3600)
    decisions, noted = EgressDecisions(told), list[Event]()
    keeper = EgressRuleKeeper(told, decisions, spelled_host, "n1", noted.append)
    await keeper.start()
    names: Callable[[], list[str]] = lambda: [one.name for one in decisions.in_force.rules]  # noqa: E731

    async def looked() -> list[str]:
        await keeper.look()
        await keeper.look()
        return names()

    assert names() == ["one"]
    file.write_text("rules: [{name: two, effect: dny}]")
    assert await looked() == ["one"] and "REJECTED" in decisions.words()
    file.unlink()
    assert await looked() == ["one"]
    file.write_text("rules: [{name: two, effect: deny}, {name: three, effect: limit}]")
    assert await looked() == ["two", "three"] and "REJECTED" not in decisions.words()
    await keeper.stop()
    kinds = [type(one) for one in noted]
    assert kinds == [EgressRulesLoaded, EgressRulesRejected, EgressRulesRejected, EgressRulesLoaded]
    broken = EgressSettings(rules=tmp_path / "none.yaml")
    with pytest.raises(EgressRulesInvalid):
        await EgressRuleKeeper(broken, EgressDecisions(broken), spelled_host, "n1", noted.append).start()
    await asyncio.sleep(0)
