"""What must not leave: how each kind of secret and of personal data is recognised.

A detector yields the spans to black out. Every pattern is linear in the length of the text: nothing unbounded is
followed by something that can fail, or a boundary allows only one start per run. Shapes that also occur in harmless
text are confirmed by a checksum, a table or the words before them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of thing to black out.

    Attributes:
        kind: stands in the replacement, `[redacted:<kind>]`.
        hints: texts of which at least one occurs wherever the detector finds something; none: it always looks.
        find: the spans in a text, in order.
    """

    kind: str
    find: Callable[[str], Iterator[Span]]
    hints: tuple[str, ...] = ()


def _spans(pattern: str, flags: int = 0) -> Callable[[str], Iterator[Span]]:
    """Spans of the group `secret` where the pattern has one, else of the whole match."""
    compiled = re.compile(pattern, flags)
    group: str | int = "secret" if "secret" in compiled.groupindex else 0

    def find(text: str) -> Iterator[Span]:
        for match in compiled.finditer(text):
            yield match.span(group)

    return find


def _token(prefix: str, rest: str) -> Callable[[str], Iterator[Span]]:
    """A literal prefix that does not continue a word, then `rest`."""
    return _spans(rf"{prefix}(?<![A-Za-z0-9]{prefix}){rest}")


_PEM_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")


def _private_keys(text: str) -> Iterator[Span]:
    # To the closing line, or to the end: half a key is still a secret.
    position = 0
    while begin := _PEM_BEGIN.search(text, position):
        end = text.find("-----END ", begin.end())
        close = text.find("-----", end + 9) if end >= 0 else -1
        position = close + 5 if close >= 0 else len(text)
        yield begin.start(), position


_OPENAI = re.compile(r"sk-(?<![A-Za-z0-9]sk-)(?!ant-)[A-Za-z0-9_-]{20,}+")


def _openai_keys(text: str) -> Iterator[Span]:
    for match in _OPENAI.finditer(text):
        # sk-some-words-with-dashes is a name; a key is one run, or has digits.
        if "-" not in match[0][3:] or any(character.isdigit() for character in match[0]):
            yield match.span()


_BEARER = re.compile(r"(?i:bearer)[ \t]{1,8}(?P<secret>[A-Za-z0-9._~+/=-]{20,}+)")


def _bearer_tokens(text: str) -> Iterator[Span]:
    for match in _BEARER.finditer(text):
        if any(character.isdigit() for character in match["secret"]):
            yield match.span("secret")


_AUTHORIZATION = re.compile(
    r"""(?i:authorization)["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?i:bearer|basic|token|apikey)[ \t]{1,4}"""
    r"(?P<secret>[A-Za-z0-9._~+/=-]{8,}+)"
)


def _authorizations(text: str) -> Iterator[Span]:
    for match in _AUTHORIZATION.finditer(text):
        # "Authorization: Bearer authentication is needed" is a sentence.
        if len(match["secret"]) >= 20 or not match["secret"].rstrip(".").islower() or not match["secret"].isalpha():
            yield match.span("secret")


# Slashes that should have been escaped are taken too, but not where the colon announces a port, nor past the next URL.
_URL_PASSWORD = _spans(r"""://[^\s/?#@:"'<>\[]*+:(?!\[redacted:|[0-9]{1,5}[/?#])(?P<secret>(?:(?!://)[^\s@"'<>])++)@""")

