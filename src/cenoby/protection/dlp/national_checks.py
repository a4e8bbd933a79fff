"""The check digits of national numbers, as the offices that issue them publish their rules. All take compact text."""

from __future__ import annotations

from collections import Counter

from cenoby.protection.dlp.checksums import (
    is_birthday,
    is_day,
    passes_luhn,
    passes_mod_11_10,
    weighted,
)

# In print for decades as specimens (Social Security Administration).
_SSN_SPECIMENS = frozenset({"078051120", "219099999", "457555462"})


def us_ssn(digits: str) -> bool:
    """Ranges that were issued; there is no check digit. From 900 on they are taxpayer numbers (ITIN)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or group == "00" or serial == "0000" or digits in _SSN_SPECIMENS:
        return False
    # Groups of an ITIN: 50 to 65, 70 to 88, 90 to 92, 94 to 99.
    return area < "900" or "50" <= group <= "65" or "70" <= group <= "99"


def uk_nino(text: str) -> bool:
    """Prefixes that HM Revenue and Customs gives out; there is no check digit."""
    prefix = text[:2]
    return (
        prefix[0] not in "DFIQUV"
        and prefix[1] not in "DFIOQUV"
        and prefix not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")
    )


def de_steuer_id(digits: str) -> bool:
    """One of the first ten digits occurs twice or three times, the others at most once; then MOD 11,10."""
    counts = sorted(Counter(digits[:10]).values())
    return digits[0] != "0" and counts[-1] in (2, 3) and counts[-2] == 1 and passes_mod_11_10(digits)


def fr_nir(text: str) -> bool:
    """Sex, year, month, place, order and 97 minus the rest; Corsica's departments have letters."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    if not number.isdigit() or not (1 <= int(text[3:5]) <= 12 or 20 <= int(text[3:5]) <= 42 or text[3:5] >= "50"):
        return False
    return 97 - int(number) % 97 == int(text[13:])


def es_dni(text: str) -> bool:
    """The letter for the remainder by 23; X, Y, Z of a foreigner's number count as 0, 1, 2."""
    number = text[:-1].translate({88: "0", 89: "1", 90: "2"})
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
    22, 25, 24, 23,
), strict=True))  # fmt: skip


def it_codice_fiscale(text: str) -> bool:
    """The control letter (decree of 23 December 1976): odd places by a table, even ones by value."""
    total = sum(_ODD[one] for one in text[:15:2]) + sum(
        int(one, 36) - (10 if one.isalpha() else 0) for one in text[1:15:2]
    )
    return chr(65 + total % 26) == text[15]


def nl_bsn(digits: str) -> bool:
    """The test by eleven."""
    return digits.strip("0") != "" and (weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2)) - int(digits[8])) % 11 == 0


def pl_pesel(digits: str) -> bool:
    """A day of birth with the century in the month, and weights 1, 3, 7, 9."""
    month = int(digits[2:4])
    year = (1900, 2000, 2100, 2200, 1800)[month // 20] + int(digits[:2])
    return is_day(year, month % 20, int(digits[4:6])) and weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def se_personnummer(digits: str) -> bool:
    """A day of birth (a coordination number adds 60 to the day) and Luhn over the last ten digits."""
    ten = digits[-10:]
    day = int(ten[4:6])
    return is_birthday(f"{ten[:4]}{day - 60 if day > 60 else day:02}") and passes_luhn(ten)


def fi_hetu(text: str) -> bool:
    """A day of birth and the character for the remainder by 31."""
    day = text[4:6] + text[2:4] + text[:2]
    return is_birthday(day) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[-4:-1]) % 31] == text[-1]


def no_fodselsnummer(digits: str) -> bool:
    """A day of birth (a D-number adds 40 to the day) and two digits by eleven."""
    day = int(digits[:2])
    if not is_birthday(digits[4:6] + digits[2:4] + f"{day - 40 if day > 40 else day:02}"):
        return False
    first = weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1))
    return first % 11 == 0 and weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def be_national(digits: str) -> bool:
    """A day of birth and 97 minus the remainder, with a 2 before it for those born from 2000 on."""
    if not is_birthday(digits[:6]):
        return False
    check = int(digits[9:])
    return 97 - int(digits[:9]) % 97 == check or 97 - int("2" + digits[:9]) % 97 == check


def ch_ahv(digits: str) -> bool:
    """The check digit of an EAN-13."""
    return weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def _by_eleven(digits: str, weights: tuple[int, ...]) -> int:
    rest = weighted(digits, weights) % 11
    return 0 if rest < 2 else 11 - rest


def br_cpf(digits: str) -> bool:
    """Two digits by eleven; eleven times the same digit is none."""
    if len(set(digits)) == 1:
        return False
    first = _by_eleven(digits[:9], tuple(range(10, 1, -1)))
    return digits[9:] == f"{first}{_by_eleven(digits[:10], tuple(range(11, 1, -1)))}"


