"""How somebody is reached: mail addresses, phone numbers, network addresses, and streets where words tell."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.detector import Detector, Found, shaped

_AT = rb"[^\s\x00]@(?:[A-Za-z0-9\xe9-]{1,63}\.){1,8}[A-Za-z]{2}"

_DOMAIN = re.compile(rb"@(?P<host>(?:[A-Za-z0-9\xe9-]{1,63}\.){1,8})(?P<top>[A-Za-z]{2,24})(?![A-Za-z0-9])")
_LOCAL = frozenset(b"._%+'-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") | (
    frozenset(range(0xC0, 0x100)) - {0xD7, 0xF7} | {0xAA, 0xB5, 0xBA}
)
_LONGEST_LOCAL = 64
_RETINA = re.compile(rb"[1-9]x\.")


def _emails(data: bytes) -> Iterator[Found]:
    """Addresses as people write them (RFC 5321, dot-atom, and Latin letters of RFC 6531)."""
    end = 0
    for match in _DOMAIN.finditer(data):
        start = match.start()
        while start > match.start() - _LONGEST_LOCAL and start > 0 and data[start - 1] in _LOCAL:
            start -= 1
        local = data[start : match.start()].lstrip(b"._%+'-")
        # git@host:path names a service, icon@2x.png an image.
        if local and local != b"git" and not _RETINA.match(match["host"]):
            # In a@b.example@c.example the second begins where the first ended.
            yield max(end, match.start() - len(local)), match.end(), "email"
            end = match.end()


_EXTENSION = rb"(?: ?(?:x|ext\.?) ?[0-9]{1,6})?"
_ABROAD = rb"\+[1-9](?:[ ./\xb7-]{0,2}(?:[0-9]|\([0-9]{1,4}\))){5,15}"
_PHONE_ABROAD = re.compile(rb"(?<![\w+.])" + _ABROAD + _EXTENSION + rb"(?![0-9A-Za-z_]|[.:][0-9])")
# Country codes in use (ITU-T E.164, annex to Operational Bulletin 1114), with the lengths that can follow.
_DIALLED = re.compile(
    rb"1[2-9][0-9]{2}[2-9][0-9]{6}|7[3-9][0-9]{9}"
    rb"|(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])[0-9]{6,13}"
    rb"|(?:2[1-69]|3[578]|42|5[09]|6[789]|8[0578]|9[679])[0-9]{6,13}"
)
_US = rb"\([2-9][0-9]{2}\)[ -]?[2-9][0-9]{2}[- .][0-9]{4}"
_PHONE_US = re.compile(_US + _EXTENSION + rb"(?![0-9A-Za-z_])")
_PHONE_LOCAL = re.compile(
    rb"\(?(?![0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])|[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\.?[0-9]))"
    rb"[0-9](?:[ ()./-]{0,2}[0-9]){6,13}" + _EXTENSION + rb"(?![0-9A-Za-z_:]|[.-][0-9])"
)
_WORDS = (
    rb"(?:\b|_)(?:telephone|telefon|cellphone|phone|mobile|handy|fax|whatsapp|sms|hotline|tel|cell|call|dial|reach|text"
    rb"|contact|ring|desk|answering at|messages? to)"
)
_PHONE_WORDS = expression(rb"(?i)" + _WORDS + rb"s?")
_GAP = re.compile(rb"(?i)" + _WORDS + rb"s?(?![A-Za-z])(?:: ?\n ?|[^0-9\n(]{0,40}+)")
_OPENS_NUMBER = frozenset({b"(", *(b"%d" % digit for digit in range(10))})
_WORD_ALONE = re.compile(rb"(?i)" + _WORDS + rb"s?")
_SENTENCE_END = re.compile(rb"[a-z]{4}[.!?] |[a-z]{2}[.!?] +[A-Za-z]")
_VAGUE = re.compile(rb"(?i)_?(?:call|dial|reach|text|contact|ring|desk|answering|message)")
# As signatures have it: the number, and then what it is, at the end of the line or before a comma.
_NAMED_AFTER = rb"[0-9](?:[ ()./-]{0,2}[0-9]){6,13}[ -]{1,2}(?i:office|fax|mobile|cell|home|phone)(?:[\n,;\\]|$)"
_PHONE_NAMED_AFTER = expression(_NAMED_AFTER)
_DATE = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
_NAME_AFTER = re.compile(rb"[ -]{1,2}[A-Za-z]+[\n,;\\]?\Z")


def _phones(data: bytes) -> Iterator[Found]:
    """Phone numbers: with + and a country code, as (212) 555-0123, or after a word that announces one."""
    abroad = [match for place in _pluses(data) if (match := _PHONE_ABROAD.match(data, place))]
    found = [match.span() for match in abroad if _DIALLED.fullmatch(_digits(match[0]))]
    found += _phones_named_after(data)
    found += [match.span() for match in _PHONE_US.finditer(data)]
    found += _announced_phones(data)
    end = 0
    for start, stop in sorted(found):
        if start >= end:
            end = stop
            yield start, stop, "phone"


def _pluses(data: bytes) -> Iterator[int]:
    place = data.find(b"+")
    while place >= 0:
        yield place
        place = data.find(b"+", place + 1)


def _announced_phones(data: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    # Word by word, each with a bounded look at what follows: a search for a word and its number would read to the end
    # of a line again and again.
    while word := _PHONE_WORDS.search(data, position):
        position = word.start() + 2
        gap = _GAP.match(data, word.start())
        if gap is None or data[gap.end() : gap.end() + 1] not in _OPENS_NUMBER:
            continue
        beside = not data[gap.end() - 1 : gap.end()].isalpha() or _WORD_ALONE.fullmatch(gap[0])
        number = _PHONE_LOCAL.match(data, gap.end()) if beside and not _SENTENCE_END.search(gap[0]) else None
        # "call 12345678" may be anything; "call 555-123-4567" is not.
        vague = _VAGUE.match(data, word.start()) and b":" not in gap[0][-3:]
        if number and not (vague and number[0].isdigit()):
            yield number.start() - (data[number.start() - 1 : number.start()] == b"+"), number.end()
        position = number.end() if number else position


def _phones_named_after(data: bytes) -> Iterator[tuple[int, int]]:
    for match in _PHONE_NAMED_AFTER.finditer(data):
        # Before its first digit there may be the sign of a country or a bracket.
        start = match.start() - (data[match.start() - 1 : match.start()] in (b"+", b"("))
        if not data[start - 1 : start].isalnum() and not _DATE.match(data, match.start()):
            named = _NAME_AFTER.search(match.group())
            yield start, match.end() - (len(named[0]) if named else 0)


def _digits(shown: bytes) -> bytes:
    return re.sub(rb"[^0-9]", b"", re.split(rb"[xe]", shown)[0]).removeprefix(b"00")


_IPV4 = rb"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
_IPV6 = (
    rb"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:(?:[0-9A-Fa-f]{0,4}:){0,6}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?"
)
_VERSION = re.compile(rb"(?i)(?:version|release|v|==|-|build)[ :=]{0,2}$")


def _ip_end(data: bytes, start: int, end: int) -> int:
    shown = data[start:end]
    try:
        ipaddress.ip_address(shown.decode())
    except ValueError:
        return 0
    if b":" in shown and shown.count(b":") < 7 and (b"::" not in shown or len(shown) < 6):
        return 0  # a time of day, or a scope of C++
    return 0 if _VERSION.search(data[max(0, start - 10) : start]) else end


_STREETS = (
    rb"Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Highway|Hwy|Parkway|Pkwy|Terrace|Place"
    rb"|Pl|Way|Circle|Cir|Trail|Loop|Crescent|Close|Rue|Via|Calle|Avenida|Rua"
)
_NAMED = rb"[A-Z\xc0-\xde][A-Za-z'.\xc0-\xff-]{1,20}"
_STREET_AFTER = rb"[0-9]{1,5}[A-Za-z]?,? (?:[NSEW]\.? )?(?:" + _NAMED + rb" ){1,3}(?:" + _STREETS + rb")\b\.?"
_STREET_BEFORE = (
    rb"(?:" + _NAMED + rb"(?:stra\xdfe|strasse|str\.|weg|gasse|platz|allee|gatan|vej|straat|laan)"
    rb"|(?:Rue|Via|Calle|Avenida|Rua|Avenue|Boulevard) (?:[a-z]{2,3} ){0,2}" + _NAMED + rb"),? [0-9]{1,4}[A-Za-z]?\b"
)
_BOX = rb"(?i:p\.? ?o\.? box) [0-9]{1,6}"
_ADDRESS = rb"(?:" + _STREET_AFTER + rb"|" + _STREET_BEFORE + rb"|" + _BOX + rb")"
_ADDRESS_REST = rb"(?:,? (?i:apt|suite|unit|#)\.? ?[0-9A-Z-]{1,6}\b)?"

EMAILS = Detector(("email",), "personal", _AT, _emails)
PHONES = Detector(
    ("phone",),
    "personal",
    rb"(?i:"
    + _WORDS
    + rb")s?(?:(?:[^0-9\n(]*[^A-Za-z0-9\n(])?|: ?\n ?)\(?[0-9](?:[ ()./-]{0,2}[0-9]){6}|"
    + _NAMED_AFTER
    + rb"|"
    + _US
    + rb"|"
    + _ABROAD,
    _phones,
)
IPS: tuple[Detector, ...] = (
    shaped("ip", rb"\b" + _IPV4, rb"(?<![0-9A-Za-z.])" + _IPV4 + rb"(?![0-9A-Za-z]|\.[0-9])", _ip_end),
    shaped("ip", _IPV6, rb"(?<![0-9A-Za-z:.])" + _IPV6 + rb"(?![0-9A-Za-z:])", _ip_end),
)
ADDRESSES = shaped("address", rb"\b" + _ADDRESS, rb"(?<![0-9A-Za-z])" + _ADDRESS + _ADDRESS_REST)
