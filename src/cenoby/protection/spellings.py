"""The forms in which a value may be repeated: as it is, as base64, hexadecimal, in a URL, in JSON."""

from __future__ import annotations

import base64
import binascii
import json
from urllib.parse import quote, quote_plus

BLACKED_OUT = "[secret]"


def spellings(value: str) -> list[str]:
    """All forms of a value, the longest first."""
    plain = value.encode()
    hexadecimal = binascii.hexlify(plain).decode()
    found = {value, hexadecimal, hexadecimal.upper(), quote(value, safe=""), quote(value), quote_plus(value)}
    found |= {base64.b64encode(plain).decode().rstrip("="), base64.urlsafe_b64encode(plain).decode().rstrip("=")}
    found |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return sorted(found - {""}, key=lambda one: (-len(one), one))


def without(text: str, value: str, mark: str = BLACKED_OUT) -> str:
    """A text in which a value is blacked out, in whatever form it is repeated."""
    for spelling in spellings(value):
        text = text.replace(spelling, mark)
    return text


def without_in_bytes(body: bytes, value: str) -> bytes:
    """The same of bytes that hold text in UTF-8, or anything else."""
    for spelling in spellings(value):
        body = body.replace(spelling.encode(), BLACKED_OUT.encode())
    return body
