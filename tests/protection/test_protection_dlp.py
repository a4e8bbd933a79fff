"""Finding secrets and personal data in text."""

from __future__ import annotations

import base64
import io
import logging
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import RedactionSettings, TelemetrySettings
from cenoby.protection.dlp import checksums, national_checks
from cenoby.protection.dlp.national import NATIONAL, SSNS
from cenoby.protection.dlp.normalise import fold
from cenoby.protection.dlp.scan import PERSONAL, Hit, Scanner, find
from cenoby.protection.redact import Redactor
from cenoby.protection.streaming import RedactedStream
from cenoby.telemetry.logs import configure_logging, get_logger

redactor = Redactor(RedactionSettings())
KEYS = ("ghp_" + "a1B2" * 9, "AKIA" + "ABCD2345" * 2, "sk-ant-api03-" + "q7Zx" * 12, "glpat-" + "x9Kd" * 5)


def test_finds_are_typed_and_placed_in_the_text_as_it_was_given() -> None:
    """Kind, category and place of a key and an address; invisible characters count in the places."""
    key = "ghp_" + "a1B2" * 9
    text = f"é\u200b {key} from b\u200bob@example.com"
    assert find(text) == [
        Hit(3, 3 + len(key), "github_token", "secret"),
        Hit(text.index("b\u200bob"), len(text), "email", "personal"),
    ]
    assert find("nothing of that sort, 2026-07-28") == []


def encodings(secret: str) -> list[str]:
    """A secret as people and programs hide it."""
    raw = f"token {secret} end".encode()
    once = base64.b64encode(raw).decode()
    return [
        once,
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        base64.b64encode(secret.encode()).decode(),
        raw.hex(),
        raw.hex().upper(),
        "".join(f"%{byte:02x}" for byte in raw),
        quote(secret, safe="").replace("_", "%5F").replace("-", "%2D"),
        base64.b64encode(once.encode()).decode(),
        base64.b64encode(raw.hex().encode()).decode(),
        "/" + once,
        "key=" + once,
    ]


@pytest.mark.parametrize("secret", KEYS)
def test_an_encoding_hides_nothing(secret: str) -> None:
    """Base64, its URL alphabet, hexadecimal and percent signs, alone and one in the other: the whole run goes."""
    for hidden in encodings(secret):
        shown = redactor.text(f"see {hidden} there")
        assert "[redacted:" in shown, hidden
        assert len(shown) < 60, shown
        assert redactor.value({"a": [hidden]})[1] == 1


def test_lines_in_hexadecimal_are_one_run() -> None:
    """A private key in hexadecimal goes whole: its line ends do not end the run."""
    lines = "\r\n".join(["-----BEGIN PRIVATE KEY-----", *["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2] * 4])
    hidden = f"{lines}\r\n\t-----END PRIVATE KEY-----\n".encode().hex()
    assert redactor.text(f"see {hidden} there") == "see [redacted:private_key] there"
    assert redactor.text(f"see {hidden.upper()} there") == "see [redacted:private_key] there"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([one for key in KEYS for one in encodings(key)]), min_size=1, max_size=3),
    st.lists(st.integers(1, 90), min_size=1, max_size=5),
)
def test_a_stream_cut_anywhere_hides_encoded_secrets_too(hidden: list[str], sizes: list[int]) -> None:
    """What goes out in pieces adds up to the redaction of the whole, with no encoded secret in any of them."""
    text = " and ".join(f"{'word ' * 70}{one}" for one in hidden)
    stream, out, position, turn = RedactedStream(redactor), "", 0, 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        out += stream.add(text[position : position + size])
        position, turn = position + size, turn + 1
    out += stream.end()
    assert out == redactor.text(text)
    assert not [one for one in hidden if one in out]


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from("0123456789 .-/+ABKMPSTXYZ"), max_size=40), st.sampled_from(["", "bsn ", "CPF: ", "id "])
)
def test_no_check_breaks_on_any_number(text: str, before: str) -> None:
    """A detector that raised would keep a whole answer back; and the gate knows all that any of them finds."""
    everything = SCANNER
    data = fold(before + text)[0]
    found = [one for detector in (*NATIONAL, *SSNS) for one in detector.find(data)]
    everything.spans(before + text)
    assert not found or everything.may_hold(data)


SCANNER = Scanner(secrets=True, personal=PERSONAL)


