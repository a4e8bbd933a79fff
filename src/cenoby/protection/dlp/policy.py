"""Which action the settings give a kind of data, by direction, tenant and destination."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from cenoby.kernel.settings import RedactionSettings
from cenoby.kernel.settings_dlp import DataAction, Direction, DlpRule, DlpSettings
from cenoby.kernel.settings_file import SettingsError
from cenoby.protection.dlp.scan import PERSONAL, PERSONAL_KINDS, SECRET_KINDS

_GROUP_OF = {kind: name for name, group in PERSONAL.items() for detector in group for kind in detector.kinds}
_KINDS = SECRET_KINDS | PERSONAL_KINDS
KNOWN_TYPES = _KINDS | PERSONAL.keys() | {"secret", "personal", "*"}
"""All that settings may call a kind or several."""
_MOST_PLANS = 4096


def words_of(kind: str) -> frozenset[str]:
    """All that a rule may call a kind."""
    category = "secret" if kind in SECRET_KINDS else "personal"
    return frozenset((kind, category, _GROUP_OF.get(kind, kind), "*"))


class Plan:
    """The actions for one direction, tenant and destination.

    Attributes:
        idle: whether everything passes, so that nothing need be looked at.
        as_redaction: whether it does what `redaction` does, and nothing else.
        tokenises: whether it puts tokens for anything.
    """

    __slots__ = ("actions", "as_redaction", "idle", "tokenises")

    def __init__(self, rules: Sequence[DlpRule], redacted: frozenset[str]) -> None:
        self.actions: dict[str, DataAction] = {kind: _action(kind, rules, redacted) for kind in _KINDS}
        self.idle = all(action == "allow" for action in self.actions.values())
        self.as_redaction = not rules
        self.tokenises = "tokenise" in self.actions.values()


def _action(kind: str, rules: Sequence[DlpRule], redacted: frozenset[str]) -> DataAction:
    words = words_of(kind)
    for rule in rules:
        if not words.isdisjoint(rule.types):
            return rule.action
    return "redact" if kind in redacted else "allow"


class DataPolicy:
    """The settings, asked for a plan; plans are made once each.

    Args:
        settings: the rules.
        redaction: what is blacked out on the way out where no rule fits.

    Raises:
        SettingsError: a rule names a type that nothing finds.
    """

    def __init__(self, settings: DlpSettings, redaction: RedactionSettings) -> None:
        self._rules = settings.rules
        self._restore = settings.restore
        unknown = sorted({one for rule in (*settings.rules, *settings.restore) for one in rule.types} - KNOWN_TYPES)
        if unknown:
            known = "docs/rule/data-protection.md lists types"
            raise SettingsError("settings_invalid", f"dlp: nothing finds {', '.join(unknown)}; {known}")
        personal = {kind for name in redaction.personal_data for one in PERSONAL[name] for kind in one.kinds}
        self._redacted: dict[Direction, frozenset[str]] = {
            "log": frozenset(personal) | SECRET_KINDS,
            "in": frozenset(),
            "model": SECRET_KINDS,
            "out": frozenset(personal) | (SECRET_KINDS if redaction.secrets else frozenset()),
        }
        self._plans: dict[tuple[Direction, str, tuple[str, ...]], Plan] = {}

    def plan(self, direction: Direction, tenant: str, destinations: tuple[str, ...]) -> Plan:
        """What is done in one direction for one tenant and destination; a destination may go by several names."""
        plan = self._plans.get((direction, tenant, destinations))
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            rules = [rule for rule in self._rules if _fits(rule, direction, tenant, destinations)]
            plan = self._plans[direction, tenant, destinations] = Plan(rules, self._redacted[direction])
        return plan

    def restores(self, tenant: str, tool: str, kind: str) -> bool:
        """Whether a tool may see what a token of a kind stands for."""
        words = words_of(kind)
        return any(
            not words.isdisjoint(rule.types)
            and any(fnmatchcase(tenant, one) for one in rule.tenants)
            and any(fnmatchcase(tool, one) for one in rule.destinations)
            for rule in self._restore
        )


def _fits(rule: DlpRule, direction: Direction, tenant: str, destinations: tuple[str, ...]) -> bool:
    return (
        direction in rule.directions
        and any(fnmatchcase(tenant, one) for one in rule.tenants)
        and any(fnmatchcase(name, one) for name in destinations for one in rule.destinations)
    )
