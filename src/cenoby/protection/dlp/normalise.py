"""The text as detectors read it: one byte for each character, look-alikes as ASCII, invisible characters gone.

Detectors then need no Unicode tables, and an offset in the bytes is an offset in the folded text. Characters are folded
one by one (NFKC, UAX #15, where that gives ASCII), so that a text in pieces folds to the pieces of the folded text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_LETTER, _OTHER = "\u00e9", "?"
"""What stands for all Latin letters beyond Latin-1, and for everything else: scripts whose words have no blanks."""
_BEYOND = re.compile("[^\x00-\x7f]")
_FEW = 64


def fold(text: str) -> tuple[bytes, list[int] | None]:
    """Fold a text.

    Returns:
        One byte for each character that is left; and for each of them its place in `text`, or None where places are
        the same.
    """
    if text.isascii():
        return text.encode(), None
    # What is not in Latin-1 is encoded as _OTHER anyway.
    changes = {one: plain for one in set(_BEYOND.findall(text)) if (plain := _plain(one)) not in (one, _OTHER)}
    if len(changes) <= _FEW:
        folded = text
        for one, plain in changes.items():
            folded = folded.replace(one, plain)
    else:
        folded = text.translate(str.maketrans(changes))
    data = folded.encode("latin-1", "replace")
    if all(len(plain) == 1 for plain in changes.values()):
        return data, None
    return data, [place for place, one in enumerate(text) for _ in changes.get(one, one)]


@lru_cache(maxsize=8192)
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
    if compatible.isascii() and compatible.isprintable():
        return compatible
    if character <= "\xff":
        return character
    return _LETTER if character < "\u0250" and character.isalpha() else _OTHER
