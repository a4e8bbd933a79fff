"""What is refused, removed and kept on the way in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.codec import canonical_json
from cenoby.protection.sanitise import InputRefused, sanitise


def clean(text: str) -> str:
    return sanitise({"text": text}, max_bytes=10_000_000, max_depth=8)[0]["text"]


def refused(arguments: dict[str, Any], *, max_bytes: int = 10_000, max_depth: int = 8) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        sanitise(arguments, max_bytes=max_bytes, max_depth=max_depth)
    return caught.value


def test_clean_arguments_come_back_as_the_same_object() -> None:
    """Nothing is copied where nothing is wrong."""
    arguments = {
        "text": 'line\n\ttabbed\r\n"quoted" C:\\Users\\bob \\u0000',
        "n": [1, -2.5, None, True],
        "naïve": "漢字 🙂",
    }
    assert sanitise(arguments, max_bytes=1000, max_depth=8) == (arguments, 0)
    assert sanitise(arguments, max_bytes=1000, max_depth=8)[0] is arguments


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x08", "\x0b", "\x0c", "\x1b", "\x1f", "\x7f", "\x80", "\x9b"])
def test_control_characters_are_refused_with_their_place(character: str) -> None:
    """NUL, escape and their kin never reach a tool, in values or keys, and the message says where they are."""
    error = refused({"outer": [{"query": f"ab{character}"}]})
    assert error.code == "input_control_character"
    assert error.message.startswith(f"arguments.outer[0].query holds the control character U+{ord(character):04X}")
    assert "position 2" in error.message
    assert refused({f"a{character}": 1}).code == "input_control_character"
    assert refused({"é": f"é{character}"}).code == "input_control_character"


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc00\ud800"])
def test_lone_surrogates_are_refused(text: str) -> None:
    """Half a surrogate pair, which JSON can spell and UTF-8 cannot, is an input error and not a crash."""
    assert refused({"list": ["fine", text]}).code == "input_not_unicode"
    assert refused({text: 1}).code == "input_not_unicode"


def test_size_is_that_of_compact_json() -> None:
    """The limit is in bytes of UTF-8 JSON, exact to the byte."""
    arguments = {"text": "é" * 10}
    size = len(canonical_json(arguments))
    assert sanitise(arguments, max_bytes=size, max_depth=2) == (arguments, 0)
    error = refused(arguments, max_bytes=size - 1)
    assert (error.code, str(size) in error.message) == ("input_too_large", True)


def test_depth_is_counted_in_levels() -> None:
    """Breadth does not count as depth; the deepest allowed level passes and the next does not."""
    nested: dict[str, Any] = {"a": {"b": [{}]}}
    assert sanitise(nested, max_bytes=1000, max_depth=4)[0] is nested
    assert refused(nested, max_depth=3).code == "input_too_deep"
    wide: dict[str, Any] = {"items": [[] for _ in range(100)]}
    assert sanitise(wide, max_bytes=1000, max_depth=3)[0] is wide


def test_ten_thousand_levels_are_refused_without_recursion() -> None:
    """JSON nested beyond the interpreter's stack is too deep, not a RecursionError; with a bad text inside as well."""
    for inmost in ([], ["\ud800"]):
        nested: list[Any] = inmost
        for _ in range(10_000):
            nested = [nested]
        assert refused({"a": nested}, max_bytes=1_000_000).code == "input_too_deep"


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400])
def test_integers_beyond_64_bits_are_refused(number: int) -> None:
    """What the journal could not store is refused at the door."""
    assert refused({"n": [number]}).code == "input_number_too_large"
    assert sanitise({"n": [2**64 - 1, -(2**63)]}, max_bytes=1000, max_depth=3)[1] == 0


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("pay\U000e0070\U000e0061\U000e0079", "pay"),  # tags
        ("abc\u202egpj.exe", "abcgpj.exe"),  # right-to-left override
        ("\u2066left\u2069", "left"),  # isolates
        ("pass\u200bword", "password"),  # zero-width space
        ("pass\u200dword", "password"),  # a joiner that joins nothing
        ("\ufeffstart", "start"),
        ("soft\u00adhyphen", "softhyphen"),
        ("a\u3164b\u115f", "ab"),  # Hangul fillers
        ("A\ufe01\ufe02\ufe03", "A"),  # bytes hidden in variation selectors
        ("🙂\U000e0100\U000e0101", "🙂"),
        ("🙂\ufe0f\ufe0f", "🙂\ufe0f"),
        ("é\u200d\u200dé", "éé"),
        ("🏴\U000e0067\U000e0062\U000e0078\U000e007f", "🏴"),  # a flag that is none
    ],
)
def test_hidden_characters_are_removed(dirty: str, expected: str) -> None:
    """What a person cannot see, a model does not get; the number of removed characters is told."""
    cleaned, removed = sanitise({"text": dirty}, max_bytes=1000, max_depth=2)
    assert cleaned == {"text": expected}
    assert removed == len(dirty) - len(expected)


