"""Secrets without a prefix of their own: private keys, JSON web tokens, and values that stand where a secret stands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import log2
from typing import Any

from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.detector import Detector, Found
from cenoby.protection.dlp.formed_tokens import FORMED_TOKENS
from cenoby.protection.dlp.service_keys import service_keys

_PEM = rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PEM_BEGIN = expression(_PEM)


def _private_keys(data: bytes) -> Iterator[Found]:
    # To the closing line, or to the end: half a key is still a secret.
    position = 0
    while begin := _PEM_BEGIN.search(data, position):
        end = data.find(b"-----END ", begin.end())
        close = data.find(b"-----", end + 9) if end >= 0 else -1
        position = close + 5 if close >= 0 else len(data)
        yield begin.start(), position, "private_key"


# JSON Web Signature and Encryption, compact serialisation (RFC 7515, RFC 7516).
_JWT = rb"\b_?eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*){0,2}"
_JWT_LOOK = expression(_JWT)


def _jwts(data: bytes) -> Iterator[Found]:
    for match in _JWT_LOOK.finditer(data):
        start = match.start()
        yield start + (data[start] == 0x5F), match.end(), "jwt"


_SECRET_BYTE = rb"[A-Za-z0-9._~+/=-]"
_BEARER = rb"(?i:bearer)[ \t]{1,8}" + _SECRET_BYTE + rb"{20,}"
_AUTHORIZATION = (
    rb"""(?i:authorization)["'\]]{0,2}[ \t]{0,4}[:=][ \t]{0,4}["']?"""
    rb"(?i:bearer|basic|token|apikey|api-key|key|bot|ssws|deepl-auth-key)[ \t]{1,4}" + _SECRET_BYTE + rb"{8,}"
)
_BEARER_LOOK, _AUTHORIZATION_LOOK = expression(_BEARER), expression(_AUTHORIZATION)
_HAS_DIGIT = re.compile(rb"[0-9]")


def _after_blank(match: bytes) -> bytes:
    return match[max(match.rfind(b" "), match.rfind(b"\t")) + 1 :]


def _bearer_tokens(data: bytes) -> Iterator[Found]:
    for match in _BEARER_LOOK.finditer(data):
        value = _after_blank(match.group())
        if _HAS_DIGIT.search(value):
            yield match.end() - len(value), match.end(), "bearer_token"


def _authorizations(data: bytes) -> Iterator[Found]:
    for match in _AUTHORIZATION_LOOK.finditer(data):
        value = _after_blank(match.group())
        # "Authorization: Bearer authentication is needed" is a sentence.
        if len(value) >= 20 or not value.rstrip(b".").islower() or not value.isalpha():
            yield match.end() - len(value), match.end(), "authorization"


# Slashes that should have been escaped are taken too, but not where the colon announces a port, nor past the next URL.
_URL = rb"""://[^\s/?#@:"'<>\[]*:[^\s@"'<>]+@"""
_URL_LOOK = expression(rb"""://[^\s/?#@:"'<>\[]*:""")
_URL_PASSWORD = re.compile(rb"""(?!\[redacted:|[0-9]{1,5}[/?#])(?P<secret>(?:(?!://)[^\s@"'<>])++)@""")


def _url_passwords(data: bytes) -> Iterator[Found]:
    position = 0
    while place := _URL_LOOK.search(data, position):
        match = _URL_PASSWORD.match(data, place.end())
        if match:
            yield *match.span("secret"), "url_password"
        position = match.end() if match else place.end()


# A token that stands in a URL where a name would, and what `curl -u name:password` is given.
_URL_TOKEN = rb"://[A-Za-z0-9_-]{16,}:?@"
_USER_OPTION = rb"""[ \t](?:-u|--user)[ \t=]{1,2}["']?[^\s:"'=]{1,64}:[^\s"':$]{8,}"""
_URL_TOKEN_LOOK, _USER_OPTION_LOOK = expression(_URL_TOKEN), expression(_USER_OPTION)