def br_cnpj(text: str) -> bool:
    """Two digits by eleven; since 2026 letters may stand before them, each for its place in ASCII after 0."""
    values = [ord(one) - 48 for one in text]
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    rests = [sum(map(int.__mul__, values, part)) % 11 for part in (weights[1:], weights)]
    return text.strip("0") != "" and values[12:] == [0 if rest < 2 else 11 - rest for rest in rests]


def tr_kimlik(digits: str) -> bool:
    """Two digits from sums over odd and even places."""
    odd, even = sum(map(int, digits[:9:2])), sum(map(int, digits[1:8:2]))
    tenth = (odd * 7 - even) % 10
    return digits[0] != "0" and digits[9:] == f"{tenth}{(odd + even + tenth) % 10}"


def cn_ric(text: str) -> bool:
    """A day of birth and ISO 7064 MOD 11-2."""
    if not is_day(int(text[6:10]), int(text[10:12]), int(text[12:14])):
        return False
    rest = weighted(text, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) if text[:17].isdigit() else -1
    return rest >= 0 and "10X98765432"[rest % 11] == text[17].upper()


def kr_rrn(digits: str) -> bool:
    """A day of birth and a digit by eleven."""
    rest = (11 - weighted(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return is_birthday(digits[:6]) and rest == int(digits[12])


def za_id(digits: str) -> bool:
    """A day of birth, citizenship 0 to 2, and Luhn."""
    return is_birthday(digits[:6]) and digits[10] in "012" and passes_luhn(digits)


def ro_cnp(digits: str) -> bool:
    """Sex and century, a day of birth, a county, and a digit by eleven."""
    rest = weighted(digits, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    if not (1 <= int(digits[7:9]) <= 52 or digits[7:9] in ("70", "80", "81", "82", "83")):
        return False
    return digits[0] != "0" and is_birthday(digits[1:7]) and (1 if rest == 10 else rest) == int(digits[12])


def bg_egn(digits: str) -> bool:
    """A day of birth with the century in the month, and a digit by eleven."""
    month = int(digits[2:4])
    century = {0: 1900, 1: 1800, 2: 2000}.get(month // 20, 0)
    rest = weighted(digits, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return (
        is_day(century + int(digits[:2]), month % 20, int(digits[4:6])) and rest == int(digits[9]) if century else False
    )


def cz_rodne(digits: str) -> bool:
    """A day of birth (women add 50 to the month, 20 more when a day's numbers run out); ten digits divide by eleven."""
    month = int(digits[2:4]) % 50
    return is_birthday(f"{digits[:2]}{month - 20 if month > 20 else month:02}{digits[4:6]}") and int(digits) % 11 in (
        0,
        10,
    )


def ee_isikukood(digits: str) -> bool:
    """Sex and century, a day of birth, and a digit by eleven in two rounds; Lithuania's code is the same."""
    rest = weighted(digits, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if rest == 10:
        rest = weighted(digits, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return digits[0] not in "09" and is_birthday(digits[1:7]) and rest == int(digits[10])


def pt_nif(text: str) -> bool:
    """A digit by eleven; a tax number has the country before it."""
    digits = text.removeprefix("PT")
    return digits[0] != "0" and _by_eleven(digits[:8], tuple(range(9, 1, -1))) == int(digits[8])


def gr_amka(digits: str) -> bool:
    """A day of birth and Luhn."""
    return is_birthday(digits[4:6] + digits[2:4] + digits[:2]) and passes_luhn(digits)


def ie_pps(text: str) -> bool:
    """The letter for the remainder by 23; a second letter counts nine times."""
    letters = "WABCDEFGHIJKLMNOPQRSTUV"
    total = weighted(text[:7], (8, 7, 6, 5, 4, 3, 2)) + 9 * letters.index(text[8:] or "W")
    return letters[total % 23] == text[7]


def au_tfn(digits: str) -> bool:
    """Weights that add up to a multiple of eleven."""
    return weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def ca_sin(digits: str) -> bool:
    """Luhn; 0 and 8 do not begin one."""
    return digits[0] not in "08" and passes_luhn(digits)


def sg_nric(text: str) -> bool:
    """The letter for the remainder by eleven, by series."""
    series = text[0]
    total = weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(series, 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "XWUTRQPNJLK"}[
        series
    ]
    rest = total % 11
    return letters[10 - rest if series == "M" else rest] == text[8]


def cl_rut(text: str) -> bool:
    """The digit by eleven, or K for ten."""
    total = weighted(text[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3, 4))
    return "0123456789K0"[(11 - total % 11) % 11 if total % 11 else 0] == text[-1].upper()


def ar_cuit(digits: str) -> bool:
    """A known prefix and a digit by eleven."""
    rest = (11 - weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 11
    return digits[:2] in ("20", "23", "24", "27", "30", "33", "34") and rest == int(digits[10])


def mx_curp(text: str) -> bool:
    """A day of birth, a state, and a digit from all characters, Ñ among them."""
    alphabet = "0123456789ABCDEFGHIJKLMN*OPQRSTUVWXYZ"
    total = sum((18 - place) * alphabet.index(one) for place, one in enumerate(text[:17]))
    return is_birthday(text[4:10]) and (10 - total % 10) % 10 == int(text[17]) if text[17].isdigit() else False
