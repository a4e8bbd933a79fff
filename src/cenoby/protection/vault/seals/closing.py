"""How a master key lies closed in the database: under a key from a passphrase, or under one that shares give.

AES-256-GCM with a random 96-bit nonce in front; everything that is kept beside it is its associated data, so that
nothing of it can be exchanged. The key of a passphrase is Argon2id's (RFC 9106) with 64 MiB and 3 passes.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cenoby.protection.seal import LONGEST_PASSPHRASE, SHORTEST_PASSPHRASE, SealInvalid
from cenoby.protection.vault.keys import MasterKey, VaultError
from cenoby.protection.vault.seals.shares import Share, ShareSet, new_set

_NONCE_BYTES = 12
_MOST_MEMORY_KIB = 1024 * 1024


class PassphraseFacts(msgspec.Struct, frozen=True, tag="passphrase", tag_field="seal"):
    """How a passphrase becomes a key. Memory in KiB."""

    salt: bytes
    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4


class ShamirFacts(msgspec.Struct, frozen=True, tag="shamir", tag_field="seal"):
    """Which shares there are."""

    set_id: str
    threshold: int
    digests: tuple[str, ...]

    @property
    def shares(self) -> ShareSet:
        """The set."""
        return ShareSet(self.set_id, self.threshold, self.digests)


Facts = PassphraseFacts | ShamirFacts


class Closed(msgspec.Struct, frozen=True):
    """A closed master key as it lies in the database.

    Attributes:
        facts: how its key is got, as JSON.
        key_id: id of the master key.
        former: ids of master keys that lay in another place before, to be forgotten there.
        ciphertext: the master key.
    """

    facts: bytes
    key_id: str
    former: tuple[str, ...]
    ciphertext: bytes

    def read(self) -> Facts:
        """The facts.

        Raises:
            VaultError: `vault_seal_damaged`.
        """
        try:
            facts: Facts = msgspec.json.decode(self.facts, type=PassphraseFacts | ShamirFacts)
        except msgspec.MsgspecError:
            raise damaged() from None
        if isinstance(facts, PassphraseFacts) and facts.memory_kib > _MOST_MEMORY_KIB:
            raise damaged()
        return facts


class ClosingKey:
    """The key that closes the master key, with the facts by which it is got again."""

    __slots__ = ("_secret", "facts", "kind")

    def __init__(self, secret: bytes, facts: Facts) -> None:
        self._secret = secret
        self.facts = facts
        self.kind: Literal["passphrase", "shamir"] = "passphrase" if isinstance(facts, PassphraseFacts) else "shamir"

    def __repr__(self) -> str:
        return f"ClosingKey({self.kind})"

    def close(self, key: MasterKey, former: tuple[str, ...]) -> Closed:
        """Close a master key with it."""
        nonce, facts = os.urandom(_NONCE_BYTES), msgspec.json.encode(self.facts)
        sealed = nonce + AESGCM(self._secret).encrypt(nonce, key.secret, _binding(facts, key.id, former))
        return Closed(facts, key.id, former, sealed)

    def open(self, closed: Closed) -> MasterKey | None:
        """The master key again; None where this is not the key that closed it, or where something was changed."""
        nonce, rest = closed.ciphertext[:_NONCE_BYTES], closed.ciphertext[_NONCE_BYTES:]
        try:
            key = AESGCM(self._secret).decrypt(nonce, rest, _binding(closed.facts, closed.key_id, closed.former))
        except (InvalidTag, ValueError):
            return None
        return MasterKey(key)


def from_passphrase(passphrase: str, facts: PassphraseFacts | None = None) -> ClosingKey:
    """The key of a passphrase; takes 64 MiB and about a tenth of a second, so call it on a thread.

    Args:
        facts: of an existing seal; None makes new ones.
    """
    facts = facts or PassphraseFacts(salt=os.urandom(16))
    made = Argon2id(
        salt=facts.salt, length=32, iterations=facts.passes, lanes=facts.lanes, memory_cost=facts.memory_kib
    )
    return ClosingKey(made.derive(unicodedata.normalize("NFKC", passphrase).encode()), facts)


def from_new_shares(threshold: int, shares: int) -> tuple[ClosingKey, list[Share]]:
    """A new random key, and the shares that give it."""
    secret = os.urandom(32)
    made, held = new_set(secret, threshold, shares)
    return ClosingKey(secret, ShamirFacts(made.id, made.threshold, made.digests)), held


def check_passphrase(passphrase: str) -> None:
    """Pass if it may seal a vault (NIST SP 800-63B has the same minimum idea: length, and no rules of composition).

    Raises:
        SealInvalid: `seal_arguments`.
    """
    if not SHORTEST_PASSPHRASE <= len(passphrase) <= LONGEST_PASSPHRASE:
        raise SealInvalid(
            "seal_arguments",
            f"A passphrase has {SHORTEST_PASSPHRASE} to {LONGEST_PASSPHRASE} characters; several words are best.",
        )


def damaged() -> VaultError:
    """What is said where the row of the seal does not fit."""
    return VaultError(
        "vault_seal_damaged", "What the database keeps of the vault's seal was changed; restore it from a backup."
    )


def _binding(facts: bytes, key_id: str, former: tuple[str, ...]) -> bytes:
    return msgspec.json.encode(["cenoby sealed master key 1", facts, key_id, former])