SECRETS: tuple[Detector, ...] = (
    Detector("private_key", _private_keys, ("-----BEGIN ",)),
    Detector("cenoby_token", _spans(r"cby_[A-Za-z0-9_-]{40,}+"), ("cby_",)),
    Detector("anthropic_key", _spans(r"sk-ant-[A-Za-z0-9_-]{16,}+"), ("sk-ant-",)),
    Detector("openai_key", _openai_keys, ("sk-",)),
    Detector("github_token", _spans(r"gh[pousr]_[A-Za-z0-9]{30,}+"), ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    Detector("github_token", _spans(r"github_pat_[A-Za-z0-9_]{22,}+"), ("github_pat_",)),
    Detector("gitlab_token", _spans(r"glpat-[A-Za-z0-9_-]{20,}+"), ("glpat-",)),
    Detector("aws_key", _token("AKIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"), ("AKIA",)),
    Detector("aws_key", _token("ASIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"), ("ASIA",)),
    Detector(
        "aws_secret",
        _spans(
            r"""secret_?access_?key["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])""",
            re.IGNORECASE,
        ),
        ("secret_access_key", "SECRET_ACCESS_KEY", "ecretAccessKey"),
    ),
    Detector("google_key", _spans(r"AIza[A-Za-z0-9_-]{35}"), ("AIza",)),
    Detector("slack_token", _spans(r"xox[abeoprs]-[A-Za-z0-9-]{10,}+"), ("xox",)),
    Detector("slack_token", _spans(r"xapp-[0-9]-[A-Za-z0-9-]{10,}+"), ("xapp-",)),
    Detector("stripe_key", _spans(r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}+"), ("k_live_", "k_test_")),
    Detector("stripe_key", _spans(r"whsec_[A-Za-z0-9+/=]{24,}+"), ("whsec_",)),
    Detector("npm_token", _token("npm_", r"[A-Za-z0-9]{36}(?![A-Za-z0-9])"), ("npm_",)),
    Detector("pypi_token", _spans(r"pypi-AgE[A-Za-z0-9_-]{50,}+"), ("pypi-AgE",)),
    Detector("huggingface_token", _token("hf_", r"[A-Za-z0-9]{34,}+"), ("hf_",)),
    Detector("groq_key", _token("gsk_", r"[A-Za-z0-9]{48,}+"), ("gsk_",)),
    Detector("xai_key", _token("xai-", r"[A-Za-z0-9]{70,}+"), ("xai-",)),
    Detector("sendgrid_key", _spans(r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{39,50}"), ("SG.",)),
    # JSON Web Signature and Encryption, compact serialisation (RFC 7515, RFC 7516).
    Detector(
        "jwt",
        _spans(
            r"eyJ(?<![A-Za-z0-9_-]eyJ)[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+\.[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]*+){0,2}"
        ),
        ("eyJ",),
    ),
    Detector("authorization", _authorizations, ("uthorization", "UTHORIZATION")),
    Detector("bearer_token", _bearer_tokens, ("earer ", "EARER ", "earer\t", "EARER\t")),
    Detector("url_password", _URL_PASSWORD, ("://",)),
)
"""Always in this order: where two find the same place, the earlier one names it."""


_AT_DOMAIN = re.compile(
    r"@(?P<host>[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,7}\.)(?P<top>[A-Za-z]{2,24})(?![A-Za-z0-9])"
)
_LOCAL_SIGNS = frozenset("._%+'-")
_LONGEST_LOCAL = 64
_RETINA = re.compile(r"[1-9]x\.")


def _emails(text: str) -> Iterator[Span]:
    """Addresses as people write them (RFC 5321, dot-atom, and Latin letters of RFC 6531)."""
    end = 0
    for match in _AT_DOMAIN.finditer(text):
        start = match.start()
        while start > match.start() - _LONGEST_LOCAL and start > 0 and _is_local(text[start - 1]):
            start -= 1
        local = text[start : match.start()].lstrip("._%+'-")
        # git@host:path names a service, icon@2x.png an image.
        if local and local != "git" and not _RETINA.match(match["host"]):
            # In a@b.example@c.example the second begins where the first ended.
            yield max(end, match.start() - len(local)), match.end()
            end = match.end()


def _is_local(character: str) -> bool:
    return character in _LOCAL_SIGNS or (character.isalnum() and character < "\u0250")


_CARD = re.compile(
    r"[2-6](?<![0-9A-Za-z_][0-9])(?<![0-9A-Fa-f]-[0-9])(?<![0-9]\.[0-9])[0-9]{3}(?:"
    r"(?P<s>[ -])[0-9]{4}(?P=s)[0-9]{4}(?P=s)[0-9]{1,4}(?P<more>(?P=s)[0-9]{3})?"
    r"|(?P<t>[ -])[0-9]{6}(?P=t)[0-9]{4,5}"
    r"|(?P<u>[ -])[0-9]{3}(?P=u)[0-9]{3}(?P=u)[0-9]{3}"
    r"|[0-9]{9,15})(?![0-9A-Za-z_]|-[0-9A-Za-z]|\.[0-9])"
)
# Length by first digits (ISO/IEC 7812; ranges as the schemes publish them).
_ISSUED = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:60[0-9]{2}|62[0-9]{2}|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover, RuPay, UnionPay
    r"|(?:352[89]|35[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|(?:30[0-5]|309|36[0-9]|3[89][0-9])[0-9]{11}(?:[0-9]{2})?"  # Diners Club
    r"|(?:50|5[6-8]|63|67)[0-9]{14}(?:[0-9]{2,3})?"  # Maestro
)


def _cards(text: str) -> Iterator[Span]:
    """Payment card numbers: a known issuer and length, grouped as on cards or not at all, with a valid check digit."""
    position = 0
    while match := _CARD.search(text, position):
        # What looks like a last group may be the security code.
        ends = (match.end(), match.start("more")) if match["more"] else (match.end(),)
        end = next((end for end in ends if _is_card(text[match.start() : end])), 0)
        if end:
            yield match.start(), end
        position = end or match.start() + 4


def _is_card(shown: str) -> bool:
    digits = shown.replace(" ", "").replace("-", "")
    return _ISSUED.fullmatch(digits) is not None and passes_luhn(digits)


_DOUBLED = str.maketrans("0123456789", "0246813579")


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the right check digit (ISO/IEC 7812-1, annex B)."""
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0


# Countries by the length of their IBANs (SWIFT IBAN registry).
_IBAN_COUNTRIES = {
    15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}
_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z][0-9]{2}(?:[ -]?[A-Z0-9]){11,34}")


def _ibans(text: str) -> Iterator[Span]:
    """International bank account numbers (ISO 13616): the country's length and the mod-97 check."""
    position = 0
    while match := _IBAN.search(text, position):
        length = _iban_length(match[0])
        end = match.start() + length
        position = match.start() + 4
        if length and not text[end : end + 1].isalnum():
            yield match.start(), end
            position = end


def _iban_length(candidate: str) -> int:
    # Words may follow in capitals, so the country says how many characters count.
    wanted = _IBAN_LENGTHS.get(candidate[:2], 0)
    compact = candidate.replace(" ", "").replace("-", "")[:wanted]
    if not wanted or len(compact) < wanted or not passes_mod_97(compact):
        return 0
    seen = 0
    for length, character in enumerate(candidate, 1):
        seen += character.isalnum()
        if seen == wanted:
            return length
    raise AssertionError("the candidate holds as many characters as its compact form")


_LETTERS_AS_NUMBERS = {ord(letter): str(int(letter, 36)) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def passes_mod_97(iban: str) -> bool:
    """Whether the check digits of a compact, upper-case IBAN are right (ISO 7064, MOD 97-10)."""
    return int((iban[4:] + iban[:4]).translate(_LETTERS_AS_NUMBERS)) % 97 == 1


_SSN = re.compile(r"[0-9](?<![\w.-][0-9])[0-9]{2}(?P<separator>[ -]?)[0-9]{2}(?P=separator)[0-9]{4}(?![\w-]|\.[0-9])")
_SSN_WORDS = ("ssn", "social security", "social-security", "taxpayer id")
# In print for decades as specimens (Social Security Administration).
_SSN_SPECIMENS = frozenset({"078051120", "219099999", "457555462"})


def _ssns(text: str) -> Iterator[Span]:
    """US social security numbers: ranges that were issued; without dashes only after words that say so."""
    for match in _SSN.finditer(text):
        digits = match[0].replace("-", "").replace(" ", "")
        if not _is_issued_ssn(digits):
            continue
        before = "" if match["separator"] == "-" else text[max(0, match.start() - 32) : match.start()].lower()
        if match["separator"] == "-" or any(word in before for word in _SSN_WORDS):
            yield match.span()


def _is_issued_ssn(digits: str) -> bool:
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or group == "00" or serial == "0000" or digits in _SSN_SPECIMENS:
        return False
    # From 900 on they are taxpayer numbers (ITIN), with groups 50 to 65, 70 to 88, 90 to 92, 94 to 99.
    return area < "900" or "50" <= group <= "65" or "70" <= group <= "99"


_PHONE_ABROAD = re.compile(
    r"\+(?<![\w+.]\+)[1-9](?:[ ./\u00b7-]{0,2}(?:[0-9]|\([0-9]{1,4}\))){5,15}(?![0-9A-Za-z_]|[.:][0-9])"
)
# Country codes in use (ITU-T E.164, annex to Operational Bulletin 1114), with the lengths that can follow.
_DIALLED = re.compile(
    r"1[2-9][0-9]{2}[2-9][0-9]{6}|7[3-9][0-9]{9}"
    r"|(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])[0-9]{6,13}"
    r"|(?:2[1-69]|3[578]|42|5[09]|6[789]|8[0578]|9[679])[0-9]{6,13}"
)
_PHONE_US = re.compile(r"\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[- .][0-9]{4}(?![0-9A-Za-z_])")
_PHONE_LOCAL = re.compile(
    r"\(?(?![0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])|[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9.]))"
    r"[0-9](?:[ ()./-]{0,2}[0-9]){6,13}(?![0-9A-Za-z_:]|[.-][0-9])"
)
_PHONE_WORDS = re.compile("phone|mobile|handy|fax|whatsapp|sms|hotline|tel|cell|call|dial|reach|text", re.IGNORECASE)
_VAGUE_WORDS = frozenset({"call", "dial", "reach", "text"})
_GAP = re.compile(r"s?(?![A-Za-z])[^0-9\n(]{0,24}+")


def _phones(text: str) -> Iterator[Span]:
    """Phone numbers: with + and a country code, as (212) 555-0123, or after a word that announces one."""
    found = [match.span() for match in _PHONE_ABROAD.finditer(text) if _DIALLED.fullmatch(_digits(match[0]))]
    found += [match.span() for match in _PHONE_US.finditer(text)]
    found += _announced_phones(text)
    end = 0
    for span in sorted(found):
        if span[0] >= end:
            end = span[1]
            yield span


def _announced_phones(text: str) -> Iterator[Span]:
    for word in _PHONE_WORDS.finditer(text):
        gap = _GAP.match(text, word.end())
        number = _PHONE_LOCAL.match(text, gap.end()) if gap else None
        # "call 12345678" may be anything; "call 555-123-4567" is not.
        if number and not (word[0].lower() in _VAGUE_WORDS and number[0].isdigit()):
            yield number.span()


def _digits(shown: str) -> str:
    return "".join(filter(str.isdigit, shown)).removeprefix("00")


PERSONAL_DATA: dict[str, Detector] = {
    detector.kind: detector
    for detector in (
        Detector("email", _emails, ("@",)),
        Detector("card", _cards),
        Detector("iban", _ibans),
        Detector("ssn", _ssns),
        Detector("phone", _phones),
    )
}
"""By the names that `redaction.personal_data` uses."""


_SPEAKING = re.compile("access|authorization|bearer|phone|mobile|fax|tel|whatsapp|ssn")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_NAMED_INSIDE = {
    "secretaccesskey": "secret_access_key: ",
    "authorization": "authorization: ",
    "bearer": "bearer ",
    "phone": "phone: ",
}
_NAMED_BY_A_PART = {"mobile": "phone: ", "fax": "phone: ", "tel": "phone: ", "whatsapp": "phone: ", "ssn": "ssn: "}


def context_of(name: str) -> str:
    """What a member's name says of its value, in words that detectors know; put before the value, they find it.

    Args:
        name: as in `SecretAccessKey`, `proxy-authorization`, `phone_number`; folded.

    Returns:
        An empty text where the name says nothing.
    """
    if not may_be_context(name):
        return ""
    parts = [part.lower() for part in _NAME_PARTS.findall(name)]
    compact = "".join(parts)
    inside = (context for word, context in _NAMED_INSIDE.items() if word in compact)
    return next(inside, "") or next((_NAMED_BY_A_PART[part] for part in parts if part in _NAMED_BY_A_PART), "")


def may_be_context(names: str) -> bool:
    """Whether any of these names may have a context; False is certain, True is not."""
    return _SPEAKING.search(names.lower()) is not None
