"""What goes out: secrets and personal data in results, journal payloads and logs become `[redacted:<kind>]`.

Nearly all text is clean, so the way through for clean text is what counts: the texts of a value are joined and searched
once for what every detector needs to be there. Only where that finds something does each text meet the detectors.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from cenoby.kernel.settings import RedactionSettings
from cenoby.protection.detectors import PERSONAL_DATA, SECRETS, Span, context_of, may_be_context

_SHORTEST = 6
"""No detector finds anything in a text shorter than this."""
_MOST_NAMES, _LONGEST_NAME = 4096, 64

Found = tuple[int, int, str]
"""Start and end in the text, and the kind."""


class Redactor:
    """Blacks out what the settings name.

    Args:
        settings: which kinds.
    """

    def __init__(self, settings: RedactionSettings) -> None:
        secrets = SECRETS if settings.secrets else ()
        self._detectors = (*secrets, *(PERSONAL_DATA[kind] for kind in dict.fromkeys(settings.personal_data)))
        self._plain_names: set[str] = set()

    def text(self, text: str) -> str:
        """The text with everything blacked out; the same object where there was nothing."""
        return self._redacted(text)[0] if len(text) >= _SHORTEST and is_suspicious(text) else text

    def value(self, value: Any) -> tuple[Any, int]:
        """A value of plain JSON types with every text in it blacked out, names of members too; numbers are left alone.

        The name of a member counts as context of its text, as `name: text` would.

        Returns:
            The value (the same object where there was nothing), and how many places were blacked out.
        """
        if not isinstance(value, (dict, list, tuple)):
            return self._walk(value, "")
        texts: list[str] = []
        if self._collect(value, texts) and not is_suspicious("\n".join(texts)):
            return cast(Any, value), 0
        return self._walk(value, "")

    def spans(self, text: str) -> list[Found]:
        """What `text` blacks out, in order; nothing overlaps."""
        folded, places = fold(text)
        found: list[Found] = []
        for detector in self._detectors:
            if detector.hints and not any(hint in folded for hint in detector.hints):
                continue
            spans = list(detector.find(folded))
            found.extend((start, end, detector.kind) for start, end in spans)
            folded = _masked(folded, spans)
        apart = _apart(found)
        return apart if places is None else [(places[start], places[end - 1] + 1, kind) for start, end, kind in apart]

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
        if is_suspicious(joined) or (may_be_context(joined) and any(context_of(fold(name)[0]) for name in new)):
            return False
        if len(self._plain_names) + len(new) > _MOST_NAMES:
            self._plain_names.clear()
        self._plain_names.update(name for name in new[:_MOST_NAMES] if len(name) <= _LONGEST_NAME)
        return True

    def _walk(self, value: Any, context: str) -> tuple[Any, int]:
        if isinstance(value, str):
            return self._redacted_after(context, value)
        if isinstance(value, dict):
            return self._walk_members(cast(dict[Any, Any], value))
        if isinstance(value, (list, tuple)):
            items = [self._walk(item, context) for item in cast(list[Any], value)]
            count = sum(item[1] for item in items)
            return ([item[0] for item in items], count) if count else (cast(Any, value), 0)
        return value, 0

    def _walk_members(self, members: dict[Any, Any]) -> tuple[dict[Any, Any], int]:
        made: dict[Any, Any] = {}
        count = 0
        numbered: dict[str, Iterator[str]] = {}
        for name, item in members.items():
            if not isinstance(name, str):
                made[name], inside = self._walk(item, "")
                count += inside
                continue
            shown, places = self._redacted_after("", name)
            if places:
                # Two names may look the same now, or like one that stands here anyway.
                free = numbered.setdefault(shown, _numbered(shown))
                shown = next(one for one in free if one not in members and one not in made)
            made[shown], inside = self._walk(item, context_of(fold(name)[0]))
            count += places + inside
        return (made, count) if count else (members, 0)

    def _redacted_after(self, context: str, text: str) -> tuple[str, int]:
        if not context:
            return self._redacted(text) if len(text) >= _SHORTEST and is_suspicious(text) else (text, 0)
        size = len(context)
        found = self.spans(context + text)
        return _blacked_out(text, [(start - size, end - size, kind) for start, end, kind in found if start >= size])

    def _redacted(self, text: str) -> tuple[str, int]:
        return _blacked_out(text, self.spans(text))


def _apart(found: list[Found]) -> list[Found]:
    # A password in a URL may hold what an earlier detector found; then it is all one. Of two alike the first stays.
    apart: list[Found] = []
    for one in sorted(found, key=lambda one: (one[0], -one[1])):
        if not apart or one[0] >= apart[-1][1]:
            apart.append(one)
    return apart


def _blacked_out(text: str, found: list[Found]) -> tuple[str, int]:
    if not found:
        return text, 0
    pieces: list[str] = []
    position = 0
    for start, end, kind in found:
        pieces += (text[position:start], f"[redacted:{kind}]")
        position = end
    pieces.append(text[position:])
    return "".join(pieces), len(found)


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name} {number}"


_UNDERSCORED = re.compile(
    r"_(?:(?<=gh[pousr]_)|(?<=cby_)|(?<=pat_)|(?<=[rs]k_)|(?<=npm_)|(?<=hf_)|(?<=whsec_)|(?<=secret_)|(?<=SECRET_))"
)
_DASHED = re.compile(
    r"-(?<=[abeikoprst-]-)(?:(?<=sk-)|(?<=xox.-)|(?<=xapp-)|(?<=pypi-)|(?<=xai-)|(?<=glpat-)|(?<=-----)BEGIN )"
)
_ADDRESSED = re.compile(r"@(?<=\S@)[A-Za-z0-9\[]")
_DIALLED = re.compile(r"\+[1-9][0-9 ()./\u00b7-]{6}")
_NUMBERED = re.compile(
    r"[0-9(](?<![0-9A-Za-z_][0-9])(?<![0-9A-Fa-f]-[0-9])(?<![0-9]\.[0-9])(?<!:[0-9]{2}:[0-9])(?![0-9]{3}-[0-9]{2}-[0-9]{2}(?![0-9]))"
    r"(?:[ ()./-]{0,2}[0-9]){6}|[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{3}"
)
# Digits become 0, capitals A, dash and point a dash, all else x; other separators go. What every card, account, social
# security or phone number turns into then holds one of a few strings, which is quicker to see than any pattern.
_SHAPES = bytes(48 if 48 <= c <= 57 else 65 if 65 <= c <= 90 else 45 if c in b"-." else 120 for c in range(256))
_DELETED = b" ()/"


def is_suspicious(text: str) -> bool:
    """Whether any detector might find something in the text; False is certain, True is not."""
    if not text.isascii():
        text = fold(text)[0]
    return _has_marked(text) or _has_named(text) or _has_numbers(text)


def _has_marked(text: str) -> bool:
    return (
        ("@" in text and _ADDRESSED.search(text) is not None)
        or ("_" in text and _UNDERSCORED.search(text) is not None)
        or ("-" in text and _DASHED.search(text) is not None)
    )


def _has_named(text: str) -> bool:
    # The rare letters first: one costs a tenth of the search for the word.
    return (
        ("A" in text and "I" in text and ("AKIA" in text or "ASIA" in text or "AIza" in text))
        or ("A" in text and "K" in text and "retAccessK" in text)
        or ("J" in text and "eyJ" in text)
        or ("G" in text and "SG." in text)
        or ("z" in text and "uthorization" in text)
        or ("Z" in text and "UTHORIZATION" in text)
        or ("R" in text and "EARER" in text)
        or "earer" in text
    )


def _has_numbers(text: str) -> bool:
    if "+" in text and _DIALLED.search(text):
        return True
    shape = text.encode(errors="replace").translate(_SHAPES, _DELETED)
    long = b"000" in shape and (b"0000000" in shape or b"000-000" in shape or b"000-00-0000" in shape)
    return (long or b"AA00" in shape or b"-00-00-0" in shape) and _NUMBERED.search(text) is not None


def fold(text: str) -> tuple[str, list[int] | None]:
    """The text as detectors read it: look-alikes as ASCII, invisible characters gone.

    Returns:
        The folded text; and for each of its characters the place in `text`, or None where places are the same.
    """
    if text.isascii():
        return text, None
    changes = {ord(character): plain for character in set(text) if (plain := _plain(character)) != character}
    if not changes:
        return text, None
    folded = text.translate(changes)
    if len(folded) == len(text):
        return folded, None
    return folded, [place for place, character in enumerate(text) if changes.get(ord(character)) != ""]


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if character < "\x80":
        return character
    category = unicodedata.category(character)
    if category == "Cf" or character in _FILLERS or "\ufe00" <= character <= "\ufe0f":
        return ""
    if category == "Zs":
        return " "
    if category == "Pd" or character == "\u2212":
        return "-"
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    compatible = unicodedata.normalize("NFKC", character)
    return compatible if len(compatible) == 1 and compatible.isascii() else character


_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")


_UUID_LENGTH = 36
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


_INKED = re.compile(r"\S")


def _masked(text: str, spans: list[Span]) -> str:
    if not spans:
        return text
    pieces: list[str] = []
    position = 0
    for start, end in spans:
        # Blanks stay: they end whatever stands before, also for detectors that do not know this one's finds.
        pieces += (text[position:start], _INKED.sub("\x00", text[start:end]))
        position = end
    return "".join((*pieces, text[position:]))
