"""Policy files: what is accepted, what is refused and where, and what a colony follows while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cenoby.access.actions import RiskTier, known_actions
from cenoby.access.policy.errors import PolicyInvalid
from cenoby.access.policy.events import PolicyLoaded, PolicyRejected
from cenoby.access.policy.files import read_ingredients, read_tiers
from cenoby.access.policy.keeper import PolicyKeeper
from cenoby.access.policy.policy_set import Ingredients, PolicySet, build
from cenoby.access.policy.source import Source, cut
from cenoby.access.policy.vocabulary import ToolFact, Vocabulary
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.kernel.events import Event
from cenoby.kernel.settings import Settings

FETCH = ToolFact("mads.marco.fetch", "marco", "web:fetch", "outside", RiskTier.MEDIUM, ("url", "max_chars"))
WORDS = Vocabulary(tuple(known_actions()), (FETCH,))
ADA = Principal("ada", "default", ("developer",), "agent")

NO_FETCH = '@id("no-fetch")\nforbid (principal in Role::"developer", action == Action::"web:fetch", resource);\n'


def made(text: str, **more: object) -> PolicySet:
    return build(Ingredients(sources=(Source("p.cedar", text),), **more), WORDS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        ("permit (principal, action, resource);", "needs a name of its own"),
        ('@id("") permit (principal, action, resource);', "needs a name of its own"),
        ('@id("x") @aks("why") permit (principal, action, resource);', "@aks means nothing"),
        ('@id("x") @ask("") permit (principal, action, resource);', "@ask needs a reason"),
        ('@id("x") @ask("why") forbid (principal, action, resource);', "@ask goes with permit"),
        ('@id("shipped:operator") permit (principal, action, resource);', "taken by the policy at default.cedar:8"),
        ('@id("x") permit (principal, action, resource) when { ip("::1").isIpv4() };', "extension type"),
        ('@id("x") permit (principal, action, resource) when { decimal("1.0") == context.risk };', "extension type"),
        ('@id("x") permit (principal == ?principal, action, resource);', "template"),
        ('@id("x") permit (principal, action, resource) when { principal.hasTag("a") };', "tags"),
        ('@id("x") permit (principal, action, resource) when { context == {} };', "only be read by the name"),
        ('@id("x") permit (principal, action, resource) when { context.arguments == {} };', "by the name of an argum"),
        ('@id("x") permit (principal, action, resource) when { context.wheather == "fine" };', "context has no"),
        ('@id("x") permit (principal, action, resource) when { Agent::"a".tenant == "b" };', "of an entity by name"),
        ('@id("x") permit (principal, action, resource) when { Agent::"a" in Role::"b" };', "left of `in`"),
        ('@id("x") permit (principal is Robot, action, resource);', "always of the type Agent"),
        ('@id("x") permit (principal == Role::"developer", action, resource);', "principal can be"),
        ('@id("x") permit (principal, action, resource in Role::"a");', "resource can be"),
        ('@id("x") permit (principal, action == Action::"web", resource);', "a category is a group"),
        ('@id("x") permit (principal, action in [], resource);', "list of actions is empty"),
        ('@id("x") permit (principal, action == Action::"web:fetsh", resource);', "unrecognized action"),
        ('@id("x") forbid (principal in Role::"developper", action, resource);', "did you mean 'developer'"),
        ('@id("x") permit (principal, action, resource) when { principal.tennant == "a" };', "tennant"),
        ('@id("x") permit (principal, action, resource) when { context.risk > 3 };', "expected Long but saw String"),
        (
            '@id("x") permit (principal, action, resource) when { context.arguments.url like "x" };',
            "optional attribute",
        ),
        (
            '@id("x") forbid (principal, action, resource) when { context.arguments has ulr };',
            "no tool in its scope has the argument 'ulr'; did you mean 'url'",
        ),
        (
            '@id("x") forbid (principal, action, resource)'
            ' when { context.arguments has url && context.arguments.url like "x" && context.arguments.url > 3 };',
            "both as String and as Long",
        ),
        ('@id("x") permit (principal, action, resource) when { context.risk = "high" };', "cannot be read"),
        ('@id("x") permit (principal, action, resource)', "cannot be read"),
        (
            '@id("x") permit (principal, action, resource) when { ' + "!(" * 70 + "true" + ")" * 70 + " };",
            "nested deeper",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(policy: str, complaint: str) -> None:
    """Every mistake, and everything that is not supported, is an error at load that names the line it begins on."""
    good = "// one\n" + NO_FETCH + "\n/" + '/ two; "quoted\n'
    with pytest.raises(PolicyInvalid) as refused:
        made(good + policy)
    problems = refused.value.details["problems"]
    assert {(one["file"], one["line"]) for one in problems} == {("p.cedar", 6)}, refused.value.message
    assert complaint in refused.value.message


def test_all_mistakes_are_told_at_once() -> None:
    """One look at the files names every policy that is wrong."""
    with pytest.raises(PolicyInvalid) as refused:
        made("permit (principal, action, resource);\n\nforbid (principal, action, resource);\nnonsense;")
    assert [one["line"] for one in refused.value.details["problems"]] == [1, 3, 4]


def test_policies_are_cut_where_they_end() -> None:
    """Semicolons and slashes in texts and comments end nothing; lines are counted through all of it."""
    text = '// a; b\n@id("x;//y")\npermit (a); // c;\n\n\n@id("z\\";") forbid\n(b);'
    assert list(cut(text)) == [(2, '@id("x;//y")\npermit (a);'), (6, '@id("z\\";") forbid\n(b);')]


def says(policies: PolicySet, action: str = "web:fetch", **more: object) -> str:
    plan = policies.table.decide(ADA, action, "mads.marco.fetch", "outside", RiskTier.MEDIUM, more, {}, 0)
    return plan.says


def test_deny_wins_over_ask_and_ask_over_allow() -> None:
    """A satisfied forbid denies whatever permits there are; an asking permit asks beside one that does not."""
    ask = '@id("ask") @ask("why") permit (principal, action == Action::"web:fetch", resource);\n'
    assert says(made("")) == "allow"
    assert says(made(ask)) == "ask"
    assert says(made(ask + NO_FETCH)) == "deny"


def test_a_forbid_that_cannot_be_evaluated_denies() -> None:
    """Cedar would skip it and allow; a text where a number is wanted is no reason to let a call through."""
    forbid = (
        '@id("many") forbid (principal, action == Action::"web:fetch", resource)'
        " when { context.arguments has max_chars && context.arguments.max_chars > 10 };"
    )
    policies = made(forbid)
    assert [says(policies), says(policies, max_chars=3), says(policies, max_chars=11)] == ["allow", "allow", "deny"]
    for value in ("many", 1.5, 2**70, [1.5]):
        assert says(policies, max_chars=value) == "deny"
        with pytest.raises(AccessRefused) as refused:
            RoleTable(policies=policies).authorise(ADA, "web:fetch", "mads.marco.fetch", arguments={"max_chars": value})
        assert refused.value.code == "policy_failed"


def test_arguments_that_were_left_out_have_their_defaults() -> None:
    """A forbid on a default holds also where the caller does not spell it out; what is null is absent."""
    table = made(
        '@id("many") forbid (principal, action == Action::"web:fetch", resource)'
        " when { context.arguments has max_chars && context.arguments.max_chars > 10 };"
    ).table
    for given, parsed, expected in (({}, {"max_chars": 50}, "deny"), ({"max_chars": None}, {"max_chars": 50}, "allow")):
        found = table.decide(ADA, "web:fetch", "mads.marco.fetch", "", RiskTier.LOW, given, parsed, 0)
        assert found.says == expected


def test_an_action_type_that_is_listed_nowhere_is_denied() -> None:
    """Also where a policy permits everything."""
    assert says(made('@id("all") permit (principal, action, resource);'), action="moon:shoot2") == "deny"


def test_a_role_is_what_a_permit_names() -> None:
    """A policy file can make a role, and it can be given to agents; a settings' role replaces the shipped one."""
    roles = RoleTable(
        policies=made('@id("x") permit (principal in Role::"reader", action == Action::"web:fetch", resource);')
    )
    roles.require(["reader", "operator"])
    assert roles.able("web:fetch", "mads.marco.fetch") == ["developer", "operator", "reader"]
    bare = RoleTable(policies=made("", shipped=False, roles={"mine": ["web:*"]}))
    assert bare.able("web:fetch") == ["mine"]


