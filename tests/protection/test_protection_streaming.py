"""A text that goes out in pieces shows no more than the whole text would."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.kernel.settings import RedactionSettings
from cenoby.protection.redact import Redactor
from cenoby.protection.streaming import REACH, RedactedStream
from tests.protection.test_protection_redact import SAMPLES
from tests.protection.test_protection_redact import SECRETS as SECRET_SAMPLES

redactor = Redactor(RedactionSettings())
CONTEXTS = [
    "Authorization: Bearer abc.def-123456", "bearer \t0123456789abcdefghij", "https://bob:hunter2/x@host.example/x",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "my mobile is 0171 2345678", "SSN 536221234",
    "call me at 415-555-2671.", "-----BEGIN RSA PRIVATE KEY-----\nMIIE ow", "-----BEGIN CERTIFICATE-----\nMIIB",
    "card 4111 1111 1111 1111 123 12/29", "2026 4111 1111 1111 1111", "social security number: 536 22 1234",
]  # fmt: skip
FILLERS = [
    " ", "\n", "\t", "\u200b", "\u00a0", "é", "İ", "1", "12 34 ", "4", "-", "@", "+", "(", "://", ":", "DE89 ", "ssn ",
    "word " * 12, "phone ", "-----", "-----END ", "The answer is plain. ", "x" * 70, "7 " * 40, "\u200b" * 300,
]  # fmt: skip
PARTS = st.one_of(
    st.sampled_from([sample for _, sample in SAMPLES]),
    st.sampled_from(CONTEXTS),
    st.sampled_from(FILLERS),
    st.sampled_from(["word " * 60, "Words and 12 numbers. " * 20]),
)
TEXTS = st.lists(PARTS, max_size=24).map("".join)


def streamed(text: str, sizes: list[int]) -> list[str]:
    """What goes out when `text` comes in pieces of these sizes, over and over."""
    stream, out, position, turn = RedactedStream(redactor), [], 0, 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        out.append(stream.add(text[position : position + size]))
        position, turn = position + size, turn + 1
    return [*out, stream.end()]


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_any_split_adds_up_to_the_redaction_of_the_whole(text: str, sizes: list[int]) -> None:
    """However a text is cut into pieces, what goes out is what the whole text would have become."""
    assert "".join(streamed(text, sizes)) == redactor.text(text)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([sample for samples in SECRET_SAMPLES.values() for sample in samples]), min_size=1),
    st.lists(st.sampled_from(["word " * 60, "no. ", "\n", "Words and 12 numbers. " * 20]), min_size=1, max_size=9),
    st.integers(1, 12),
)
def test_no_planted_key_is_in_what_went_out(keys: list[str], between: list[str], size: int) -> None:
    """Pieces shorter than a key, as providers stream them: no key is in the pieces, nor in their sum."""
    text = "".join(f"{filler} {key} " for key, filler in zip(keys, between * len(keys), strict=False))
    out = "".join(streamed(text, [size]))
    assert not [key for key in keys if key in out]
    assert out == redactor.text(text)


def test_plain_text_goes_out_long_before_its_end() -> None:
    """Holding back is no more than the reach, a word and the step between two looks."""
    words = "word " * 400
    stream, heard = RedactedStream(redactor), 0
    for position in range(0, len(words), 5):
        heard += len(stream.add(words[position : position + 5]))
        assert heard >= position - REACH - 40
    assert heard + len(stream.end()) == len(words)


def test_a_private_key_is_held_from_its_first_line_on() -> None:
    """However long a key is, nothing of it goes out; what follows its last line does."""
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkq hkiG9w0B\n" * 200 + "-----END PRIVATE KEY-----"
    before, after = "before " * 60, " after" * 100
    out = streamed(before + key + after, [7])
    assert "".join(out) == before + "[redacted:private_key]" + after
    assert not any("MIIE" in piece for piece in out)
    half = streamed(before + key[:-40], [7])
    assert half[-1].endswith("[redacted:private_key]")
    assert "".join(half) == before + "[redacted:private_key]"


@pytest.mark.parametrize("text", ["", "short", "ghp_" + "a1" * 18])
def test_a_short_text_goes_out_at_the_end(text: str) -> None:
    """What is shorter than the reach is redacted once, as a whole."""
    assert streamed(text, [3])[-1] == redactor.text(text)
    assert not any(streamed(text, [3])[:-1])
