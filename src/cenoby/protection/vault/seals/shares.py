"""Sets of shares, and one share as its holder keeps it: a line of text that shows when it was mistyped.

A set is known by an id. Of each share the vault keeps a digest: a share has 256 bits that are uniformly random, so the
digest tells nothing that could be searched for, and a wrong share is noticed when it is given, not at the end.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass, field

from cenoby.protection.seal import SealRefused
from cenoby.protection.vault.seals.shamir import split

_PREFIX = "cenoby-share-1-"
_ID_BYTES, _CHECK_BYTES, _SECRET_BYTES = 6, 4, 32


@dataclass(frozen=True, slots=True)
class Share:
    """One share.

    Attributes:
        set_id: of which set, hexadecimal.
        index: its number in the set, from 1.
        value: 32 bytes.
    """

    set_id: str
    index: int
    value: bytes = field(repr=False)

    def to_text(self) -> str:
        """The line that its holder keeps."""
        body = bytes.fromhex(self.set_id) + bytes([self.index]) + self.value
        return _PREFIX + base64.b32encode(body + _check(body)).decode().rstrip("=").lower()

    @classmethod
    def from_text(cls, text: str) -> Share:
        """A share as its holder typed it; case and blanks do not matter.

        Raises:
            SealRefused: `seal_share_wrong`.
        """
        line = "".join(text.split()).lower()
        code = line.removeprefix(_PREFIX).upper()
        try:
            raw = base64.b32decode(code + "=" * (-len(code) % 8))
        except (binascii.Error, ValueError):
            raw = b""
        body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        fits = len(body) == _ID_BYTES + 1 + _SECRET_BYTES and line.startswith(_PREFIX)
        if not fits or not hmac.compare_digest(check, _check(body)):
            raise SealRefused(
                "seal_share_wrong",
                f"This is no share: one begins with {_PREFIX} and is one line; look for a typing error.",
            )
        return cls(body[:_ID_BYTES].hex(), body[_ID_BYTES], body[_ID_BYTES + 1 :])

    @property
    def digest(self) -> str:
        """What the vault keeps of it."""
        return hashlib.sha256(
            b"cenoby share 1" + bytes.fromhex(self.set_id) + bytes([self.index]) + self.value
        ).hexdigest()


@dataclass(frozen=True, slots=True)
class ShareSet:
    """What is known of a set of shares without any of them.

    Attributes:
        id: its id.
        threshold: shares that give the key.
        digests: of share 1, 2 and so on.
    """

    id: str
    threshold: int
    digests: tuple[str, ...]

    def check(self, share: Share) -> None:
        """Pass if it is one of this set.

        Raises:
            SealRefused: `seal_share_wrong`.
        """
        if share.set_id != self.id:
            raise SealRefused(
                "seal_share_wrong",
                f"This share is of the set {share.set_id}; a share of the set {self.id} is asked for.",
            )
        known = self.digests[share.index - 1 : share.index] if share.index else ()
        if not known or not hmac.compare_digest(known[0], share.digest):
            raise SealRefused(
                "seal_share_wrong", f"Share {share.index} is not as it was made; it was damaged or forged."
            )


def new_set(secret: bytes, threshold: int, shares: int) -> tuple[ShareSet, list[Share]]:
    """A new set of shares of 32 bytes.

    Raises:
        ValueError: the numbers do not fit.
    """
    set_id = os.urandom(_ID_BYTES).hex()
    made = [Share(set_id, index, value) for index, value in split(secret, threshold, shares).items()]
    return ShareSet(set_id, threshold, tuple(one.digest for one in made)), made


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"cenoby share check 1" + body).digest()[:_CHECK_BYTES]
