"""Action types, `category:action`: what policy decides on, each with a risk tier.

A type means the same in the whole process, so there is one register: the shipped types, and those that a MAD's module
declares before its tools name them. A type that is registered nowhere is HIGH, and no role allows it.
"""

from __future__ import annotations

import difflib
import re
from enum import IntEnum


class RiskTier(IntEnum):
    """How bad it is when an action goes wrong; the larger is the stricter."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name.lower()


_FORM = re.compile(r"[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*")

_tiers: dict[str, RiskTier] = {
    action: tier
    for tier, actions in (
        (
            RiskTier.LOW,
            "code:read test:write test:run docs:write vcs:read vcs:branch comms:read comms:internal db:query "
            "memory:read colony:read approval:read token:rotate",
        ),
        (
            RiskTier.MEDIUM,
            "code:write code:create code:refactor vcs:commit arch:decide org:hire org:promote budget:spend "
            "memory:write web:fetch web:browse model:call journal:read",
        ),
        (
            RiskTier.HIGH,
            "code:delete vcs:push deploy:staging comms:external budget:exceed db:mutate secret:read secret:write "
            "secret:rotate secret:govern secret:break-glass tool:call approval:decide colony:admin kill:switch "
            "autonomy:raise canary:write pii:reveal",
        ),
        (RiskTier.CRITICAL, "deploy:production db:admin org:fire journal:erase"),
    )
    for action in actions.split()
}


def declare_action(action: str, tier: RiskTier = RiskTier.HIGH) -> str:
    """Register an action type of one's own and return it; saying the same twice is fine.

    Args:
        action: `category:action`, lower-case, exactly one colon.
        tier: its risk tier.

    Raises:
        ValueError: the form is wrong, or the type is registered with another tier.
    """
    if not _FORM.fullmatch(action):
        raise ValueError(f"action type {action!r} is not of the form category:action (lower-case, exactly one colon)")
    if _tiers.setdefault(action, tier) is not tier:
        raise ValueError(f"action type {action!r} is registered as {_tiers[action]}; it cannot be {tier} as well")
    return action


def require_action(action: str) -> str:
    """`action`, if it is registered.

    Raises:
        ValueError: it is not; the message names the nearest that is, and how to declare one.
    """
    if action in _tiers:
        return action
    near = difflib.get_close_matches(action, _tiers, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "docs/architecture.md lists them."
    raise ValueError(f"action type {action!r} is not registered; {hint} A new one: declare_action({action!r}, tier)")


def tier_of(action: str) -> RiskTier:
    """The risk tier of an action type; HIGH for one that is not registered."""
    return _tiers.get(action, RiskTier.HIGH)


def is_known(action: str) -> bool:
    """Whether the action type is registered."""
    return action in _tiers


def known_actions() -> dict[str, RiskTier]:
    """All registered action types with their tiers, sorted by name."""
    return dict(sorted(_tiers.items()))
