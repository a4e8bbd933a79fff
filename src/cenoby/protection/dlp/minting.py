"""Making canaries that look like what thieves look for, and are nobody's."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from cenoby.protection.dlp.canaries import CARD, Canary, canonical, digest_of
from cenoby.protection.dlp.checksums import passes_luhn

CanaryKind = Literal["api_key", "aws_key", "email", "url", "card", "text"]
KINDS: tuple[CanaryKind, ...] = get_args(CanaryKind)
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_BASE32 = string.ascii_uppercase + "234567"
_FIRST = ("anna", "ben", "carla", "david", "emma", "felix", "greta", "henry", "ines", "jonas", "lena", "martin")
_TEST_ISSUER = "400000"
"""Issuers keep it for tests: no card that somebody has begins with it."""


class Minted(NamedTuple):
    """A new canary, and its value, which is kept nowhere."""

    canary: Canary
    value: str


class _Draft(NamedTuple):
    value: str
    mark: str
    """The part of it that is kept."""


def mint(kind: CanaryKind, *, id: str, tenant: str, label: str, host: str, made_by: str, made_ns: int) -> Minted:
    """Make a canary.

    Args:
        kind: what it looks like.
        id, tenant, label, made_by, made_ns: as in `Canary`.
        host: the domain of an address or a URL; best one that is yours, so that nobody else is sent anything.
    """
    draft = _MAKERS[kind](host)
    text = canonical(draft.value.encode())
    mark = draft.mark.lower()
    canary = Canary(
        id=id,
        tenant=tenant,
        label=label,
        kind=kind,
        mark=mark,
        offset=text.index(mark.encode()),
        length=len(text),
        digest=digest_of(tenant, text),
        made_by=made_by,
        made_ns=made_ns,
    )
    return Minted(canary, draft.value)


def _drawn(alphabet: str, count: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))


def _spoken(syllables: int) -> str:
    return "".join(secrets.choice("bdfgklmnprstv") + secrets.choice("aeiou") for _ in range(syllables))


def _api_key(host: str) -> _Draft:
    del host
    body = _drawn(_LETTERS_AND_DIGITS, 32)
    return _Draft(f"sk_live_{body}", body[:8])


def _aws_key(host: str) -> _Draft:
    del host
    body = _drawn(_BASE32, 16)
    return _Draft(f"AKIA{body}", body[:6])


def _email(host: str) -> _Draft:
    surname = _spoken(7)
    return _Draft(f"{secrets.choice(_FIRST)}.{surname}@{host}", surname[:7])


def _url(host: str) -> _Draft:
    body = _drawn(_LETTERS_AND_DIGITS, 24)
    return _Draft(f"https://{host}/share/{body}", body[:8])


def _card(host: str) -> _Draft:
    del host
    body = _TEST_ISSUER + _drawn(string.digits, 9)
    number = next(body + check for check in string.digits if passes_luhn(body + check))
    return _Draft(number, number[:9])


def _text(host: str) -> _Draft:
    del host
    name, word = _spoken(5), _spoken(7)
    number = secrets.randbelow(900) + 100
    return _Draft(f"The {name} file is in room {number}; ask for it with the word {word}.", name)


_MAKERS: dict[CanaryKind, Callable[[str], _Draft]] = {
    "api_key": _api_key,
    "aws_key": _aws_key,
    "email": _email,
    "url": _url,
    CARD: _card,
    "text": _text,
}