def test_tiers_come_from_yaml_and_unknown_types_are_errors(tmp_path: Path) -> None:
    """The file's tier is the call's; a tool that declares a stricter one keeps it; a misspelt type stops the load."""
    file = tmp_path / "tiers.yaml"
    file.write_text("web:fetch: low\nvcs:push: critical\n")
    policies = made("", tiers=read_tiers(file))
    assert policies.risk_of("web:fetch", RiskTier.MEDIUM) is RiskTier.LOW
    assert policies.risk_of("web:fetch", RiskTier.HIGH) is RiskTier.HIGH
    assert policies.risk_of("vcs:push", RiskTier.HIGH) is RiskTier.CRITICAL
    assert policies.risk_of("moon:shoot", RiskTier.HIGH) is RiskTier.HIGH
    file.write_text("web:fetsh: low\n")
    with pytest.raises(PolicyInvalid, match="did you mean 'web:fetch'"):
        made("", tiers=read_tiers(file))
    file.write_text("web:fetch: gentle\n")
    with pytest.raises(PolicyInvalid, match="is no tier"):
        read_tiers(file)


class Following:
    """A keeper of files in a folder, and what it noted."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        settings = Settings.model_validate({"policy": {"files": [str(folder)]}})
        self.roles = RoleTable(policies=build(read_ingredients(settings)))
        self.keeper = PolicyKeeper(settings, self.roles.use, lambda: WORDS, self.events.append)

    async def settle(self) -> Event:
        """Two looks: one sees a change, the next that it has settled."""
        await self.keeper.look()
        await self.keeper.look()
        return self.events[-1]


async def test_a_change_of_a_file_holds_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    """What is right holds, and is journalled with its digest; what is wrong is journalled, and the old set holds."""
    file = tmp_path / "a.cedar"
    file.write_text(NO_FETCH)
    following = Following(tmp_path)
    await following.keeper.start()
    await following.keeper.stop()
    first = following.events[-1]
    assert isinstance(first, PolicyLoaded) and (first.policies, first.before) == (5, "")
    assert not following.roles.allows(ADA, "web:fetch", "mads.marco.fetch")

    file.write_text("permit (principal, action, resource);")
    rejected = await following.settle()
    assert isinstance(rejected, PolicyRejected) and "needs a name of its own" in rejected.notes
    assert rejected.kept == first.digest and "REJECTED" in following.keeper.words()
    assert not following.roles.allows(ADA, "web:fetch", "mads.marco.fetch")
    assert await following.settle() is rejected

    file.write_text(NO_FETCH.replace("fetch", "browse"))
    loaded = await following.settle()
    assert isinstance(loaded, PolicyLoaded) and loaded.before == first.digest
    assert (loaded.added, loaded.removed, loaded.changed) == (("no-browse",), ("no-fetch",), ())
    assert loaded.digest == following.roles.policies.digest and "REJECTED" not in following.keeper.words()
    assert following.roles.allows(ADA, "web:fetch", "mads.marco.fetch")

    file.unlink()
    assert len((await following.settle()).removed) == 1  # type: ignore[attr-defined]


async def test_a_file_that_is_being_written_is_not_read_in_halves(tmp_path: Path) -> None:
    """A change that the next look sees changed again waits."""
    file = tmp_path / "a.cedar"
    file.write_text(NO_FETCH)
    following = Following(tmp_path)
    await following.keeper.start()
    await following.keeper.stop()
    for text in ("@id(", '@id("a") permit', "// nearly"):
        file.write_text(text)
        await following.keeper.look()
    assert len(following.events) == 1
    assert not following.roles.allows(ADA, "web:fetch", "mads.marco.fetch")


async def test_what_is_wrong_at_the_start_stops_it(tmp_path: Path) -> None:
    """A misspelt argument is found once the tools are hosted, and then the colony does not start."""
    (tmp_path / "a.cedar").write_text(
        '@id("x") forbid (principal, action, resource) when { context.arguments has ulr };'
    )
    following = Following(tmp_path)
    with pytest.raises(PolicyInvalid, match="ulr"):
        await following.keeper.start()
