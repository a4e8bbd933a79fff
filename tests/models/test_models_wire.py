"""The chat completions protocol as real servers speak it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.settings import ModelSettings
from cenoby.models.catalogue import Catalogue
from cenoby.models.token_counts import TokenCounter
from cenoby.models.wire import Dialect, Reading, Usage, error_of, other_dialect, request_body

KEYS = st.sampled_from(
    ["choices", "message", "delta", "content", "usage", "prompt_tokens", "completion_tokens", "error", "text", "x"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_no_json_value_breaks_the_reader(message: Any) -> None:
    """Whatever a server sends, reading it raises nothing and yields plain text and plain counts."""
    reading = Reading()
    assert isinstance(reading.take(message), str)
    assert reading.usage is None or reading.usage.input_tokens > 0


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"choices": [{"message": {"content": "a"}}]}, "a"),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "x"}, {"text": "b"}]}}]}, "ab"),
        ({"choices": [{"message": {"content": None, "refusal": "no"}}]}, "no"),
        ({"choices": [{"delta": {"content": "a"}, "message": None}]}, "a"),
        ({"choices": [{"text": "a"}]}, "a"),
        ({"choices": []}, ""),
        ({"choices": None, "usage": {}}, ""),
    ],
)
def test_text_is_found_where_servers_put_it(message: Any, text: str) -> None:
    """Plain strings, lists of parts, refusals, deltas, and the old completions shape."""
    assert Reading().take(message) == text


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(3, 4)),
        ({"input_tokens": 3, "output_tokens": 4.0}, Usage(3, 4)),
        ({"prompt_tokens": 3, "completion_tokens": 0}, Usage(3, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": -3, "completion_tokens": 4}, None),
        ({"prompt_tokens": True, "completion_tokens": 4}, None),
        ({"prompt_tokens": "3", "completion_tokens": 4}, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 4}, None),
        ({"prompt_tokens": 3.5, "completion_tokens": 4}, None),
        ({"prompt_tokens": 3}, None),
        (None, None),
    ],
)
def test_only_a_believable_count_is_a_report(usage: Any, found: Usage | None) -> None:
    """What is missing, negative, absurd or zero is no report, so that the call is charged its bound."""
    reading = Reading()
    reading.take({"choices": [], "usage": usage})
    assert reading.usage == found


def test_the_last_report_of_a_stream_counts() -> None:
    """A running total with every chunk is charged at its end, and `null` in between changes nothing."""
    reading = Reading()
    for output in (1, 2, 3):
        reading.take({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": output}})
    reading.take({"choices": [], "usage": None})
    assert reading.usage == Usage(9, 3)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"message":"too long","code":"context_length_exceeded"}}', "too long (context_length_exceeded)"),
        (b'{"error":"plain"}', "plain"),
        (b'{"detail":[{"loc":["body"],"msg":"bad"}]}', '[{"loc":["body"],"msg":"bad"}]'),
        (b'{"other":1}', '{"other":1}'),
        (b"<html>502</html>", "<html>502</html>"),
        (b'{"broken', '{"broken'),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_the_provider_is_quoted_whatever_it_says(body: bytes, words: str) -> None:
    """JSON in the usual shapes, other JSON, HTML, and bytes that are no text."""
    assert error_of(body) == words


def test_bodies_follow_the_dialect() -> None:
    """Two things differ between servers: the name of the cap, and whether they know `stream_options`."""
    settings = ModelSettings(
        name="a", model="real", url="https://x/v1", input_usd_per_million=0, output_usd_per_million=0
    )
    request = Catalogue([settings], TokenCounter()).request("hi", max_output_tokens=5, temperature=0.5)
    assert json.loads(request_body(request, Dialect(), stream=True)) == {
        "model": "real",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 5,
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    strange = Dialect(limit_field="max_completion_tokens", stream_options=False)
    body = json.loads(request_body(request, strange, stream=True))
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body
    assert "stream_options" not in body


def test_dialects_are_learnt_from_complaints_and_end() -> None:
    """Each complaint is followed once, so that no server can make a call go in circles."""
    plain = Dialect()
    renamed = other_dialect(plain, "Unsupported parameter: use 'max_completion_tokens' instead.")
    assert renamed == Dialect(limit_field="max_completion_tokens")
    assert other_dialect(renamed, "Unsupported parameter: use 'max_completion_tokens' instead.") is None
    silent = other_dialect(renamed, "Unknown field stream_options")
    assert silent == Dialect(limit_field="max_completion_tokens", stream_options=False)
    assert other_dialect(silent, "stream_options max_completion_tokens") is None
    assert other_dialect(plain, "bad temperature") is None
