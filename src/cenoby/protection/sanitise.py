"""What comes in: arguments of a call are bounded in size and depth, and say nothing that a person cannot see.

Refused are control characters (Unicode category Cc, save tab, line feed and carriage return) and lone surrogates: no
tool has a use for them, and downstream they cut strings short or steer terminals. Removed are characters that have no
look of their own and can hide instructions from the reader: tags, bidirectional controls, zero-width characters,
fillers. Kept are the few places where such a character is part of writing: joiners inside non-ASCII words and emoji,
variation selectors after a character that takes one, and the three flags that Unicode recommends with tags (UTS #51).
Text is not normalised otherwise.
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from cenoby.kernel.errors import InvalidInput


class InputRefused(InvalidInput):
    """Arguments that no tool gets to see."""

    codes = {
        "input_too_large": "The arguments are larger than limits.max_argument_bytes; send less, or send it in parts.",
        "input_too_deep": "The arguments nest deeper than limits.max_depth; flatten them.",
        "input_control_character": "A text holds a control character other than tab, line feed, carriage return.",
        "input_not_unicode": "A text holds half a surrogate pair, so it is not valid Unicode.",
        "input_number_too_large": "An integer does not fit into 64 bits; send it as text.",
        "input_keys_collide": "Two keys of one object are the same once invisible characters are removed.",
    }


_to_json = msgspec.json.Encoder().encode
_to_msgpack = msgspec.msgpack.Encoder().encode

# In JSON as msgspec writes it, these escapes stand for control characters (or for a backslash in front of the letter).
_ESCAPED_CONTROL = re.compile(rb"\\[bfu]")
_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

_HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_VISIBLE = rf"[^\x00-\x7f\s{_HIDDEN}]"
_EMOJI_BASE = rf"[^\x00-\x22\x24-\x29\x2b-\x2f\x3a-\x7f\s{_HIDDEN}]"
_IDEOGRAPH = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
# The black flag with the tags of gbeng, gbsct or gbwls, and the closing tag.
_FLAG = "\U0001f3f4\U000e0067\U000e0062(?:{})\U000e007f".format(
    "|".join("".join(chr(0xE0000 + ord(letter)) for letter in nation) for nation in ("eng", "sct", "wls"))
)
_ANY_HIDDEN = re.compile(f"[{_HIDDEN}]")
# One pass: what is kept is matched first (and put back), every other hidden character is dropped.
_KEPT_OR_HIDDEN = re.compile(
    rf"({_FLAG}"
    rf"|(?:(?<={_VISIBLE})|(?<={_EMOJI_BASE}\ufe0f))[\u200c\u200d](?={_VISIBLE})"
    rf"|(?<={_EMOJI_BASE})[\ufe0e\ufe0f]"
    rf"|(?<={_IDEOGRAPH})[\ufe00-\ufe02\U000e0100-\U000e01ef])"
    rf"|[{_HIDDEN}]"
)


def sanitise(arguments: dict[str, Any], *, max_bytes: int, max_depth: int) -> tuple[dict[str, Any], int]:
    """Arguments that are safe to journal, show and hand to a tool.

    Args:
        arguments: plain JSON types; never changed.
        max_bytes: largest size as compact JSON, bytes.
        max_depth: deepest nesting of objects and arrays; the arguments themselves are the first level.

    Returns:
        The cleaned arguments (the same object where nothing was removed), and how many characters were removed.

    Raises:
        InputRefused: too large, too deep, or a character or number that no tool takes.
    """
    try:
        data = _to_json(arguments)
        _to_msgpack(arguments)  # what JSON can say and the journal cannot: integers beyond 64 bits
    except UnicodeEncodeError:
        raise _refusal(arguments, max_depth) from None
    except OverflowError:
        raise InputRefused(
            "input_number_too_large", "An integer in the arguments does not fit into 64 bits; send it as text."
        ) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    if len(data) > max_bytes:
        raise InputRefused(
            "input_too_large", f"The arguments take {len(data)} bytes as JSON; the limit is {max_bytes}. Send less."
        )
    if data.count(b"{") + data.count(b"[") > max_depth:
        _check_depth(arguments, max_depth)
    if data.isascii() and b"\x7f" not in data and (b"\\" not in data or not _ESCAPED_CONTROL.search(data)):
        return arguments, 0
    cleaner = _Cleaner()
    cleaned = cleaner.clean(arguments, "arguments")
    return (cast(dict[str, Any], cleaned), cleaner.removed) if cleaner.removed else (arguments, 0)


class _Cleaner:
    """Walks values that are known not to be too deep, counting what it removes."""

    def __init__(self) -> None:
        self.removed = 0

    def clean(self, value: Any, place: str) -> Any:
        if isinstance(value, str):
            return self._text(value, place)
        if isinstance(value, dict):
            return self._object(cast(dict[Any, Any], value), place)
        if isinstance(value, (list, tuple)):
            items = cast(list[Any], value)
            return [self.clean(item, f"{place}[{index}]") for index, item in enumerate(items)]
        return value

    def _object(self, value: dict[Any, Any], place: str) -> dict[str, Any]:
        cleaned: dict[str, Any] = {}
        for key, item in value.items():
            name = self._text(str(key), f"a key of {place}")
            if name in cleaned:
                raise InputRefused(
                    "input_keys_collide",
                    f"{place} has the key {name!r} twice once invisible characters are removed; send it once.",
                )
            cleaned[name] = self.clean(item, f"{place}.{name}")
        return cleaned

    def _text(self, text: str, place: str) -> str:
        refused = _REFUSED.search(text)
        if refused is not None:
            raise _character_refused(refused, place)
        if text.isascii() or not _ANY_HIDDEN.search(text):
            return text
        cleaned = _KEPT_OR_HIDDEN.sub(lambda found: found[1] or "", text)
        self.removed += len(text) - len(cleaned)
        return cleaned


def _check_depth(arguments: dict[str, Any], max_depth: int) -> None:
    level: list[Any] = [arguments]
    for _ in range(max_depth):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return
    raise _too_deep(max_depth)


def _containers(value: Any) -> list[Any]:
    items = cast(dict[Any, Any], value).values() if isinstance(value, dict) else cast(list[Any], value)
    return [item for item in items if isinstance(item, (dict, list, tuple))]


def _refusal(arguments: dict[str, Any], max_depth: int) -> InputRefused:
    # The encoder says only that some text holds a surrogate; the walk finds which, unless it meets worse first.
    try:
        _check_depth(arguments, max_depth)
        _Cleaner().clean(arguments, "arguments")
    except InputRefused as refusal:
        return refusal
    raise AssertionError("a text that does not encode holds a surrogate")


def _character_refused(found: re.Match[str], place: str) -> InputRefused:
    character = f"U+{ord(found[0]):04X} at position {found.start()}"
    place = place if len(place) <= 200 else f"{place[:200]}…"
    if "\ud800" <= found[0] <= "\udfff":
        return InputRefused("input_not_unicode", f"{place} holds the lone surrogate {character}; send valid Unicode.")
    return InputRefused(
        "input_control_character", f"{place} holds the control character {character}; send the text without it."
    )


def _too_deep(max_depth: int) -> InputRefused:
    return InputRefused("input_too_deep", f"The arguments nest deeper than {max_depth} levels; flatten them.")
