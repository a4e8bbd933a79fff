"""Secrets that hide in an encoding: base64 and its URL alphabet (RFC 4648), hexadecimal, percent signs (RFC 3986).

What decodes is searched as a text of its own, twice over at most. A find takes the whole encoded run: half of one
could still be decoded. Encoded runs are words without blanks, so whatever holds them has them whole.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.detector import Detector, Found

_LONGEST = 1 << 20
"""Bytes of a run that is decoded; what is longer is decoded up to there."""
_DEPTH = 2
# Of text: what is printed, tabulators and line ends, which a private key has.
_HEX = rb"(?:[2-7][0-9A-Fa-f]|0[9AaDd]){20,}"
# Base64 of ASCII: the top bit of every byte is 0, so of four characters three come from half of the alphabet. Random
# letters pass for six groups once in 260,000 times, and text in base64 begins exactly where this begins to match.
_BASE64 = rb"(?:[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){6}[A-Za-z0-9+/_-]*"
_PERCENT = rb"%[0-9A-Fa-f]{2}"
_HEX_LOOK, _BASE64_LOOK, _PERCENT_LOOK = expression(_HEX), expression(_BASE64), expression(_PERCENT)
_WORD = re.compile(rb"[^\s\"'<>\x00]+")
_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")

Inside = Callable[[bytes], str]
"""The kind of the first secret in a text, or nothing."""


def encoded(inside: Inside) -> Detector:
    """A detector of what another one finds once it is decoded."""

    def find(data: bytes) -> Iterator[Found]:
        taken = 0
        for start, end, kind in sorted((*_runs(data, inside, 1), *_percents(data, inside, 1))):
            if start >= taken:
                taken = end
                yield start, end, kind

    return Detector((), "secret", _HEX + b"|" + _BASE64 + b"|" + _PERCENT, find)


def _runs(data: bytes, inside: Inside, depth: int) -> Iterator[Found]:
    for match in _HEX_LOOK.finditer(data):
        run = match.group()[:_LONGEST]
        if kind := _kind(binascii.unhexlify(run[: len(run) & ~1]), inside, depth):
            yield match.start(), match.end(), kind
    for match in _BASE64_LOOK.finditer(data):
        if kind := _kind(_from_base64(match.group()[:_LONGEST]), inside, depth):
            # The letters before are of the same run: they may be of the secret, read at another offset.
            start = match.start()
            while start > 0 and data[start - 1] in _ALPHABET:
                start -= 1
            padding = data[match.end() : match.end() + 2]
            yield start, match.end() + len(padding) - len(padding.lstrip(b"=")), kind


def _percents(data: bytes, inside: Inside, depth: int) -> Iterator[Found]:
    position = 0
    while place := _PERCENT_LOOK.search(data, position):
        start = max(data.rfind(blank, position, place.start()) for blank in (b" ", b"\n", b"\t", b'"', b"'")) + 1
        start = max(start, position)
        word = _WORD.match(data, start)
        position = word.end() if word else place.end()
        if word and (kind := _kind(unquote_to_bytes(word[0][:_LONGEST]), inside, depth)):
            yield start, position, kind


def _from_base64(run: bytes) -> bytes:
    standard = run.translate(_TO_STANDARD)
    standard = standard[: len(standard) - (len(standard) % 4 == 1)]
    return binascii.a2b_base64(standard + b"=" * (-len(standard) % 4))


def _kind(text: bytes, inside: Inside, depth: int) -> str:
    if kind := inside(text):
        return kind
    if depth >= _DEPTH:
        return ""
    return next((kind for _, _, kind in (*_runs(text, inside, depth + 1), *_percents(text, inside, depth + 1))), "")
