"""Waiting before another attempt."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.clock import ManualClock
from cenoby.models.backoff import delay, retry_after

NOW_NS = ManualClock().now_ns()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2020 00:00:30 GMT"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({}, None),
    ],
)
def test_what_a_provider_asks_is_understood(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, a date, milliseconds; a moment that has passed means now, nonsense means nothing."""
    assert retry_after(headers, now_ns=NOW_NS) == seconds


@given(st.text())
def test_no_header_breaks_the_reader(value: str) -> None:
    """Whatever the header holds, there is a number of seconds, or none."""
    found = retry_after({"retry-after": value}, now_ns=NOW_NS)
    assert found is None or found >= 0


@given(st.integers(min_value=1, max_value=50), st.none() | st.floats(min_value=0, max_value=100), st.integers())
def test_a_delay_is_bounded_and_never_less_than_asked(attempt: int, asked: float | None, seed: int) -> None:
    """At least half the doubling step, at most eight seconds of our own, never before the provider wants us back."""
    seconds = delay(attempt, asked, random.Random(seed))
    assert seconds >= (asked or 0)
    assert 0.25 <= seconds <= max(8.0, asked or 0)
