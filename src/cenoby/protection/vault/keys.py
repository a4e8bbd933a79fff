"""The master key, and what a place that keeps it must do; the places are in the files `key_*.py`.

Changing it must survive a kill at any point, with the key and the database in different places. So a new key is first
put beside the old one (`stage`), then the database goes over to it in one transaction, then the old one is forgotten
(`settle`). The database says which key is in force; whichever place holds both can therefore serve either state.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Collection, Sequence
from typing import Protocol

from cenoby.kernel.errors import Fault

_KEY_BYTES = 32


class VaultError(Fault):
    """The vault cannot be opened or trusted as it stands."""

    codes = {
        "vault_key_missing": "The master key that protects the secrets is not where the settings say; put it back.",
        "vault_key_wrong": "The master key is not the one that the secrets are encrypted with; put the right one back.",
        "vault_key_exposed": "Others may read or change the file with the master key; the message has the command.",
        "vault_key_invalid": "The master key is not 32 bytes in base64.",
        "vault_key_unusable": "The place of the master key cannot be read or written; the message says why.",
        "vault_key_fixed": "A master key that is given at the start is changed by starting again with another.",
        "vault_seal_set": "Settings and database do not agree on the vault's seal; the message has the setting.",
        "vault_seal_damaged": "What the database keeps of the vault's seal was changed; restore it from a backup.",
        "secret_not_renewed": "What the settings name to renew a secret gave no value; it keeps the one it has.",
        "secret_damaged": "A secret does not open with its key: it was changed or moved in the database.",
    }


class MasterKey:
    """A key-encryption key. Shows its id, never itself.

    Args:
        secret: 32 bytes.
    """

    __slots__ = ("id", "secret")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise VaultError("vault_key_invalid", f"A master key has {_KEY_BYTES} bytes, not {len(secret)}.")
        self.secret = secret
        self.id = self._derive("id")[:8].hex()

    @classmethod
    def generate(cls) -> MasterKey:
        """A new random key."""
        return cls(os.urandom(_KEY_BYTES))

    @classmethod
    def from_text(cls, text: str, place: str) -> MasterKey:
        """A key from base64, standard or URL-safe; `place` is named where that fails.

        Raises:
            VaultError: `vault_key_invalid`.
        """
        try:
            secret = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) != _KEY_BYTES:
            raise VaultError("vault_key_invalid", f"{place} does not hold {_KEY_BYTES} bytes in base64.")
        return cls(secret)

    @property
    def check_value(self) -> bytes:
        """32 bytes that show whether a key is this one, and tell nothing about it."""
        return self._derive("check")

    def to_text(self) -> str:
        """The key in base64, for the place that keeps it."""
        return base64.b64encode(self.secret).decode()

    def __repr__(self) -> str:
        return f"MasterKey(id={self.id!r})"

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self.secret, f"cenoby master key {purpose}".encode(), "sha256")


class KeySource(Protocol):
    """A place that keeps the master key. Its methods block, so the vault calls them on a thread.

    All raise VaultError: `vault_key_unusable`, and the codes named with each.
    """

    place: str
    """What to call it in a message to a person."""

    def candidates(self, key_id: str | None) -> Sequence[MasterKey]:
        """The keys that may be in force; `key_id` is the one that the database was left with, where it knows.

        Raises:
            VaultError: `vault_key_exposed`, `vault_key_invalid`.
        """
        ...

    def create(self) -> MasterKey:
        """The first key, made and kept; only called where there is no key and no secret yet.

        Raises:
            VaultError: `vault_key_missing`, where keys are not made by us.
        """
        ...

    def stage(self, key: MasterKey) -> None:
        """Keep `key` beside the one in force, durably.

        Raises:
            VaultError: `vault_key_fixed`.
        """
        ...

    def settle(self, key: MasterKey, candidates: Sequence[MasterKey]) -> MasterKey:
        """`key` is in force: forget the other candidates. Returns the key that should be in force from now on."""
        ...

    def forget(self, key_ids: Collection[str]) -> None:
        """Destroy these keys here, where that is in our hands; other keys stay. Done twice, it does nothing."""
        ...


def unusable(place: str, reason: str | None) -> VaultError:
    """What is said where a place fails."""
    return VaultError("vault_key_unusable", f"The master key cannot be kept or read in {place}: {reason}.")
