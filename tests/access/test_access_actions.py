"""Action types: the register and its tiers."""

from __future__ import annotations

import pytest

from cenoby.access.actions import RiskTier, declare_action, is_known, known_actions, require_action, tier_of


@pytest.mark.parametrize(
    ("action", "tier"),
    [
        ("code:read", RiskTier.LOW),
        ("vcs:branch", RiskTier.LOW),
        ("web:fetch", RiskTier.MEDIUM),
        ("memory:write", RiskTier.MEDIUM),
        ("vcs:push", RiskTier.HIGH),
        ("secret:read", RiskTier.HIGH),
        ("tool:call", RiskTier.HIGH),
        ("deploy:production", RiskTier.CRITICAL),
        ("db:admin", RiskTier.CRITICAL),
        ("org:fire", RiskTier.CRITICAL),
    ],
)
def test_shipped_types_have_their_tier(action: str, tier: RiskTier) -> None:
    """The tiers of the shipped types are the agreed ones."""
    assert tier_of(action) is tier


def test_only_four_shipped_types_are_critical() -> None:
    """Nothing slips into the strictest tier unnoticed."""
    assert {action for action, tier in known_actions().items() if tier is RiskTier.CRITICAL} == {
        "db:admin",
        "deploy:production",
        "journal:erase",
        "org:fire",
    }


def test_an_unknown_type_is_high_and_not_known() -> None:
    """What nobody registered is treated as dangerous."""
    assert tier_of("moon:shoot") is RiskTier.HIGH
    assert not is_known("moon:shoot")


@pytest.mark.parametrize("action", ["", "deploy", "a:b:c", ":x", "x:", "Code:read", "code:read\n", "code: read", "*:*"])
def test_a_malformed_type_cannot_be_declared(action: str) -> None:
    """A type has exactly one colon between two lower-case words."""
    with pytest.raises(ValueError, match="category:action"):
        declare_action(action)


def test_a_type_is_declared_once_and_for_all() -> None:
    """A declared type is known with its tier; nobody can give it, or a shipped one, another."""
    assert declare_action("actionstest:draw", RiskTier.LOW) == "actionstest:draw"
    declare_action("actionstest:draw", RiskTier.LOW)
    assert require_action("actionstest:draw") == "actionstest:draw"
    with pytest.raises(ValueError, match="registered as low"):
        declare_action("actionstest:draw", RiskTier.CRITICAL)
    with pytest.raises(ValueError, match="registered as critical"):
        declare_action("org:fire", RiskTier.LOW)


def test_a_misspelt_type_names_the_near_one() -> None:
    """Whoever mistypes an action type is told what it probably is."""
    with pytest.raises(ValueError, match="did you mean 'web:fetch'"):
        require_action("web:fetsh")


def test_tiers_compare_by_strictness() -> None:
    """The stricter of two tiers is their maximum, every tier is truthy, and prints as its name."""
    assert max(RiskTier.MEDIUM, RiskTier.CRITICAL) is RiskTier.CRITICAL
    assert all(RiskTier)
    assert str(RiskTier.HIGH) == "high"
