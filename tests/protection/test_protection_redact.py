"""What is blacked out on the way out, and what must pass untouched."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.kernel.clock import iso_time
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import RedactionSettings
from cenoby.protection.dlp.normalise import fold
from cenoby.protection.redact import Redactor

redactor = Redactor(RedactionSettings())
rng = random.Random(20260728)


def letters(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def jwt() -> str:
    parts = (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890"}', rng.randbytes(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


SECRETS = {
    "openai_key": ["sk-" + letters(48), "sk-proj-" + letters(60) + "_x1-" + letters(20),
    "sk-abcdefghijklmnopqrstuvwx"],
    "anthropic_key": ["sk-ant-api03-" + letters(90) + "-AA"],
    "github_token": ["ghp_" + letters(36), "gho_" + letters(36), "github_pat_" + letters(22) + "_" + letters(59)],
    "gitlab_token": ["glpat-" + letters(20)],
    "aws_key": ["AKIA" + letters(16, string.ascii_uppercase), "ASIA" + letters(16, string.ascii_uppercase)],
    "google_key": ["AIza" + letters(35)],
    "slack_token": ["xoxb-123456789012-1234567890123-" + letters(24), "xapp-1-A0-" + letters(30)],
    "stripe_key": ["sk_live_" + letters(24), "rk_test_" + letters(24), "whsec_" + letters(32)],
    "cenoby_token": ["cby_" + base64.urlsafe_b64encode(rng.randbytes(32)).decode().rstrip("=")],
    "npm_token": ["npm_" + letters(36)],
    "pypi_token": ["pypi-AgEIcHlwaS5vcmc" + letters(60)],
    "huggingface_token": ["hf_" + letters(34)],
    "groq_key": ["gsk_" + letters(52)],
    "xai_key": ["xai-" + letters(80)],
    "sendgrid_key": ["SG." + letters(22) + "." + letters(43)],
    "jwt": [jwt()],
    "private_key": [f"-----BEGIN {kind}PRIVATE KEY-----\n{letters(64)}\n-----END {kind}PRIVATE KEY-----"
                    for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")]
    + ["-----BEGIN PGP PRIVATE KEY BLOCK-----\n" + letters(64) + "\n-----END PGP PRIVATE KEY BLOCK-----"],
}  # fmt: skip
PERSONAL = {
    "email": ["bob@example.com", "first.last+tag@mail.example.co.uk", "o'neill@example.org", "zoë@example.de"],
    "card": [
        "4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "3782 822463 10005",
        "6011111111111117", "3056 930902 5904", "3530111333300000", "2223003122003222", "4222222222222",
    ],
    "iban": ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "FR14 2004 1010 0505 0001 3M02 606",
    "NO9386011117947"],
    "ssn": ["536-22-1234", "900-70-1234"],
    "phone": [
        "+14155552671", "+1 415 555 2671", "+1-415-555-2671", "+49 (0)30 1234567", "+44 20 7946 0958",
        "+33 1 42 68 53 00",
        "(415) 555-2671",
    ],
}  # fmt: skip
SAMPLES = [(kind, text) for table in (SECRETS, PERSONAL) for kind, texts in table.items() for text in texts]


@pytest.mark.parametrize(("kind", "sample"), SAMPLES)
@pytest.mark.parametrize(
    "frame", ["{}", "here: {}, and more", '{{"value": "{}"}}', "line\n{}\nline", "<b>{}</b>", "({})"]
)
def test_each_kind_is_blacked_out_wherever_it_stands(kind: str, sample: str, frame: str) -> None:
    """Every kind, in prose, JSON, mark-up and brackets; nothing but the thing itself goes."""
    text = frame.format(sample)
    expected = frame.format(f"[redacted:{kind}]")
    assert redactor.text(text) == expected
    assert redactor.value([{"x": text}, 1]) == ([{"x": expected}, 1], 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://bob:hunter2@host.example/x", "https://bob:[redacted:url_password]@host.example/x"),
        ("postgresql://app:p%40ss@db:5432/main", "postgresql://app:[redacted:url_password]@db:5432/main"),
        ("redis://:secret@cache:6379", "redis://:[redacted:url_password]@cache:6379"),
        ("postgres://u:p4ss/w0rd@h/db", "postgres://u:[redacted:url_password]@h/db"),
        ("amqp://u:a//b?c#d@h see https://h:8080/@x", "amqp://u:[redacted:url_password]@h see https://h:8080/@x"),
        ("http://a:b/http://c:d/e@f", "http://a:b/http://c:[redacted:url_password]@f"),
        ('"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', '"SecretAccessKey": "[redacted:aws_secret]"'),
        ("BEARER\tabcdefghij0123456789abcd", "BEARER\t[redacted:bearer_token]"),
        ("İ, phone: 555-1234", "İ, phone: [redacted:phone]"),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer [redacted:authorization]"),
        ("'authorization': 'Basic dXNlcjpwYXNz'", "'authorization': 'Basic [redacted:authorization]'"),
        ("curl -H bearer 0123456789abcdefghij", "curl -H bearer [redacted:bearer_token]"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "aws_secret_access_key = [redacted:aws_secret]",
        ),
        ("ftp://u:x-cby_" + "a" * 40 + ".tail@h", "ftp://u:[redacted:url_password]@h"),
        ("ftp://u:AKIAABCDEFGHIJKLMNOP@h", "ftp://u:[redacted:aws_key]@h"),
        ("bob@b.example@c.example+14155552671\u200b", "[redacted:email][redacted:email][redacted:phone]\u200b"),
        ("mailto:bob@example.com?subject=x", "mailto:[redacted:email]?subject=x"),
        ("phone: 555-1234", "phone: [redacted:phone]"),
        ("Tel. 030 1234567", "Tel. [redacted:phone]"),
        ("my mobile is 0171 2345678, bye", "my mobile is [redacted:phone], bye"),
        ("call me at 415-555-2671.", "call me at [redacted:phone]."),
        ("SSN 536221234", "SSN [redacted:ssn]"),
        ("Social security number: 536 22 1234", "Social security number: [redacted:ssn]"),
        ("card 4111 1111 1111 1111 123 12/29", "card [redacted:card] 123 12/29"),
        ("2026 4111 1111 1111 1111", "2026 [redacted:card]"),
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF", "IBAN [redacted:iban] BIC COBADEFF"),
        ("4111111111111111 bob@example.com", "[redacted:card] [redacted:email]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow", "[redacted:private_key]"),
    ],
)
def test_things_that_need_their_context(text: str, expected: str) -> None:
    """Passwords in URLs, headers, numbers with words before them, two things in one text, half a private key."""
    assert redactor.text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "４１１１ １１１１ １１１１ １１１１",  # full-width digits
        "٤١١١١١١١١١١١١١١١",  # Arabic-Indic digits
        "4111\u00a01111\u00a01111\u00a01111",  # no-break spaces
        "4111‑1111–1111−1111",  # three other dashes
        "4111\u200b1111\u200b1111\u200b1111",  # zero-width spaces
        "bob\u200b@exam\u00adple.com",
        "ｂｏｂ＠example．com",
    ],
)
def test_look_alikes_and_invisible_characters_do_not_hide(text: str) -> None:
    """The detectors read what a person reads; what stands around is kept as it was."""
    redacted = redactor.text(f"naïve {text} é")
    assert redacted in ("naïve [redacted:card] é", "naïve [redacted:email] é")


HARMLESS = [
    new_id(), str(uuid.uuid4()), "01932178-1234-7123-8123-123456789012", "4f1b2c3d4e5f60718293a4b5c6d7e8f9",
    hashlib.sha256(b"x").hexdigest(), hashlib.sha1(b"y").hexdigest(), "sha256:" + hashlib.sha256(b"z").hexdigest(),
    "D41D8CD98F00B204E9800998ECF8427E", "commit 4111111a1111111", "order 4521-7781-22", "ORD-2024-000123",
    "Order number 1000045789", "invoice 20240117", "2026-07-28", "2026-07-28T12:00:00Z",
    iso_time(1_767_225_600_123_456_789),
    "2026-07-28 12:00:00.123456", "2026-07-28T12:00:00.123456+02:00", "28.07.2026 12:00", "1767225600",
    "1767225600123",
    "1767225600123456789", "v1.2.3", "3.11.7", "2.0.0-rc.1+build.5", "1.22.333.4444", "lodash@4.17.21",
    "react@18.2.0-beta.1",
    "@alice please see #planning", "hello@bob", "(@carol)", "git@github.com:owner/repository.git", "icon@2x.png",
    "192.168.100.200", "call 192.168.100.200", "10.0.0.0/8", "::1", "127.0.0.1:8600", "http://127.0.0.1:8600/mcp",
    "https://example.com/a:b@c", "http://127.0.0.1:8080/users/@me", "https://registry.example:443/@types/node",
    "https://host:8443?to=@bob", "http://h:1/http://h:2/@x",
    "4111111111111112", "4111 1111 1111 1112", "1234 5678 9012 3456", "1111111111111111",
    "123-45-678", "000-12-3456", "666-12-3456", "536-00-1234", "078-05-1120", "536 22 1234", "536221234",
    "ABC123456789",
    "DE89370400440532013001", "GB00WEST12345698765432", "3.141592653589793", "0.4111111111111111",
    "pi=3.14159265358979",
    "1,234,567,890", "1_000_000_000", "+1", "1 + 2", "a+b", "C++11", "UTC+02:00", "GMT+10", "+0530", "-1767225600",
    "sk-learn is a library", "task-force-one-two-three-four-five", "risk-based-assessment-of-2026-plans", "gh_pages",
    "ghp_short", "eyJ", "AKIA", "npm_config_registry", "Bearer authentication is required",
    "Authorization: Bearer <token>",
    "Authorization: Bearer authentication", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "cby_", "cenoby://conversations/" + new_id(),
    "mads__turing__get_secret", "phone support is open 9-17", "phone: none", "iPhone 15 Pro", "text 12345678",
    "call 0199a3b4", "tool call 12345678", "telemetry 20260728 ", "size 1048576 bytes", "port 8600",
    "HTTP/1.1 200 OK",
    "RFC 9562 section 5.7", "ISO 13616-1:2020", "U+0041", "0x7fffffffffffffff", "#123456", "page 1234567 of 9999999",
    "978-3-16-148410-0", "ISBN 9783161484100", "4006381333931",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_passes_untouched(text: str) -> None:
    """Ids, digests, dates, versions, addresses, order numbers: all of them are in results every day."""
    for framed in (text, f"see {text} there", f'{{"id": "{text}"}}', f"{text}\n{text}"):
        assert redactor.text(framed) is framed
        value = {"a": [framed], "b": 4111111111111111}
        assert redactor.value(value) == (value, 0)
        assert redactor.value(value)[0] is value


def test_ten_thousand_ids_and_digests_pass() -> None:
    """No random id or digest looks like a card, an account or a phone number by accident."""
    texts = [str(uuid.UUID(bytes=rng.randbytes(16), version=4)) for _ in range(3000)]
    texts += [f"0199{text[4:14]}7{text[15:]}" for text in texts]
    texts += [rng.randbytes(size).hex() for _ in range(2000) for size in (16, 32)]
    assert redactor.value(texts) == (texts, 0)
    joined = "\n".join(texts)
    assert redactor.text(joined) is joined


def test_numbers_are_left_alone() -> None:
    """Only texts are redacted; a number stays the number it is, and the value that was given stays as it was."""
    value = {"a": 4111111111111111, "n": [1.5, True, None], "t": "bob@example.com"}
    redacted, count = redactor.value(value)
    assert redacted == {"a": 4111111111111111, "n": [1.5, True, None], "t": "[redacted:email]"}
    assert count == 1
    assert redacted["n"] is value["n"]
    assert value["t"] == "bob@example.com"


def test_names_of_members_are_redacted_and_none_is_lost() -> None:
    """A key as a name is no safer than as a text; names that look the same afterwards are numbered."""
    value = {
        "bob@example.com": 1,
        "[redacted:email] 2": 2,
        "eve@example.com": [3],
        "deep": {SECRETS["aws_key"][0]: "v"},
    }
    expected = {"[redacted:email]": 1, "[redacted:email] 2": 2, "[redacted:email] 3": [3]}
    assert redactor.value(value) == (expected | {"deep": {"[redacted:aws_key]": "v"}}, 3)
    for member in ("４１１１ １１１１ １１１１ １１１１", "bob\u200b@example.com"):
        assert redactor.value({"a": {member: 0}})[1] == 1
    assert redactor.value({1: "bob@example.com", "n": {2: "x"}}) == ({1: "[redacted:email]", "n": {2: "x"}}, 1)
    alike = {"a@b.example": 1, "c@b.example": 2, "d@b.example 2": 3}
    assert list(redactor.value(alike)[0].values()) == [1, 2, 3]
    many = {f"a{number}@example.com": number for number in range(30_000)}
    assert list(redactor.value(many)[0].values()) == list(range(30_000))


AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("aws_secret_access_key", AWS_SECRET, "[redacted:aws_secret]"),
        ("AWS_SECRET_ACCESS_KEY", AWS_SECRET, "[redacted:aws_secret]"),
        ("SecretAccessKey", AWS_SECRET, "[redacted:aws_secret]"),
        ("secret-access-key", AWS_SECRET, "[redacted:aws_secret]"),
        ("Authorization", "Basic dXNlcjpwYXNzd29yZA==", "Basic [redacted:authorization]"),
        ("proxy-authorization", "token abc123def", "token [redacted:authorization]"),
        ("ａuthorization", "Basic dXNlcjpwYXNzd29yZA==", "Basic [redacted:authorization]"),
        ("bearer", "abcdefghij0123456789abcd", "[redacted:bearer_token]"),
        ("phone", "555-1234", "[redacted:phone]"),
        ("homePhoneNumber", "030 1234567", "[redacted:phone]"),
        ("SSN", "536221234", "[redacted:ssn]"),
        ("authorization", "from bob@example.com, é", "from [redacted:email], é"),
    ],
)
def test_the_name_of_a_member_is_context_of_its_text(name: str, text: str, expected: str) -> None:
    """What `name: text` would black out is blacked out in a member, in a list under it, and every time."""
    for _ in range(2):
        assert redactor.value({name: text}) == ({name: expected}, 1)
        assert redactor.value([{"headers": {name: [text, 1]}, "x": "y"}]) == (
            [{"headers": {name: [expected, 1]}, "x": "y"}],
            1,
        )
    assert redactor.value({name: expected}) == ({name: expected}, 0)


@pytest.mark.parametrize(
    "value",
    [
        {"authorization": "required", "bearer": "authentication"},
        {"secret_access_key": "see the vault", "accessKey": "wJalrXUtnFEMI"},
        {"telemetry": "12345678", "cell": "12345678", "className": "536221234", "hotel": "1234567"},
        {"phone": {"type": "string", "title": "1234567"}, "fax": 5551234567},
        {"phone": "none", "mobile": "2026-07-28", "tel": "192.168.100.200"},
    ],
)
def test_names_alone_black_out_nothing(value: dict[str, Any]) -> None:
    """A name that announces something is no reason to hide what is not that."""
    assert redactor.value(value) == (value, 0)
    assert redactor.value(value)[0] is value


@pytest.mark.parametrize("scalar", [1, 1.5, True, None, "short", ""])
def test_a_bare_value_passes(scalar: Any) -> None:
    """A result may be anything."""
    assert redactor.value(scalar) == (scalar, 0)


def test_the_settings_choose_the_kinds() -> None:
    """What is switched off stays readable."""
    text = "bob@example.com 4111111111111111 ghp_" + "a1" * 18
    only_cards = Redactor(RedactionSettings(secrets=False, personal_data=["card"]))
    assert only_cards.text(text) == text.replace("4111111111111111", "[redacted:card]")
    nothing = Redactor(RedactionSettings(secrets=False, personal_data=[]))
    assert nothing.text(text) is text


@pytest.mark.parametrize("text", [sample for _, sample in SAMPLES] + ["https://a:b12345@h.example/", "tel 030 1234567"])
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """A result is redacted, then the journal redacts what it keeps of it."""
    once = redactor.text(f"x {text} y")
    assert redactor.text(once) == once


@settings(max_examples=1500)
@given(st.sampled_from([sample for _, sample in SAMPLES]), st.text("ab1 -_.:/@\né", max_size=8))
def test_the_quick_look_never_misses_what_a_detector_finds(sample: str, before: str) -> None:
    """The gate is only ever wrong in one direction."""
    text = before + sample
    folded, _ = fold(text)
    scanner = redactor.scanner
    if any(list(detector.find(folded)) for detector in scanner._detectors):  # pyright: ignore[reportPrivateUsage]
        assert scanner.may_hold(folded)
        assert scanner.finds(folded)


@given(st.lists(st.sampled_from([sample for _, sample in SAMPLES] + ["x", " ", "\n", "\u200b", "é", "1", "-", "@"])))
def test_any_mixture_is_redacted_without_losing_the_rest(parts: list[str]) -> None:
    """Whatever stands side by side: no crash, no overlap, and text around is kept in order."""
    redacted = redactor.text("".join(parts))
    assert redactor.value(["".join(parts)])[0] == [redacted]


@pytest.mark.parametrize(
    "unit",
    [
        "a", "4", "4 ", "4111 ", "4111-", "4111111111111112 ", "@a.", "a@", "a.", "eyJ", "eyJaaaaaaaaa.", "sk-",
        "://:", "://a", "://a:", "://a:b/", "://a:1/",
        "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----", "phone ", "phone 555-1234 ", "123456789 ",
        "ssn 536221234 ", "+1 ",
        "+4915112345678", "DE89 ", "AA00", "DE89370400440532013000 ", "authorization: ", "bearer ", "(", "(212) ",
        "-", "gh_",
        "1.2.3.4.", "é\u200d4", "SG.", "xoxb-", "secret_access_key=", "0123456789abcdef", "bob@example.com ",
        "\u200b", "２",
    ],
)  # fmt: skip
def test_a_megabyte_of_anything_is_linear(unit: str) -> None:
    """A pattern that backtracks would need hours for this; a linear one needs a second at worst."""
    text = unit * (1_000_000 // len(unit))
    redactor.text(text)
    redactor.text(text + "@example.com tel 5551234567 eyJ")
