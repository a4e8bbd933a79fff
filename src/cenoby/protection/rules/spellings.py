"""Other spellings of a text: look-alikes and invisible characters undone, encodings taken off layer by layer.

What a rule is to find must be found however it is written, so each check reads the plain text and all that can be
decoded from it: percent encoding (also overlong and `%uXXXX`), backslash escapes, character references, base64 in both
alphabets (UTF-8, and UTF-16 as PowerShell takes it), hexadecimal. Depth and amount are bounded; the bound is a finding
of its own, so that nobody hides behind it.
"""

from __future__ import annotations

import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from cenoby.protection.rules.linear import linear, linear_bytes

MOST_DECODED = 4 * 1024 * 1024
"""Characters of decoded text that are looked at for one argument."""
SHORTEST_RUN = 10
"""Characters of the shortest encoded run that is decoded; less than that holds no command."""

_INVISIBLE = dict.fromkeys(
    (
        0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010),
        *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0,
        *range(0xFFF0, 0xFFFC), *range(0xE0000, 0xE1000),
    )
)  # fmt: skip
_INVISIBLE_SET = frozenset(map(chr, _INVISIBLE))
_ALIKE = str.maketrans(
    {
        "\u2044": "/", "\u2215": "/", "\u29f8": "/", "\u2571": "/", "\u2216": "\\", "\u29f5": "\\", "\u3002": ".",
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u2028": "\n",
        "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u1680": " ", "\u2029": "\n",
    }
)  # fmt: skip
_ALIKE_SET = frozenset(map(chr, _ALIKE))
# Four letters of base64 that stand for three characters of ASCII: their upper bits are known.
_QUAD = r"[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
_LETTER = r"[A-Za-z0-9+/_-]"
# So words are passed over: base64 begins with two such groups, or changes from small or digit to large; hexadecimal
# begins a byte of ASCII with 2 to 7, or is long.
_RUN = (
    rf"(?:^|[^A-Za-z0-9+])(?P<ascii>(?:{_QUAD}){{2}}{_LETTER}{{2,}}={{0,2}})"
    rf"|(?P<mixed>{_LETTER}*[a-z0-9+/][A-Z]{_LETTER}*={{0,2}})"
    r"|(?P<hex>(?:(?:\\x|0x|[ :])?[2-7][0-9A-Fa-f]){5,}|(?:(?:\\x|0x|[ :])?[0-9A-Fa-f]{2}){8,})"
)
_RUNS = linear(_RUN)
# Without groups, and on bytes: whether there is a run at all, in half the time.
_ANY_RUN = linear_bytes(re.sub(r"\?P<\w+>", "?:", _RUN))
_ESCAPES = linear(r"(?:\\x[0-9A-Fa-f]{2})+|[\\%]u\{?[0-9A-Fa-f]{4,6}\}?")
_PERCENT = linear(r"%[0-9A-Fa-f]{2}")
_HEX_SIGNS = str.maketrans("", "", " :")
_URL_ALPHABET = str.maketrans("-_", "+/")
# Longer than UTF-8 allows, and read as dot, slash and backslash by careless decoders.
_OVERLONG = (
    (b"\xc0\xae", b"."), (b"\xe0\x80\xae", b"."), (b"\xf0\x80\x80\xae", b"."), (b"\xc0\xaf", b"/"),
    (b"\xe0\x80\xaf", b"/"), (b"\xf0\x80\x80\xaf", b"/"), (b"\xc1\x9c", b"\\"), (b"\xe0\x81\x9c", b"\\"),
    (b"\xc0\x80", b"\x00"),
)  # fmt: skip


class TooMuch(Exception):
    """More decoded text than `MOST_DECODED`."""


def plain(text: str) -> str:
    """The text in compatibility form (NFKC), without invisible characters, with look-alikes of signs as ASCII."""
    if text.isascii():
        return text
    if not _INVISIBLE_SET.isdisjoint(text):
        text = text.translate(_INVISIBLE)
    text = unicodedata.normalize("NFKC", text)
    return text if _ALIKE_SET.isdisjoint(text) else text.translate(_ALIKE)


