"""Roles: what they allow, and that everything else is denied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.access.actions import RiskTier, declare_action, known_actions
from cenoby.access.principals import Principal
from cenoby.access.roles import SHIPPED_ROLES, AccessRefused, RoleTable
from cenoby.kernel.settings_file import SettingsError

ACTIONS = sorted(known_actions())
CAPABILITIES = st.sampled_from(["*", *ACTIONS, *sorted({f"{action.partition(':')[0]}:*" for action in ACTIONS})])
ROLE_NAMES = st.sampled_from(["alpha", "beta", "gamma", "delta"])


def principal(*roles: str) -> Principal:
    return Principal("ada", "default", tuple(sorted(roles)), "agent")


@given(st.lists(st.text().filter(lambda role: role not in SHIPPED_ROLES)), st.sampled_from(ACTIONS))
def test_roles_that_do_not_exist_allow_nothing(roles: list[str], action: str) -> None:
    """Deny by default: no role, or only unknown ones, and no action type is allowed."""
    assert not RoleTable().allows(principal(*roles), action)


@given(
    st.dictionaries(ROLE_NAMES, st.lists(CAPABILITIES)),
    st.lists(ROLE_NAMES, unique=True),
    st.lists(st.sampled_from([*ACTIONS, "moon:shoot"]), max_size=8),
)
def test_allowed_is_exactly_what_a_role_names(table: dict[str, list[str]], roles: list[str], asked: list[str]) -> None:
    """An action is allowed if and only if it is registered and a role names it, its category or everything."""
    subject, rules = principal(*roles), RoleTable(table)
    for action in asked * 2:
        category = action.split(":")[0]
        granted = {grant for role in roles for grant in table.get(role, [])}
        expected = action in ACTIONS and bool(granted & {"*", action, f"{category}:*"})
        assert rules.allows(subject, action) is expected


def test_not_even_everything_allows_an_unregistered_type() -> None:
    """An action type that is listed nowhere is denied to the operator, until somebody declares it."""
    rules, operator = RoleTable(), principal("operator")
    assert not rules.allows(operator, "rolestest:late")
    declare_action("rolestest:late", RiskTier.LOW)
    assert rules.allows(operator, "rolestest:late")


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("operator", "approval:decide", True),
        ("operator", "org:fire", True),
        ("developer", "secret:read", True),
        ("developer", "comms:internal", True),
        ("developer", "web:fetch", True),
        ("developer", "approval:decide", False),
        ("developer", "journal:read", False),
        ("developer", "colony:admin", False),
        ("developer", "deploy:production", False),
        ("observer", "comms:read", True),
        ("observer", "comms:internal", False),
        ("observer", "secret:read", False),
        ("auditor", "journal:read", True),
        ("auditor", "secret:read", False),
        ("auditor", "approval:decide", False),
    ],
)
def test_shipped_roles(role: str, action: str, allowed: bool) -> None:
    """The shipped roles can do what they are for, and not more."""
    assert RoleTable().allows(principal(role), action) is allowed


def test_settings_replace_a_shipped_role() -> None:
    """A role in the settings is the whole of that role."""
    rules = RoleTable({"developer": ["web:*"]})
    assert rules.allows(principal("developer"), "web:browse")
    assert not rules.allows(principal("developer"), "secret:read")


def test_a_refusal_names_what_is_missing_and_who_has_it() -> None:
    """The message holds tool, capability, the caller's roles and a role that would do."""
    with pytest.raises(AccessRefused) as refused:
        RoleTable().authorise(principal("observer"), "secret:read", "mads.turing.get_secret")
    assert refused.value.code == "action_not_allowed"
    for part in ("mads.turing.get_secret", "secret:read", "observer", "developer"):
        assert part in refused.value.message
    assert refused.value.details["roles_with_capability"] == ["developer", "operator"]


def test_a_refusal_says_when_no_role_would_do() -> None:
    """Where no role has the capability, the message says where one is declared."""
    with pytest.raises(AccessRefused, match="`roles` in the settings"):
        RoleTable({"operator": []}).authorise(principal(), "org:fire", "mads.x.y")


def test_authorise_passes_what_is_allowed() -> None:
    """No refusal where a role has the capability."""
    RoleTable().authorise(principal("auditor", "observer"), "journal:read", "mads.grace.journal")


@pytest.mark.parametrize("grant", ["", "web", "web:", "*:*", "web:fetch:x", "Web:*", "web:*\n"])
def test_a_capability_that_means_nothing_is_a_settings_error(grant: str) -> None:
    """A misspelt capability stops the start instead of silently granting nothing."""
    with pytest.raises(SettingsError, match=r"roles\.mine"):
        RoleTable({"mine": [grant]})


def test_unknown_roles_are_refused_where_they_are_given() -> None:
    """Giving an agent a misspelt role is refused with the near one."""
    with pytest.raises(AccessRefused, match="did you mean 'developer'"):
        RoleTable().require(["developper"])