@pytest.mark.parametrize(
    ("check", "valid"),
    [
        (national_checks.nl_bsn, "111222333"),
        (national_checks.pl_pesel, "44051401359"),
        (national_checks.de_steuer_id, "36574261809"),
        (national_checks.br_cpf, "52998224725"),
        (national_checks.es_dni, "12345678Z"),
        (national_checks.it_codice_fiscale, "RSSMRA85T10A562S"),
        (national_checks.fi_hetu, "131052308T"),
        (checksums.passes_verhoeff, "234123412346"),
        (checksums.passes_mod_11_10, "33392005961"),
    ],
)
def test_a_wrong_last_character_fails_the_check(check: object, valid: str) -> None:
    """The published example passes; with any other last character of its kind it does not."""
    assert callable(check)
    assert check(valid)
    others = "0123456789" if valid[-1].isdigit() else "ABCDEFGHJKLMNPQRSTVWXYZ"
    assert not [one for one in others if one != valid[-1] and check(valid[:-1] + one)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("password=hunter2!", "password"),
        ("Cookie: session=a8Fk29dLq0Zx77Pw", "secret"),
        ('{"api_key": "Zf3D0LXCM3EIMbgJpUNnkRtOfOueHznB"}', "secret"),
        ("my password is Tr0ub4dor&3", "password"),
        ("client_secret: 6da89121079f83b2eb6acccf8219ea98", "secret"),
        ("<consumerKey>6da89121079f83b2eb6acccf8219ea98</consumerKey>", "secret"),
        ("deepgram = 12e217f37eb173f0c8f1b7309f4207c7dca20186", "service_key"),
        ("MY_DATADOG: 6da89121079f83b2eb6acccf8219ea98", "service_key"),
        ("run --password VMware1! now", "password"),
        ("curl -u ada:5uC5Y4Mcvdl5 x", "password"),
        ("https://2yryChg4CDmo6lyRtjCEpOQuHegzKAF@example.org/", "url_password"),
        (
            "$6$qoE2letU$wWPRl.PVczjzeMVgjiA8LLy2nOyZbf7Amj3qLIL978o18gbMySdKZ7uepq9tmMQXxyTIrS12Pln.2Q/6Xscao0",
            "password_hash",
        ),
    ],
)
def test_what_a_name_says_is_a_secret_goes(text: str, kind: str) -> None:
    """Passwords, cookies and keys of no known provider, by the word before them."""
    assert [hit.kind for hit in find(text)] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "password: required", "the secret of good tea", "token = get_token(user)",
        "next_page_token=CAUQAA8Fk29dLq0Zx77Pw",
        "idempotency_key: 6da89121079f83b2eb6acccf8219ea98", "password = os.environ['X']",
        "api_key: ${API_KEY}",
        "session opened at 2026-07-28T12:00:00Z", "cookie: accepted", "PASSWORD_HASHERS = list",
        "token count: 1234567890123",
        "deepgram_request_id: 12e217f37eb173f0c8f1b7309f4207c7dca20186",
        "heroku slug commit 12e217f37eb173f0c8f1b7309f4207c7",
        "the cohere model: command-r-plus-words", "s.someMethodNameWithTwentyFo(",
        "A" * 400, "%41" * 90, "/AQAAAA" + "A" * 60, "AQAAAAEAAAABAAAAAgAAAAIAAAADAAAABAAAAAUAAAA",
    ],
)  # fmt: skip
def test_what_only_sounds_like_a_secret_stays(text: str) -> None:
    """Prose, code, placeholders, page tokens and row keys are no secrets."""
    assert find(text) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Call me on: 9597308432", ["9597308432"]),
        ("Tel: 263-993-2606x26129, then", ["263-993-2606x26129"]),
        ("Phone:\n467 3395\n", ["467 3395"]),
        ("(579)888-3058 fax\n+46 (0)8 928 571 38 mobile", ["(579)888-3058", "+46 (0)8 928 571 38"]),
        ("Desk: +1-903-140-4508x769", ["+1-903-140-4508x769"]),
        ("I left my phone there. Order 9597308432 came", []),
        ("call 9597308432", []),
        ("text " + "word " * 30 + "9597308432", []),
        ("2026-07-28 mobile", []),
    ],
)
def test_phones_stand_beside_a_word_for_them(text: str, numbers: list[str]) -> None:
    """A word before or after announces a number, with its extension; digits alone, and dates, are none."""
    assert [text[hit.start : hit.end] for hit in find(text) if hit.kind == "phone"] == numbers


def written(secret: str, way: str) -> str:
    """What the log says when a secret got into it."""
    out = io.StringIO()
    writer = configure_logging(TelemetrySettings(), redactor.text, out, clock=SystemClock())
    log = get_logger("test")
    try:
        if way == "message":
            logging.getLogger("uvicorn.error").warning("refused %s", secret)
        elif way == "exception":
            try:
                raise ValueError(f"no such thing: {secret}")
            except ValueError:
                log.exception("broke")
        else:
            fields: dict[str, dict[str, object]] = {
                "argument": {"detail": f"x {secret} y"},
                "name": {"detail": {secret: 1}},
                "nested": {"detail": [{"deep": (secret, {"deeper": secret})}]},
                "bytes": {"detail": secret.encode()},
            }
            log.warning("happened", **fields[way])
        writer.flush()
        return out.getvalue()
    finally:
        writer.close()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KEYS), st.sampled_from(["message", "argument", "name", "exception", "nested", "bytes"]))
def test_no_log_line_tells_a_planted_secret(secret: str, way: str) -> None:
    """Whichever way a secret gets into a log line, what is written does not hold it."""
    line = written(secret, way)
    assert secret not in line
    assert "event" in line or "Traceback" in line
