"""Tokens that stand for values: made of a value by a key, the same each time, and opened again by whoever keeps it.

    <email:hgdkbnamolfjceip...>

The letters are HMAC-SHA256 (RFC 2104), cut to 128 bits, over kind, scope and value, under the tenant's key: it says
nothing of its value, and nobody without the key makes one that stands for something. They are letters alone, a to p, so
that no detector takes a token for a secret. Sealed values are AES-256-GCM (NIST SP 800-38D) with a random nonce, bound
to tenant and token: one that was moved to another does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = re.compile(r"<[a-z][a-z0-9_]{1,40}:[a-p]{32}>")
LONGEST = 80
"""Characters of the longest token, and more."""
KEY_BYTES = 32
_NONCE_BYTES = 12
_TO_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


def token_of(key: bytes, kind: str, scope: str, value: str) -> str:
    """The token of a value.

    Args:
        key: the tenant's, 32 bytes.
        kind: of what was found.
        scope: within which it is the same: the id of a conversation, or empty.
        value: as it was written.
    """
    parts = [part.encode("utf-8", "surrogatepass") for part in (kind, scope, value)]
    message = b"cenoby token 1" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    digest = hmac.new(_derived(key, b"name"), message, hashlib.sha256).hexdigest()[:32]
    return f"<{kind}:{digest.translate(_TO_LETTERS)}>"


def seal_value(key: bytes, tenant: str, token: str, value: str) -> bytes:
    """A value, encrypted for one tenant and token."""
    nonce = os.urandom(_NONCE_BYTES)
    plain = value.encode("utf-8", "surrogatepass")
    return nonce + AESGCM(_derived(key, b"seal")).encrypt(nonce, plain, _binding(tenant, token))


def open_value(key: bytes, tenant: str, token: str, sealed: bytes) -> str | None:
    """The value again; None where this is not what was sealed for this tenant and token under this key."""
    try:
        plain = AESGCM(_derived(key, b"seal")).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _binding(tenant, token)
        )
    except (InvalidTag, ValueError):
        return None
    return plain.decode("utf-8", "surrogatepass")


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, b"cenoby token key 1 " + purpose, hashlib.sha256).digest()


def _binding(tenant: str, token: str) -> bytes:
    return f"{len(tenant)}:{tenant}{token}".encode()


def restored(value: Any, values: Mapping[str, str]) -> Any:
    """A value of plain JSON types with tokens replaced by what they stand for; the same object where there is none."""
    if isinstance(value, str):
        return TOKEN.sub(lambda found: values.get(found[0], found[0]), value) if "<" in value else value
    if isinstance(value, dict):
        members = cast(dict[Any, Any], value)
        made = {restored(name, values): restored(item, values) for name, item in members.items()}
        return made if made != members else members
    if isinstance(value, (list, tuple)):
        items = cast(list[Any], value)
        made_items = [restored(item, values) for item in items]
        return made_items if made_items != list(items) else items
    return value


class Cleared(str):
    """A text that was redacted, and then had tokens of its reader's own values replaced: it goes as it is."""

    __slots__ = ()


class RestoredStream:
    """Pieces of a text in, the same text with its tokens replaced out: also of those that come in several pieces.

    Args:
        restore: replaces the tokens in a text.
    """

    def __init__(self, restore: Callable[[str], str]) -> None:
        self._restore = restore
        self._held = ""

    def add(self, piece: str) -> str:
        """Take the next piece; returns what may go out now."""
        text = self._held + piece
        begin = text.rfind("<", max(0, len(text) - LONGEST))
        cut = len(text) if begin < 0 or ">" in text[begin:] else begin
        self._held = text[cut:]
        return self._restore(text[:cut])

    def end(self) -> str:
        """What was held back; the text is complete."""
        held, self._held = self._held, ""
        return self._restore(held)
