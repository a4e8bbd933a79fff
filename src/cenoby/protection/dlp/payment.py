"""Payment cards and international bank accounts: known issuers and countries, their lengths, and the check digits."""

from __future__ import annotations

import re

from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.checksums import passes_luhn, passes_mod_97
from cenoby.protection.dlp.detector import announced, shaped

_CARD_TRIGGER = rb"[1-6][0-9]{3}(?:[ -]?[0-9]){8,15}"
_CARD = (
    rb"(?<![0-9A-Za-z_])(?<![0-9A-Fa-f]-)(?<![0-9]\.)[1-6][0-9]{3}(?:"
    rb"(?P<s>[ -])[0-9]{4}(?P=s)[0-9]{4}(?P=s)[0-9]{1,4}(?:(?P=s)[0-9]{3})?"
    rb"|(?P<t>[ -])[0-9]{6}(?P=t)[0-9]{4,5}"
    rb"|(?P<u>[ -])[0-9]{3}(?P=u)[0-9]{3}(?P=u)[0-9]{3}"
    rb"|[0-9]{8,15})(?![0-9A-Za-z_]|-[0-9A-Za-z]|\.[0-9])"
)
# Length by first digits (ISO/IEC 7812; ranges as the schemes publish them).
_ISSUED = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:60[0-9]{2}|62[0-9]{2}|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover, RuPay, UnionPay
    r"|35[0-9]{14}|(?:352[89]|35[3-8][0-9])[0-9]{13,15}|(?:1800|2131)[0-9]{11}"  # JCB; test numbers use all of 35
    r"|(?:30[0-5]|309|36[0-9]|3[89][0-9])[0-9]{11}(?:[0-9]{2})?"  # Diners Club
    r"|(?:50|5[6-8]|63|67)[0-9]{14}(?:[0-9]{2,3})?"  # Maestro
    r"|(?:5018|5020|5038|5[6-8][0-9]{2}|5893|6304|6759|676[1-3])[0-9]{8,15}"  # Maestro, short ones too
    r"|220[0-4][0-9]{12}"  # Mir
)
# Thirteen digits, as the first Visa cards had, are also an article number (GS1), with the same sort of check digit.
_ARTICLE = expression(rb"(?i)\b(?:ean|isbn|gtin|barcode|article|upc)")
_LAST_GROUP = re.compile(rb"[ -][0-9]{3}$")


def _card_end(data: bytes, start: int, end: int) -> int:
    if _is_card(data[start:end]):
        return 0 if end - start == 13 and announced(data, start, _ARTICLE, 16) else end
    # What looks like a last group may be the security code.
    last = _LAST_GROUP.search(data[start:end])
    return start + last.start() if last and _is_card(data[start : start + last.start()]) else 0


def _is_card(shown: bytes) -> bool:
    digits = shown.replace(b" ", b"").replace(b"-", b"").decode()
    return _ISSUED.fullmatch(digits) is not None and passes_luhn(digits)


# Countries by the length of their IBANs (SWIFT IBAN registry).
_IBAN_COUNTRIES = {
    15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}
_COUNTRY = b"(?:" + "|".join(sorted(_IBAN_LENGTHS)).encode() + b")"
_IBAN_TRIGGER = rb"\b" + _COUNTRY + rb"[0-9]{2}(?:[ -]?[A-Z0-9]){11}"
_IBAN = rb"(?<![A-Za-z0-9])" + _COUNTRY + rb"[0-9]{2}(?:[ -]?[A-Z0-9]){11,29}"


def _iban_end(data: bytes, start: int, end: int) -> int:
    length = _iban_length(data[start:end].decode().upper())
    return start + length if length and not data[start + length : start + length + 1].isalnum() else 0


def _iban_length(candidate: str) -> int:
    # Words may follow in capitals, so the country says how many characters count.
    wanted = _IBAN_LENGTHS[candidate[:2]]
    compact = candidate.replace(" ", "").replace("-", "")[:wanted]
    if len(compact) < wanted or not passes_mod_97(compact):
        return 0
    seen = 0
    for length, character in enumerate(candidate, 1):
        seen += character.isalnum()
        if seen == wanted:
            return length
    raise AssertionError("the candidate holds as many characters as its compact form")


CARDS = shaped("card", _CARD_TRIGGER, _CARD, _card_end)
IBANS = shaped("iban", _IBAN_TRIGGER, _IBAN, _iban_end, re.IGNORECASE)