@pytest.mark.parametrize(
    "text",
    [
        "👨\u200d👩\u200d👧",
        "❤\ufe0f\u200d🔥",
        "1\ufe0f\u20e3",
        "☎\ufe0e",
        "می\u200cخواهم",
        "क्\u200dष",
        "葛\U000e0100城市",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "e\u0301 decomposed stays",
    ],
)
def test_writing_that_needs_invisible_characters_is_kept(text: str) -> None:
    """Emoji sequences, Persian and Indic joiners, ideographic variants and the three tag flags survive."""
    assert clean(text) == text


def test_keys_are_cleaned_and_may_not_collide() -> None:
    """A key cannot hide behind its visible twin."""
    assert sanitise({"na\u200bme": 1}, max_bytes=100, max_depth=2) == ({"name": 1}, 1)
    assert refused({"name": 1, "na\u200bme": 2}).code == "input_keys_collide"


def test_the_arguments_given_are_never_changed() -> None:
    """Cleaning works on a copy."""
    arguments: dict[str, Any] = {"a": [{"b": "x\u200by"}]}
    cleaned, _ = sanitise(arguments, max_bytes=100, max_depth=4)
    assert (arguments["a"][0]["b"], cleaned["a"][0]["b"]) == ("x\u200by", "xy")


hidden = st.sampled_from("\u200b\u200c\u200d\ufe0f\ufe00\u202e\U000e0067\U000e0100\U0001f3f4葛é🙂a1 \n")


@given(st.text(hidden))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    """What was kept has its reason in what was kept beside it."""
    once = clean(text)
    assert clean(once) == once


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Mn", "Lo", "Cn"])))
def test_visible_text_is_untouched(text: str) -> None:
    """No letter, digit, sign or emoji is ever lost."""
    assert clean(text) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_anything_is_cleaned_or_refused(arguments: dict[str, Any]) -> None:
    """Whatever JSON can say: a clean value that encodes, or an InputRefused, and nothing else."""
    try:
        cleaned, _ = sanitise(arguments, max_bytes=10_000, max_depth=6)
    except InputRefused:
        return
    assert b"\\u0000" not in canonical_json(cleaned)
    assert sanitise(cleaned, max_bytes=10_000, max_depth=6) == (cleaned, 0)


@pytest.mark.parametrize(
    "unit", ["\u200d", "é\u200d", "\U0001f3f4\U000e0067\U000e0062", "\U000e0041", "葛\U000e0100", "❤\ufe0f\u200d"]
)
def test_a_megabyte_of_hidden_characters_is_cleaned_in_linear_time(unit: str) -> None:
    """A pattern that backtracks would need hours for this; a linear one needs a blink."""
    text = unit * (1_000_000 // len(unit))
    assert len(clean(text)) <= len(text)
