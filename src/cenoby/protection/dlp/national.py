"""National numbers of persons, by country: their shapes, their words, and which shape needs a word before it.

A shape that one in a thousand random numbers or more would pass, check digits included, counts only after a word that
says what it is (`BSN: 111222333`); dots, dashes and letters in the places where people write them need none.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cenoby.protection.dlp import national_checks as checks
from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.checksums import passes_mod_11_10, passes_verhoeff
from cenoby.protection.dlp.detector import Check, Detector, announced, shaped

_BEFORE, _AFTER = rb"(?<![0-9A-Za-z_])(?<![0-9]\.)(?<![0-9A-Za-z]-)", rb"(?![0-9A-Za-z_]|[.-][0-9A-Za-z])"
_SIGNS = bytes(range(0x30)) + b":;<=>?@/"
_Valid = Callable[[str], bool]


def _number(kind: str, shape: bytes, valid: _Valid, words: bytes = b"", always: bytes = b"") -> Detector:
    """One country's number.

    Args:
        kind: names it.
        shape: how it is written; bounded, the same for RE2 and `re`.
        valid: the check digits, over letters and digits alone, in capitals.
        words: what announces it; none: the shape says enough.
        always: the shape that needs no word, where there are words.
    """
    announces = expression(rb"(?i)(?:" + words + rb")") if words else None
    enough = re.compile(always) if always else None

    def check(data: bytes, start: int, end: int) -> int:
        shown = data[start:end]
        if not valid(shown.translate(None, _SIGNS).decode("latin-1").upper()):
            return 0
        if announces is None or (enough is not None and enough.fullmatch(shown)):
            return end
        return end if announced(data, start, announces) else 0

    made: Check = check
    return shaped(kind, rb"\b(?:" + shape + rb")\b", _BEFORE + rb"(?:" + shape + rb")" + _AFTER, made, re.IGNORECASE)


NATIONAL: tuple[Detector, ...] = (
    _number("cn_ric", rb"[1-9][0-9]{16}[0-9X]", checks.cn_ric),
    _number("mx_curp", rb"[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[A-Z0-9][0-9]", checks.mx_curp),
    _number(
        "it_codice_fiscale",
        rb"[A-Z]{6} ?[0-9LMNPQRSTUV]{2}[A-EHLMPRST][0-9LMNPQRSTUV]{2} ?[A-Z][0-9LMNPQRSTUV]{3}[A-Z]",
        checks.it_codice_fiscale,
    ),
    _number("fr_nir", rb"[12] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", checks.fr_nir),
    _number("br_cnpj", rb"[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}/[0-9A-Z]{4}-[0-9]{2}", checks.br_cnpj),
    _number("br_cnpj", rb"[0-9A-Z]{12}[0-9]{2}", checks.br_cnpj, rb"cnpj|brazilian company"),
    _number("ro_cnp", rb"[1-9][0-9]{12}", checks.ro_cnp, rb"\bcnp\b|cod(?:ul)? numeric|romanian"),
    _number("za_id", rb"[0-9]{6} ?[0-9]{4} ?[0-9]{2} ?[0-9]", checks.za_id, rb"\bid\b|identity|south africa"),
    _number("kr_rrn", rb"[0-9]{6}-?[0-9]{7}", checks.kr_rrn, rb"\brrn\b|korean|resident", rb".*-.*"),
    _number(
        "ch_ahv",
        rb"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}",
        checks.ch_ahv,
        rb"ahv|avs|swiss|social|sozial",
        rb".*[. ].*",
    ),
    _number(
        "aadhaar",
        rb"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}",
        passes_verhoeff,
        rb"aadh?aar|uidai|\buid\b|indian",
        rb".* .*",
    ),
    _number(
        "br_cpf", rb"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}", checks.br_cpf, rb"\bcpf\b|brazilian", rb"[0-9]{3}\..*"
    ),
    _number(
        "be_national",
        rb"[0-9]{2}[. ]?[0-9]{2}[. ]?[0-9]{2}[- ]?[0-9]{3}[. ]?[0-9]{2}",
        checks.be_national,
        rb"belgian|rijksregister|registre national|national (?:number|register)|insz|niss|\bnn\b",
        rb".*[.-].*",
    ),
    _number("no_fodselsnummer", rb"[0-9]{6}[ -]?[0-9]{5}", checks.no_fodselsnummer),
    _number(
        "de_steuer_id",
        rb"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
        checks.de_steuer_id,
        rb"steuer|idnr|\btin\b|tax|german personal",
        rb".* .* .* .*",
    ),
    _number("pl_pesel", rb"[0-9]{11}", checks.pl_pesel, rb"pesel|polish"),
    _number("tr_kimlik", rb"[1-9][0-9]{10}", checks.tr_kimlik, rb"kimlik|tckn|\btc\b|turkish"),
    _number("ee_isikukood", rb"[1-8][0-9]{10}", checks.ee_isikukood, rb"isikukood|asmens|estonian|lithuanian|personal"),
    _number("hr_oib", rb"[0-9]{11}", passes_mod_11_10, rb"\boib\b|croatian"),
    _number("gr_amka", rb"[0-9]{11}", checks.gr_amka, rb"amka|\?\?\?|greek"),
    _number("ar_cuit", rb"[0-9]{2}-?[0-9]{8}-?[0-9]", checks.ar_cuit, rb"cuit|cuil|argentin", rb".*-.*-.*"),
    _number("se_personnummer", rb"(?:(?:19|20)[0-9]{6}|[0-9]{6})[-+][0-9]{4}", checks.se_personnummer),
    _number("se_personnummer", rb"(?:19|20)?[0-9]{10}", checks.se_personnummer, rb"personnummer|personal|swedish|ssn"),
    _number("cz_rodne", rb"[0-9]{6}/?[0-9]{4}", checks.cz_rodne, rb"rodn|\br\xe9|czech|slovak|birth number", rb".*/.*"),
    _number("bg_egn", rb"[0-9]{6} ?[0-9]{3} ?[0-9]", checks.bg_egn, rb"\begn\b|bulgarian|\?\?\?"),
    _number("fi_hetu", rb"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]", checks.fi_hetu),
    _number("uk_nino", rb"[A-CEGHJ-PR-TW-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]", checks.uk_nino),
    _number("es_dni", rb"(?:[0-9]{8}|[XYZ]-?[0-9]{7})[- ]?[A-HJ-NP-TV-Z]", checks.es_dni),
    _number("ie_pps", rb"[0-9]{7}[A-W][A-W]?", checks.ie_pps, rb"pps|irish|personal public"),
    _number("sg_nric", rb"[STFGM][0-9]{7}[A-Z]", checks.sg_nric),
    _number("cl_rut", rb"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9K]", checks.cl_rut),
    _number("cl_rut", rb"[0-9]{7,8}-?[0-9K]", checks.cl_rut, rb"\brut\b|\brun\b|chile"),
    _number("nl_bsn", rb"[0-9]{4}\.?[0-9]{2}\.?[0-9]{3}", checks.nl_bsn, rb"bsn|burgerservice|sofi|dutch"),
    _number("pt_nif", rb"(?:PT ?)?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", checks.pt_nif, rb"\bnif\b|contribuinte|portugues"),
    _number("ca_sin", rb"[0-9]{3}[- ]?[0-9]{3}[- ]?[0-9]{3}", checks.ca_sin, rb"\bsin\b|social insurance|canadian"),
    _number("au_tfn", rb"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", checks.au_tfn, rb"\btfn\b|tax file|australian"),
)
_SSN_WORDS = rb"\bssn|social.security|taxpayer|\bitin\b|social"
SSNS: tuple[Detector, ...] = (
    _number("ssn", rb"[0-9]{3}-[0-9]{2}-[0-9]{4}", checks.us_ssn),
    _number("ssn", rb"[0-9]{3}(?: [0-9]{2} |[0-9]{2})[0-9]{4}", checks.us_ssn, _SSN_WORDS),
)
