"""Calls that rules are asked about, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cenoby.kernel.codec import canonical_json
from cenoby.kernel.settings import EgressSettings
from cenoby.kernel.settings_rules import RuleSettings
from cenoby.protection.rules.arguments import ArgumentKind
from cenoby.protection.rules.engine import RuleEngine, Verdict

ENGINE = RuleEngine(RuleSettings(), EgressSettings())


def verdict(
    arguments: dict[str, Any],
    *,
    engine: RuleEngine = ENGINE,
    action: str = "tool:call",
    outside: bool = False,
    kinds: Mapping[str, ArgumentKind] | None = None,
    sensitive: tuple[str, ...] = (),
) -> Verdict:
    """What the engine says of a call with these arguments."""
    return engine.check(
        arguments,
        canonical_json(arguments),
        action=action,
        outside=outside,
        kinds=kinds or {},
        sensitive=frozenset(sensitive),
    )


def found(arguments: dict[str, Any], **more: Any) -> dict[str, str]:
    """The level of each rule that found something, by its id."""
    levels: dict[str, str] = {}
    for one in verdict(arguments, **more).findings:
        levels.setdefault(one.rule, str(one.level))
    return levels
