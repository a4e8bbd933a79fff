"""Ed25519 keys and signatures (RFC 8032), and how a public key is written: `ed25519:` and base64."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cenoby.kernel.errors import InvalidInput

_PREFIX = "ed25519:"
_KEY_BYTES = 32


class KeyInvalid(InvalidInput):
    """A text that is no key."""

    codes = {"key_invalid": "The text is no Ed25519 key: `ed25519:` and 32 bytes in base64."}


class SigningKey:
    """A private key. Shows its public part, never itself."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = VerifyKey(key.public_key())

    @classmethod
    def generate(cls) -> SigningKey:
        """A new random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_text(cls, text: str) -> SigningKey:
        """The key that `to_text` wrote.

        Raises:
            KeyInvalid: it is none.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(_key_bytes(text)))

    def to_text(self) -> str:
        """The private key, for the one file that keeps it."""
        return _PREFIX + base64.b64encode(self._key.private_bytes_raw()).decode()

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.to_text()})"


class VerifyKey:
    """A public key."""

    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @classmethod
    def from_text(cls, text: str) -> VerifyKey:
        """The key that `to_text` wrote.

        Raises:
            KeyInvalid: it is none.
        """
        return cls(Ed25519PublicKey.from_public_bytes(_key_bytes(text)))

    def to_text(self) -> str:
        """`ed25519:` and 32 bytes in base64."""
        return _PREFIX + base64.b64encode(self._key.public_bytes_raw()).decode()

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether the private key of this one made `signature` over `data`."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def _key_bytes(text: str) -> bytes:
    prefix, _, encoded = text.strip().rpartition(":")
    try:
        found = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if prefix + ":" != _PREFIX or len(found) != _KEY_BYTES:
        raise KeyInvalid("key_invalid", KeyInvalid.codes["key_invalid"])
    return found
