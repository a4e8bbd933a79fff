"""Shamir's secret sharing, byte by byte over GF(256) (Shamir 1979; the field of AES, FIPS 197, section 4).

Any `threshold` shares give the secret; fewer are uniformly random, whatever the secret is. Shares are not authenticated
here: `shares.py` and the cipher around the key do that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

MOST_SHARES = 255
_AES_POLYNOMIAL = 0x1B


def split(
    secret: bytes, threshold: int, shares: int, *, random_bytes: Callable[[int], bytes] = os.urandom
) -> dict[int, bytes]:
    """Shares by their index, 1 to `shares`; each is as long as the secret.

    Args:
        secret: at least one byte.
        threshold: shares that are needed, 1 to `shares`.
        shares: how many are made, at most 255.
        random_bytes: `count -> bytes`, uniformly random.

    Raises:
        ValueError: the numbers do not fit.
    """
    if not 1 <= threshold <= shares <= MOST_SHARES or not secret:
        raise ValueError(f"{threshold} of {shares} shares cannot be made of {len(secret)} bytes")
    # One polynomial for each byte: its constant term is the byte, the others are random.
    coefficients = [secret, *(random_bytes(len(secret)) for _ in range(threshold - 1))]
    return {index: bytes(_evaluate(column, index) for column in zip(*coefficients, strict=True))
            for index in range(1, shares + 1)}  # fmt: skip


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The secret that these shares give; of too few or of mixed ones, other bytes.

    Args:
        shares: by their index, 1 to 255.

    Raises:
        ValueError: no shares, shares of different lengths, or an index that no share has.
    """
    if len({len(share) for share in shares.values()}) != 1 or not all(1 <= index <= MOST_SHARES for index in shares):
        raise ValueError("shares have one length, and indexes from 1 to 255")
    weights = {index: _weight_at_zero(index, shares) for index in shares}
    secret = bytearray(len(next(iter(shares.values()))))
    for index, share in shares.items():
        for place, byte in enumerate(share):
            secret[place] ^= multiply(byte, weights[index])
    return bytes(secret)


def multiply(a: int, b: int) -> int:
    """The product in the field; its steps do not depend on the values (as far as Python's integers allow that)."""
    product = 0
    for bit in range(8):
        product ^= -(b >> bit & 1) & a
        a = (a << 1 ^ (-(a >> 7 & 1) & _AES_POLYNOMIAL)) & 0xFF
    return product


def inverse(a: int) -> int:
    """The inverse in the field, a**254; 0 of 0."""
    result, power = 1, a
    for bit in range(8):
        if 254 >> bit & 1:
            result = multiply(result, power)
        power = multiply(power, power)
    return result


def _evaluate(coefficients: tuple[int, ...], at: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = multiply(value, at) ^ coefficient
    return value


def _weight_at_zero(index: int, shares: Mapping[int, bytes]) -> int:
    # Lagrange's basis polynomial at 0; subtraction is XOR.
    weight = 1
    for other in shares:
        if other != index:
            weight = multiply(weight, multiply(other, inverse(other ^ index)))
    return weight
