"""Labelled texts that others made, as JSON on stdout. It runs in an environment of its own (`bench/detectors.py`).

Sources: the examples of Kingfisher's rules (its command lists them), the generated set of presidio-research, doctests
of python-stdnum, and Faker's values, those with check digits confirmed by python-stdnum. Nothing here knows the
detectors; a text says which places hold what, and whatever else is found in it is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import random
import re
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

from faker import Faker
from stdnum import iban, luhn

SEED = 20260728
PER_KIND = 60
NATIONAL = {
    "ar_cuit": "ar.cuit", "au_tfn": "au.tfn", "be_national": "be.nn", "bg_egn": "bg.egn", "br_cnpj": "br.cnpj",
    "br_cpf": "br.cpf", "ca_sin": "ca.sin", "ch_ahv": "ch.ssn", "cl_rut": "cl.rut", "cn_ric": "cn.ric",
    "cz_rodne": "cz.rc", "de_steuer_id": "de.idnr", "ee_isikukood": "ee.ik", "es_dni": "es.dni",
    "fi_hetu": "fi.hetu", "fr_nir": "fr.nir", "gr_amka": "gr.amka", "hr_oib": "hr.oib", "ie_pps": "ie.pps",
    "aadhaar": "in_.aadhaar", "it_codice_fiscale": "it.codicefiscale", "kr_rrn": "kr.rrn", "mx_curp": "mx.curp",
    "nl_bsn": "nl.bsn", "no_fodselsnummer": "no.fodselsnummer", "pl_pesel": "pl.pesel", "pt_nif": "pt.nif",
    "ro_cnp": "ro.cnp", "se_personnummer": "se.personnummer", "tr_kimlik": "tr.tckimlik", "za_id": "za.idnr",
    "ssn": "us.ssn",
}  # fmt: skip
"""The kinds by the modules of python-stdnum that know them."""
LOCALES = {
    "ar_cuit": "es_AR", "be_national": "nl_BE", "bg_egn": "bg_BG", "br_cnpj": "pt_BR", "br_cpf": "pt_BR",
    "ca_sin": "en_CA", "ch_ahv": "de_CH", "cl_rut": "es_CL", "cn_ric": "zh_CN", "cz_rodne": "cs_CZ",
    "ee_isikukood": "et_EE", "es_dni": "es_ES", "fi_hetu": "fi_FI", "fr_nir": "fr_FR", "gr_amka": "el_GR",
    "hr_oib": "hr_HR", "ie_pps": "en_IE", "aadhaar": "en_IN", "it_codice_fiscale": "it_IT", "kr_rrn": "ko_KR",
    "mx_curp": "es_MX", "nl_bsn": "nl_NL", "no_fodselsnummer": "no_NO", "pl_pesel": "pl_PL", "pt_nif": "pt_PT",
    "ro_cnp": "ro_RO", "se_personnummer": "sv_SE", "tr_kimlik": "tr_TR", "za_id": "zu_ZA", "ssn": "en_US",
}  # fmt: skip
PROVIDERS = ("ssn", "cpf", "cnpj", "aadhaar_id", "curp", "nif", "vat_id", "pesel", "national_id")
PHONES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "sv_SE", "pt_BR", "ja_JP", "en_IN")
rng = random.Random(SEED)
fake = Faker("en_US")
Faker.seed(SEED)


def sample(
    source: str, kind: str, before: str, value: str, after: str = "", *, holds: bool = True
) -> dict[str, object]:
    """A text with one value in it; `about` is the kind that it is a test of."""
    text = before + value + after
    labels = [[len(before), len(before) + len(value), kind]] if holds else []
    return {"source": source, "about": kind, "text": text, "labels": labels}


def framed(source: str, kind: str, name: str, value: str, *, holds: bool = True) -> dict[str, object]:
    before = f"{fake.sentence()} {name}: " if name else f"{fake.sentence()} "
    return sample(
        source,
        kind,
        before,
        value,
        f". {fake.sentence()}" if rng.random() < 0.5 else f" {fake.sentence()}",
        holds=holds,
    )


def national() -> list[dict[str, object]]:
    """Numbers from python-stdnum's doctests and from Faker, in the words of python-stdnum's titles; and spoilt ones."""
    made: list[dict[str, object]] = []
    for kind, path in NATIONAL.items():
        module = importlib.import_module(f"stdnum.{path}")
        documentation = module.__doc__ or ""
        name = re.split(r"[(,]", documentation.strip().splitlines()[0])[0].strip(" .")
        quoted = set(re.findall(r"'([0-9A-Za-z][0-9A-Za-z ./+-]{6,24})'", documentation))
        valid = sorted(one for one in quoted if module.is_valid(one) and not _is_companys(kind, one))
        made += [framed("stdnum", kind, name, one) for one in valid]
        made += [
            framed("stdnum-invalid", kind, name, one, holds=False) for one in sorted(quoted) if not module.is_valid(one)
        ]
        for one in sorted(_by_faker(kind, module)):
            made.append(framed("faker", kind, name, one))
            made.append(framed("faker-bare", kind, "", one))
            if kind != "ssn" and (spoilt := _spoilt(one, module.is_valid)):
                made.append(framed("faker-spoilt", kind, name, spoilt, holds=False))
    return made


def _is_companys(kind: str, number: str) -> bool:
    # python-stdnum takes the numbers of companies, too, and tax offices put the country before.
    return (kind == "it_codice_fiscale" and number.isdigit()) or number[:2] in ("CL", "PT", "HR", "RO")


def _by_faker(kind: str, module: object) -> set[str]:
    if kind not in LOCALES:
        return set()
    local, made = Faker(LOCALES[kind]), set()
    for _ in range(PER_KIND * 3):
        for provider in PROVIDERS:
            try:
                value = str(getattr(local, provider)())
            except (AttributeError, TypeError):
                continue
            # Where a locale has no number of its own, Faker gives an American one.
            american = re.fullmatch(r"[0-9]{3}-[0-9]{2}-[0-9]{4}", value) is not None
            if american == (kind == "ssn") and module.is_valid(value):  # type: ignore[attr-defined]
                made.add(value)
    return set(sorted(made)[:PER_KIND])


def _spoilt(value: str, is_valid: object) -> str:
    for _ in range(20):
        places = [place for place, one in enumerate(value) if one.isdigit()]
        place = rng.choice(places)
        changed = value[:place] + rng.choice("0123456789") + value[place + 1 :]
        if changed != value and not is_valid(changed):  # type: ignore[operator]
            return changed
    return ""


def payment_and_contacts() -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for _ in range(PER_KIND * 4):
        card = fake.credit_card_number()
        made.append(framed("faker", "card", rng.choice(["", "card number"]), card))
        if spoilt := _spoilt(card, luhn.is_valid):
            made.append(framed("faker-spoilt", "card", "card number", spoilt, holds=False))
        made.append(framed("faker", "email", "", fake.email()))
        made.append(framed("faker", "ip", "", rng.choice([fake.ipv4, fake.ipv6])()))
        account = Faker(rng.choice(["de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "en_GB", "fi_FI"])).iban()
        if iban.is_valid(account):
            shown = rng.choice([account, iban.format(account)])
            made.append(framed("faker", "iban", rng.choice(["", "IBAN"]), shown))
            if spoilt := _spoilt(account, iban.is_valid):
                made.append(framed("faker-spoilt", "iban", "IBAN", spoilt, holds=False))
        made.append(
            framed(
                "faker", "phone", rng.choice(["Phone", "Tel", "Call me on"]), Faker(rng.choice(PHONES)).phone_number()
            )
        )
    return made


def harmless() -> list[dict[str, object]]:
    """What looks like a number or a key and is none."""
    makers = {
        "order": lambda: f"order {rng.randrange(10**9, 10**10)}",
        "invoice": lambda: (
            f"invoice {rng.randrange(100, 1000)}-{rng.randrange(100, 1000)}-{rng.randrange(1000, 10000)}"
        ),
        "sixteen digits": lambda: f"article {_spoilt(str(rng.randrange(10**15, 10**16)), luhn.is_valid)}",
        "uuid": lambda: f"request {uuid.UUID(int=rng.getrandbits(128), version=4)}",
        "sha1": lambda: f"commit {fake.sha1()}",
        "sha256": lambda: f"sha256:{fake.sha256()}",
        "md5": lambda: f"etag {fake.md5()}",
        "version": lambda: (
            f"{fake.word()}@{rng.randrange(30)}.{rng.randrange(30)}.{rng.randrange(30)}-rc.{rng.randrange(9)}"
        ),
        "image": lambda: "data:image/png;base64," + base64.b64encode(rng.randbytes(300)).decode(),
        "lock": lambda: "integrity sha512-" + base64.b64encode(hashlib.sha512(rng.randbytes(9)).digest()).decode(),
        "book": lambda: f"ISBN {fake.isbn13()}",
        "article": lambda: f"EAN {fake.ean13()}",
        "time": lambda: f"{fake.date_time().isoformat()}.{rng.randrange(10**6):06}Z",
        "epoch": lambda: f"ts={rng.randrange(16 * 10**8, 18 * 10**8)}{rng.choice(['', '123', '123456', '123456789'])}",
        "mac": lambda: f"interface {fake.mac_address()}",
        "path": lambda: f"see {fake.file_path(depth=4)}",
        "url": lambda: f"see {fake.uri()}",
        "words": lambda: f"the {fake.word()}-{fake.word()}-{fake.word()}-{fake.word()} branch, {fake.bs()}",
        "licence plate": lambda: f"car {fake.license_plate()}",
        "coordinates": lambda: f"at {fake.latitude()}, {fake.longitude()}",
        "money": lambda: f"paid {fake.pricetag()} of {rng.randrange(10**6, 10**8):,}",
        "code": lambda: f"password = get_password({fake.word()}); token: str = settings.{fake.word()}_token",
    }
    return [
        {"source": "harmless", "about": name, "text": f"{fake.sentence()} {make()} {fake.sentence()}", "labels": []}
        for name, make in makers.items()
        for _ in range(PER_KIND * 3)
    ]


PRESIDIO = {
    "CREDIT_CARD": "card", "US_SSN": "ssn", "IBAN_CODE": "iban", "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone",
    "IP_ADDRESS": "ip", "STREET_ADDRESS": "address",
}  # fmt: skip


def presidio(archive: Path) -> list[dict[str, object]]:
    """The generated set that comes with presidio-research."""
    with tarfile.open(archive) as packed:
        member = next(one for one in packed.getmembers() if one.name.endswith("data/synth_dataset_v2.json"))
        file = packed.extractfile(member)
        assert file is not None
        rows = json.load(file)
    return [
        {
            "source": "presidio",
            "about": "",
            "text": row["full_text"],
            "labels": [
                [span["start_position"], span["end_position"], PRESIDIO[span["entity_type"]]]
                for span in row["spans"]
                if span["entity_type"] in PRESIDIO
            ],
        }
        for row in rows
    ]


def kingfisher() -> list[dict[str, object]]:
    """The examples of Kingfisher's rules: each holds a secret somewhere. `about` is the rule."""
    listed = subprocess.run(
        [str(Path(sys.executable).with_name("kingfisher")), "rules", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        {"source": "kingfisher", "about": rule["id"], "text": example, "labels": [[0, len(example), "any secret"]]}
        for rule in json.loads(listed.stdout)
        if rule["visible"]  # the others name hosts and accounts that a key belongs to
        for example in rule["examples"]
    ]


def main() -> None:
    archive = next(Path(sys.argv[1]).glob("presidio_evaluator-*.tar.gz"))
    json.dump([*national(), *payment_and_contacts(), *harmless(), *presidio(archive), *kingfisher()], sys.stdout)


if __name__ == "__main__":
    main()
