"""Check digits: what tells a number that somebody issued from one that only has its length."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

_DOUBLED = str.maketrans("0123456789", "0246813579")
_LETTERS_AS_NUMBERS = {ord(letter): str(int(letter, 36)) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the right check digit (ISO/IEC 7812-1, annex B)."""
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def passes_mod_97(iban: str) -> bool:
    """Whether the check digits of a compact, upper-case IBAN are right (ISO 7064, MOD 97-10)."""
    return int((iban[4:] + iban[:4]).translate(_LETTERS_AS_NUMBERS)) % 97 == 1


def passes_mod_11_10(digits: str) -> bool:
    """Whether the last digit is right by ISO 7064, MOD 11,10."""
    check = 10
    for digit in digits[:-1]:
        check = ((check + int(digit)) % 10 or 10) * 2 % 11
    return (check + int(digits[-1])) % 10 == 1


_VERHOEFF_PRODUCT = tuple(
    tuple((a + b) % 5 + 5 * (a // 5 ^ b // 5) if a < 5 else (a - b) % 5 + 5 * (a // 5 ^ b // 5) for b in range(10))
    for a in range(10)
)  # the dihedral group of order 10
_VERHOEFF_STEP = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _step(digit: int, times: int) -> int:
    for _ in range(times):
        digit = _VERHOEFF_STEP[digit]
    return digit


def passes_verhoeff(digits: str) -> bool:
    """Whether the last digit is right by Verhoeff's dihedral scheme (J. Verhoeff, 1969)."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = _VERHOEFF_PRODUCT[check][_step(int(digit), position % 8)]
    return check == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of digits times weights, over the shorter of both."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def is_day(year: int, month: int, day: int) -> bool:
    """Whether there is such a day."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def is_birthday(yymmdd: str) -> bool:
    """Whether six digits are year, month and day in one of two centuries."""
    year, month, day = int(yymmdd[:2]), int(yymmdd[2:4]), int(yymmdd[4:6])
    return is_day(2000 + year, month, day) or is_day(1900 + year, month, day)
