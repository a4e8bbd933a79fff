"""Envelope encryption: each version of a secret under a data key of its own, each data key under the master key.

Both layers are AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce in front. What a ciphertext belongs to is its
associated data, so one that is moved to another place, or whose readers were edited in the database, does not open:
the data key is bound to tenant, name, version and master key, the value to tenant, name, version and who may read it.
The value is not bound to the master key, so that a new master key wraps data keys again and touches no value.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cenoby.protection.secrets import VersionInfo
from cenoby.protection.vault.keys import MasterKey, VaultError

_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ciphertext belongs."""

    tenant: str
    info: VersionInfo


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed secret as it lies in the database."""

    key_id: str
    wrapped_key: bytes
    ciphertext: bytes


def seal(key: MasterKey, place: Place, value: str) -> Sealed:
    """Encrypt `value` under a new data key, and that under the master key."""
    data_key = AESGCM.generate_key(bit_length=256)
    return Sealed(
        key_id=key.id,
        wrapped_key=_encrypt(key.secret, data_key, _key_binding(place, key.id)),
        ciphertext=_encrypt(data_key, value.encode(), _value_binding(place)),
    )


def unseal(key: MasterKey, place: Place, sealed: Sealed) -> str:
    """The value again.

    Raises:
        VaultError: `secret_damaged`.
    """
    try:
        data_key = _decrypt(key.secret, sealed.wrapped_key, _key_binding(place, key.id))
        return _decrypt(data_key, sealed.ciphertext, _value_binding(place)).decode()
    except (InvalidTag, ValueError):
        raise _damaged(place) from None


def rewrap(old: MasterKey, new: MasterKey, place: Place, wrapped_key: bytes) -> bytes:
    """A data key wrapped under another master key.

    Raises:
        VaultError: `secret_damaged`.
    """
    try:
        data_key = _decrypt(old.secret, wrapped_key, _key_binding(place, old.id))
    except (InvalidTag, ValueError):
        raise _damaged(place) from None
    return _encrypt(new.secret, data_key, _key_binding(place, new.id))


def _encrypt(key: bytes, plain: bytes, binding: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, binding)


def _decrypt(key: bytes, sealed: bytes, binding: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], binding)


def _key_binding(place: Place, key_id: str) -> bytes:
    return _bytes("cenoby data key 1", place.tenant, place.info.name, str(place.info.version), key_id)


def _value_binding(place: Place) -> bytes:
    info = place.info
    rule = "colony" if info.colony_only else "callers"
    return _bytes("cenoby secret 1", place.tenant, info.name, str(info.version), rule, *info.readers)


def _bytes(*parts: str) -> bytes:
    # Each part with its length in front, so that no two lists of parts give the same bytes.
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _damaged(place: Place) -> VaultError:
    which = f"secret {place.info.name!r}, version {place.info.version}"
    return VaultError(
        "secret_damaged",
        f"{which}, does not open: it was changed or moved in the database. Restore a backup, or revoke it.",
    )