def _user_passwords(data: bytes) -> Iterator[Found]:
    for match in _URL_TOKEN_LOOK.finditer(data):
        value = match.group()[3:].rstrip(b":@")
        if is_random(value):
            yield match.start() + 3, match.start() + 3 + len(value), "url_password"
    for match in _USER_OPTION_LOOK.finditer(data):
        value = match.group().rpartition(b":")[2]
        if not _PLACEHOLDER.match(value) and not _WORDS.fullmatch(value):
            yield match.end() - len(value), match.end(), "password"


_PASSWORD_WORDS = rb"pass(?:word|wd|phrase|code)?|pwd|psw"
_SECRET_WORDS = (
    rb"secret|api[_.\- ]?key|token|credentials?|session(?:_?id)?|cookie|webhook|(?:\b|[_.-])(?:auth|sess|sid|sig)"
    rb"|(?:access|account|admin|app|application|auth|client|consumer|decryption|encryption|integration|license|master|private"
    rb"|sdk|secret|server|service|shared|signing|storage|subscription|validation|write)"
    rb"[_.\- ]?key|[_.\-]key|[a-z0-9] key|[_.\-](?:pat|dsn|login)\b"
)
_NAME = rb"(?i:" + _PASSWORD_WORDS + rb"|" + _SECRET_WORDS + rb")[\w.\-]{0,24}"
_ASSIGNS = rb"""(?:["'`\]\\]{0,4}[ \t]{0,16}(?::=|=>|={1,3}|:)[ \t]{0,16}[\\"'`]{0,4}|>)"""
_VALUE = rb"""[^\s"'`,;<>(){}\[\]&|\\\x00]"""
_IS = rb"[ \t]{1,2}is:?[ \t]{1,2}"
_LEAST, _LEAST_AFTER_BLANK = 6, 20  # only a long value can do without a sign between
_SIGNED = _NAME + rb"(?:" + _ASSIGNS + rb"|" + _IS + rb")" + _VALUE + b"{%d}" % _LEAST
_OPTION = rb"[ \t]--?(?i:password|passwd|pass|api-?key|token|secret)[ \t]{1,2}[\"']?" + _VALUE + b"{%d}" % _LEAST
_UNSIGNED = _NAME + rb"[ \t]{1,2}" + _VALUE + b"{%d}" % _LEAST_AFTER_BLANK
_ASSIGNED = _SIGNED + rb"|" + _UNSIGNED + rb"|" + _OPTION
_LOOKS = ((expression(_SIGNED), _LEAST), (expression(_OPTION), _LEAST), (expression(_UNSIGNED), _LEAST_AFTER_BLANK))
_READ_VALUE = re.compile(_VALUE + rb"{6,512}")
_PLAIN = re.compile(rb"[A-Za-z0-9_+/=~-]+")
_SIGN = re.compile(rb"[:=>]|[ \t]is[ \t]")
_OPTION_NAME = re.compile(rb"[ \t]--?")
_IS_PASSWORD = re.compile(rb"(?i)pass(?!ed|ing|ive|age|enger|ion|port)|pwd|psw")
_AWS_SECRET = re.compile(rb"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_AWS_NAME = re.compile(rb"(?i)secret[_-]?access[_-]?key|aws[\w-]{0,16}secret")
# What a client sends back to go on reading, or what a row is found by, opens nothing.
_PAGING = re.compile(
    rb"(?i)(?:page|next|cursor|continuation|cancel|resume|sync|cache|primary|foreign|partition|sort|public|idempotency|routing"
    rb"|row|group|host|object|dedup(?:lication)?)[_-]?$"
)
# What stands for a value, or is read from elsewhere.
_PLACEHOLDER = re.compile(
    rb"(?i)[$%@]|\*{3}|x{4}|\.{3}|your|example|placeholder|change.?me|redacted|dummy|null|none|undefined|required|optional|true"
    rb"|false|os\.|env|process\.|config|settings|self\.|this\.|get|string|/(?:run|etc|var|home|usr|opt|tmp)/|https?:|file:"
)
_WORDS = re.compile(rb"[a-z]+(?:[-_.:/][a-z]+)*[.:!?]?|[A-Z]?[a-z]+(?:[A-Z][a-z]+)*|[A-Z]+(?:_[A-Z]+)*|[0-9.:-]+")


def _assigned(data: bytes) -> Iterator[Found]:
    """What a name such as `password`, `api_key` or `session` is said to be, where that looks like a secret."""
    taken = 0
    for start, end, kind in sorted(found for look, least in _LOOKS for found in _values(data, look, least)):
        if start >= taken:
            taken = end
            yield start, end, kind


def _values(data: bytes, look: Any, least: int) -> Iterator[Found]:
    position = 0
    while place := look.search(data, position):
        start = place.end() - least
        match = _READ_VALUE.match(data, start)
        position = match.end() if match else place.end()
        named = not _PAGING.search(data[max(0, place.start() - 14) : place.start()])
        if match is not None and named and (kind := _kind_of(data[place.start() : start], match[0])):
            yield start, match.end(), kind


def _kind_of(name: bytes, value: bytes) -> str:
    if _AWS_NAME.search(name) and _AWS_SECRET.fullmatch(value):
        return "aws_secret"
    if _PLACEHOLDER.match(value) or value.startswith(b"["):
        return ""
    if name.endswith((b" ", b"\t")) and not _SIGN.search(name) and not _OPTION_NAME.match(name):
        return "secret" if len(value) >= _LEAST_AFTER_BLANK and _PLAIN.fullmatch(value) and is_random(value) else ""
    if _IS_PASSWORD.search(name):
        quoted = name.endswith((b'"', b"'", b"`"))
        return "password" if not _WORDS.fullmatch(value) or (quoted and b"=" in name and value.isalpha()) else ""
    return "secret" if is_random(value) or (_OPENS.search(name) and _UUID.fullmatch(value)) else ""


_OPENS = re.compile(rb"(?i)secret|api[_.\- ]?key|private[_.\- ]?key")
"""Names of which the value opens something even where it looks like an id."""


def is_random(value: bytes) -> bool:
    """Whether a value is long and mixed enough to be a secret rather than a name, a date, a path or a number.

    Shannon's entropy over the bytes of the value itself: a word of the same length stays under three bits.
    """
    if len(value) < 12 or _WORDS.fullmatch(value) or not _HAS_DIGIT.search(value):
        return False
    letters = sum(65 <= byte <= 90 or 97 <= byte <= 122 for byte in value)
    if letters < 3 or value.count(b"/") > 3 or _UUID.fullmatch(value):
        return False
    return entropy(value) >= (2.8 if len(value) >= 20 else 3.0)


_UUID = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
"""Version 7 (RFC 9562): ids of ours and of others; keys come as version 4."""


def entropy(value: bytes) -> float:
    """Bits per byte (C. E. Shannon, 1948)."""
    size = len(value)
    return -sum(count / size * log2(count / size) for count in Counter(value).values())


PRIVATE_KEYS = Detector(("private_key",), "secret", _PEM, _private_keys)
CREDENTIALS: tuple[Detector, ...] = (
    *FORMED_TOKENS,
    Detector(("jwt",), "secret", _JWT, _jwts),
    Detector(("authorization",), "secret", _AUTHORIZATION, _authorizations),
    Detector(("bearer_token",), "secret", _BEARER, _bearer_tokens),
    Detector(("url_password",), "secret", _URL, _url_passwords),
    Detector(("url_password", "password"), "secret", _URL_TOKEN + rb"|" + _USER_OPTION, _user_passwords),
    Detector(("aws_secret", "password", "secret"), "secret", _ASSIGNED, _assigned),
    service_keys(is_random),
)
"""In this order: where two find the same place, the earlier one names it."""