def placed(text: str) -> tuple[str, list[int] | None]:
    """The plain text, and for each of its characters the place in `text`; None where places are the same."""
    if text.isascii():
        return text, None
    pieces: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        said = character if character < "\x80" else plain(character)
        pieces.append(said)
        places.extend([place] * len(said))
    return "".join(pieces), places


def readings(text: str, depth: int) -> Iterator[str]:
    """The plain text first, then everything decoded from it, layer by layer; each once.

    Args:
        text: any text.
        depth: layers to take off.

    Raises:
        TooMuch: it would be more than `MOST_DECODED` characters.
    """
    layer = [plain(text)]
    seen = set(layer)
    yield layer[0]
    budget = MOST_DECODED
    for _ in range(depth):
        found = dict.fromkeys(plain(one) for before in layer for one in _decoded(before))
        layer = [one for one in found if one not in seen]
        seen.update(layer)
        budget -= sum(map(len, layer))
        if budget < 0:
            raise TooMuch
        yield from layer


def unpercented(text: str) -> str:
    """Percent encoding and backslash escapes taken off once."""
    if "%" in text and _PERCENT.search(text) is not None:
        text = _lenient(unquote_to_bytes(text))
    if ("\\" in text or "%u" in text) and _ESCAPES.search(text) is not None:
        text = _ESCAPES.sub(_character, text)
    return text


def may_hold_runs(data: bytes) -> bool:
    """Whether UTF-8 may hold a run that says something; False is certain, True is not."""
    return _ANY_RUN.search(data) is not None


def encoded_runs(text: str) -> Iterator[str]:
    """What the base64 and hexadecimal runs of a text say, where that is readable text."""
    if len(text) < SHORTEST_RUN:
        return
    for match in _RUNS.finditer(text):
        run = cast(str, match.group("ascii") or match.group("mixed") or match.group("hex"))
        if (said := _from_hex(run)) or (said := _from_base64(run)):
            yield said


def _decoded(text: str) -> Iterator[str]:
    once = unpercented(text)
    if once != text:
        yield once
    if "&" in text and ";" in text and (said := html.unescape(text)) != text:
        yield said
    yield from encoded_runs(text)


def _lenient(data: bytes) -> str:
    """Text as careless decoders read it."""
    for spelling, sign in _OVERLONG:
        if spelling in data:
            data = data.replace(spelling, sign)
    return data.decode(errors="replace")


def _character(match: Any) -> str:
    escape = cast(str, match.group())
    if escape.startswith("\\x"):
        return _lenient(bytes.fromhex(escape.replace("\\x", "")))
    number = int(escape.strip("\\%u{}"), 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"


def _from_hex(run: str) -> str:
    digits = run.translate(_HEX_SIGNS).replace("\\x", "").replace("0x", "")
    if len(digits) < SHORTEST_RUN or digits.isalpha() or len(digits) % 2:
        return ""
    try:
        return _readable(bytes.fromhex(digits))
    except ValueError:
        return ""


def _from_base64(run: str) -> str:
    letters = run.rstrip("=").translate(_URL_ALPHABET)
    if len(letters) < SHORTEST_RUN:
        return ""
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    try:
        return _readable(binascii.a2b_base64(letters + "=" * (-len(letters) % 4)))
    except binascii.Error:
        return ""


def _readable(data: bytes) -> str:
    try:
        text = data.decode("ascii" if data.isascii() else "utf-8")
    except UnicodeDecodeError:
        text = "\x00"
    spaced = text.translate(_BLANKS)
    if spaced.isprintable() or plain(spaced).isprintable():
        return text
    # Two bytes a character; random bytes would be ideographs, and no Latin text.
    text = plain(data.decode("utf-16-le", errors="replace"))
    return text if text.isascii() and text.translate(_BLANKS).isprintable() else ""


_BLANKS = str.maketrans("\t\r\n", "   ")
