"""One answer of a model on its way to who asked: what of it is blacked out, withheld or noted, also while it grows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from cenoby.kernel.settings_content import AnswerAction, AnswerSettings
from cenoby.protection.content.answer_rules import LONGEST_LINE, AnswerRules, Place
from cenoby.protection.content.directive import Directive
from cenoby.protection.dlp.detector import Found
from cenoby.protection.redact import replaced
from cenoby.protection.streaming import REACH, merged

_CHANGES = ("redact", "block")
_STRICTEST_FIRST: tuple[AnswerAction, ...] = ("block", "redact", "log")


class Checked(NamedTuple):
    """An answer after the look at it.

    Attributes:
        text: what may go on; where it is withheld, nothing.
        action: the strictest of what was done.
        categories: what was found that is not allowed without notice.
    """

    text: str
    action: AnswerAction
    categories: tuple[str, ...]


class AnswerPolicy:
    """What becomes of answers.

    Args:
        settings: the action for each category.
    """

    def __init__(self, settings: AnswerSettings) -> None:
        self._actions: dict[str, AnswerAction] = settings.model_dump()
        self._rules = AnswerRules()

    def begin(self, system: str, prompt: str) -> AnswerCheck:
        """The check of the answer to one prompt, with the directive that goes before it."""
        return AnswerCheck(self._actions, self._rules, system, prompt)


class AnswerCheck:
    """Looks at one answer; made by `AnswerPolicy.begin`."""

    def __init__(self, actions: dict[str, AnswerAction], rules: AnswerRules, system: str, prompt: str) -> None:
        self._actions = actions
        self._rules = rules
        self._known = f"{system}\n{prompt}"
        self._directive = Directive(system, prompt) if system else None

    @property
    def reach(self) -> int:
        """Characters of a growing answer that must be held back at least, so that what is found is certain."""
        lines = {self._actions["destructive"], self._actions["instruction"]}
        return REACH if lines.isdisjoint(_CHANGES) else LONGEST_LINE + 128

    def spans(self, text: str) -> list[Found]:
        """What is blacked out of an answer so far; where it is withheld, all from there on."""
        found: list[Found] = []
        for start, end, category, kind in sorted(self.places(text)):
            action = self._actions[category]
            if action == "block":
                # Beyond the end of the text: a stream waits for the rest of it, which never comes.
                return merged([*found, (start, len(text) + 1, category)])
            if action == "redact":
                found.append((start, end, kind or category))
        return merged(found)

    def finish(self, text: str) -> Checked:
        """The whole answer, as it may go on."""
        places = [one for one in self.places(text) if self._actions[one.category] != "allow"]
        categories = tuple(sorted({one.category for one in places}))
        found = {self._actions[one] for one in categories}
        action = cast(AnswerAction, next((one for one in _STRICTEST_FIRST if one in found), "allow"))
        if action == "block":
            return Checked("", action, categories)
        return Checked(replaced(text, self.spans(text))[0], action, categories)

    def places(self, text: str) -> Iterator[Place]:
        """Everything that the rules find, in no order; places may overlap."""
        yield from self._rules.places(text, self._known)
        if self._directive is not None:
            yield from self._directive.leaks(text)
