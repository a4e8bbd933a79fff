"""What becomes of a result that speaks to a model: its marks cut out, nothing given back, or only a note of it."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from cenoby.kernel.settings_rules import ResultPolicy, RuleSettings
from cenoby.protection.rules.errors import RuleRefused
from cenoby.protection.rules.instructions import marks_in, may_be_marked

_HIDDEN = "injection.hidden"


class Looked(NamedTuple):
    """A result after the look at it.

    Attributes:
        value: what may be given back.
        changed: whether that is another value than before.
        rules: the rules that it broke, each with what was done: `injection.override:redact`.
    """

    value: Any
    changed: bool = False
    rules: tuple[str, ...] = ()


class ResultRules:
    """Looks at results.

    Args:
        settings: the mode of the set `injection`, and what becomes of marked results.
    """

    def __init__(self, settings: RuleSettings) -> None:
        self._mode = settings.sets.injection
        self._results = settings.results

    def look(self, value: Any, json: bytes, *, outside: bool, tool: str) -> Looked:
        """A result, as it may be given back.

        Args:
            value: plain JSON types.
            json: the same as JSON.
            outside: whether the tool acts beyond the colony.
            tool: its name, for the message.

        Raises:
            RuleRefused: result_withheld.
        """
        if self._mode == "disabled" or not may_be_marked(json):
            return Looked(value)
        rules: dict[str, None] = {}
        cleaned = _cut(value, rules)
        if not rules:
            return Looked(value)
        policy: ResultPolicy = self._results.outside if outside else self._results.inside
        done = tuple(f"{rule}:{'shadow' if self._mode == 'shadow' else policy}" for rule in rules)
        if self._mode == "shadow" or policy == "log":
            return Looked(value, rules=done)
        if policy == "withhold":
            raise RuleRefused(
                "result_withheld",
                f"The result of {tool} tells a model what to do ({', '.join(rules)}); it is withheld. An operator can "
                "have such results redacted instead: rules.results.",
                details={"rules": list(rules)},
            )
        return Looked(cleaned, changed=True, rules=done)


def _cut(value: Any, rules: dict[str, None]) -> Any:
    """The value without what its texts say to a model; the rules are added to `rules`."""
    if isinstance(value, str):
        return _cut_text(value, rules)
    if isinstance(value, dict):
        # Names as well: whoever looks for a member by its name does not look for one that gives orders.
        members = cast(dict[str, Any], value)
        return {_cut_text(str(name), rules): _cut(item, rules) for name, item in members.items()}
    if isinstance(value, (list, tuple)):
        return [_cut(item, rules) for item in cast(list[Any], value)]
    return value


def _cut_text(text: str, rules: dict[str, None]) -> str:
    pieces: list[str] = []
    position = 0
    for mark in marks_in(text):
        rules[mark.rule] = None
        pieces.append(text[position : mark.start])
        if mark.rule != _HIDDEN:
            pieces.append(f"[removed:{mark.rule}]")
        position = mark.end
    return "".join((*pieces, text[position:])) if position else text
