"""NKeys, user JWTs and credentials files for tests, as NATS' own tools make them."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KINDS = {"O": 14 << 3, "A": 0, "U": 20 << 3}


class NKey:
    """A key pair of an operator (O), account (A) or user (U)."""

    def __init__(self, kind: str) -> None:
        self._key = Ed25519PrivateKey.generate()
        prefix = _KINDS[kind]
        self.public = _encoded(bytes([prefix]) + self._key.public_key().public_bytes_raw())
        head = bytes([18 << 3 | prefix >> 5, (prefix & 31) << 3])
        self.seed = _encoded(head + self._key.private_bytes_raw())
        assert (self.public[0], self.seed[:2]) == (kind, f"S{kind}")

    def jwt(self, subject: str, name: str, nats: dict[str, Any]) -> str:
        """What this key says about `subject`, signed."""
        claims = {"jti": name, "iat": 1_700_000_000, "iss": self.public, "sub": subject, "name": name, "nats": nats}
        body = ".".join(_part(json.dumps(one).encode()) for one in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims))
        return f"{body}.{_part(self._key.sign(body.encode()))}"


class Operator:
    """An operator with one account whose users come with JWTs."""

    def __init__(self) -> None:
        self._operator, self._account = NKey("O"), NKey("A")

    @property
    def configuration(self) -> str:
        """For the server: trust this operator, and know its account."""
        operator = self._operator.jwt(self._operator.public, "operator", {"type": "operator", "version": 2})
        limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1}
        storage = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1, "wildcards": True}
        account = {"type": "account", "version": 2, "limits": limits | storage}
        signed = self._operator.jwt(self._account.public, "account", account)
        return f"operator: {operator}\nresolver: MEMORY\nresolver_preload: {{ {self._account.public}: {signed} }}"

    def credentials(self, path: Path) -> Path:
        """A credentials file for a new user."""
        user = NKey("U")
        nats = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
        jwt = self._account.jwt(user.public, "user", nats)
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )
        return path


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
