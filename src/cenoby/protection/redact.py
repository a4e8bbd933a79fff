"""What goes out: secrets and personal data in results, journal payloads and logs become `[redacted:<kind>]`.

Nearly all text is clean, so the way through for clean text is what counts: the texts of a value are joined and searched
once (`dlp/scan.py`). Only where that finds something does each text meet the detectors.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from cenoby.kernel.settings import RedactionSettings
from cenoby.protection.dlp.canaries import Canaries
from cenoby.protection.dlp.detector import Found
from cenoby.protection.dlp.names import context_of, may_be_context
from cenoby.protection.dlp.normalise import fold
from cenoby.protection.dlp.scan import Scanner

_SHORTEST = 6
"""No detector finds anything in a text shorter than this."""
_MOST_NAMES, _LONGEST_NAME = 4096, 64

Replace = Callable[[str, str], str]
"""Makes of a kind and what was found what stands there instead."""


class Redactor:
    """Blacks out what the settings name.

    Args:
        settings: which kinds.
        canaries: planted texts, which are blacked out, too.
    """

    def __init__(self, settings: RedactionSettings, canaries: Canaries | None = None) -> None:
        self.canaries = canaries or Canaries()
        self.scanner = Scanner(secrets=settings.secrets, personal=settings.personal_data, canaries=self.canaries)
        self._plain_names: set[str] = set()

    def text(self, text: str) -> str:
        """The text with everything blacked out; the same object where there was nothing."""
        return self._redacted(text, "", black)[0]

    def value(self, value: Any, replace: Replace | None = None) -> tuple[Any, int]:
        """A value of plain JSON types with every text in it blacked out, names of members too; numbers are left alone.

        The name of a member counts as context of its text, as `name: text` would.

        Args:
            value: is never changed.
            replace: makes what stands there instead; without it `[redacted:<kind>]`.

        Returns:
            The value (the same object where there was nothing), and how many places were blacked out.
        """
        replace = replace or black
        if not isinstance(value, (dict, list, tuple)):
            return self._walk(value, "", replace)
        texts: list[str] = []
        if self._collect(value, texts) and not self.scanner.may_hold(fold("\n".join(texts))[0]):
            return cast(Any, value), 0
        return self._walk(value, "", replace)

    def spans(self, text: str) -> list[Found]:
        """What `text` blacks out, in order; nothing overlaps."""
        return self.scanner.spans(text)

    def _collect(self, value: Any, texts: list[str]) -> bool:
        # False: a member's name needs a closer look. Names repeat, so those that do not are remembered.
        items: Any = cast(object, value)
        if type(value) is dict:
            if not self._plain_names.issuperset(cast(Any, value)) and not self._are_plain(cast(dict[Any, Any], value)):
                return False
            items = cast(dict[Any, Any], value).values()
        for item in items:
            kind = cast(object, type(item))
            if kind is str:
                if len(item) >= _SHORTEST and not (len(item) == _UUID_LENGTH and _UUID.fullmatch(item)):
                    texts.append(item)
            elif (kind is dict or kind is list or kind is tuple) and not self._collect(item, texts):
                return False
        return True

    def _are_plain(self, members: dict[Any, Any]) -> bool:
        # A tool may have returned numbers as names; JSON makes texts of them later.
        new = [name for name in members if isinstance(name, str) and name not in self._plain_names]
        joined = fold("\n".join(new))[0]
        if self.scanner.may_hold(joined) or (
            may_be_context(joined.decode("latin-1")) and any(context_of(_folded(name)) for name in new)
        ):
            return False
        if len(self._plain_names) + len(new) > _MOST_NAMES:
            self._plain_names.clear()
        self._plain_names.update(name for name in new[:_MOST_NAMES] if len(name) <= _LONGEST_NAME)
        return True

    def _walk(self, value: Any, context: str, replace: Replace) -> tuple[Any, int]:
        if isinstance(value, str):
            return self._redacted(value, context, replace)
        if isinstance(value, dict):
            return self._walk_members(cast(dict[Any, Any], value), replace)
        if isinstance(value, (list, tuple)):
            items = [self._walk(item, context, replace) for item in cast(list[Any], value)]
            count = sum(item[1] for item in items)
            return ([item[0] for item in items], count) if count else (cast(Any, value), 0)
        return value, 0

    def _walk_members(self, members: dict[Any, Any], replace: Replace) -> tuple[dict[Any, Any], int]:
        made: dict[Any, Any] = {}
        count = 0
        numbered: dict[str, Iterator[str]] = {}
        for name, item in members.items():
            if not isinstance(name, str):
                made[name], inside = self._walk(item, "", replace)
                count += inside
                continue
            shown, places = self._redacted(name, "", replace)
            if shown != name:
                # Two names may look the same now, or like one that stands here anyway.
                free = numbered.setdefault(shown, _numbered(shown))
                shown = next(one for one in free if one not in members and one not in made)
            made[shown], inside = self._walk(item, context_of(_folded(name)), replace)
            count += places + inside
        return (made, count) if count else (members, 0)

    def _redacted(self, text: str, context: str, replace: Replace) -> tuple[str, int]:
        if len(text) < _SHORTEST and not context:
            return text, 0
        size = len(context)
        found = self.scanner.spans(context + text)
        if size:
            found = [(start - size, end - size, kind) for start, end, kind in found if start >= size]
        return replaced(text, found, replace)


def black(kind: str, found: str) -> str:
    """What stands where something was blacked out."""
    del found
    # What follows a colon is for those who know canaries.
    return f"[redacted:{kind.partition(':')[0]}]"


def replaced(text: str, found: list[Found], replace: Replace = black) -> tuple[str, int]:
    """A text with each find replaced, and how many there were; the same object where there was none."""
    if not found:
        return text, 0
    pieces: list[str] = []
    position = 0
    for start, end, kind in found:
        pieces += (text[position:start], replace(kind, text[start:end]))
        position = end
    pieces.append(text[position:])
    return "".join(pieces), len(found)


def _folded(name: str) -> str:
    return name if name.isascii() else fold(name)[0].decode("latin-1")


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name} {number}"


_UUID_LENGTH = 36
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
