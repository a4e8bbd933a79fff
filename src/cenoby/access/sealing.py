"""Sealing what must not lie in the open while it waits, such as the arguments of a parked call.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. What a sealed text belongs to is its associated data, so that
one moved to another row does not open. The key comes from a port: `app` keeps it in the vault.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cenoby.access.roles import AccessRefused

KeyPort = Callable[[], Awaitable[bytes]]
"""The key, 32 bytes, made where there is none yet; asked for once, when something is first sealed or opened."""

_NONCE_BYTES = 12
_FORM = b"\x01"
"""Of what is sealed; another one where that changes."""


class Seal:
    """Seals and opens.

    Args:
        key: where the key comes from.
    """

    def __init__(self, key: KeyPort) -> None:
        self._key = key
        self._cipher: AESGCM | None = None
        self._asking = asyncio.Lock()

    async def seal(self, plain: bytes, belongs_to: str) -> bytes:
        """`plain`, sealed for the row that `belongs_to` names."""
        nonce = os.urandom(_NONCE_BYTES)
        return _FORM + nonce + (await self._ready()).encrypt(nonce, plain, _FORM + belongs_to.encode())

    async def open(self, sealed: bytes, belongs_to: str) -> bytes:
        """What was sealed for that row.

        Raises:
            AccessRefused: `seal_broken`: it was changed or moved, or its key is another.
        """
        cipher, rest = await self._ready(), sealed[len(_FORM) :]
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], sealed[: len(_FORM)] + belongs_to.encode())
        except (InvalidTag, ValueError):
            raise AccessRefused(
                "seal_broken", f"What is kept for {belongs_to} does not open; it is not used."
            ) from None

    async def _ready(self) -> AESGCM:
        async with self._asking:
            if self._cipher is None:
                self._cipher = AESGCM(await self._key())
            return self._cipher
