"""Metrics: right sums, bounded label sets, and a text that Prometheus' own parser reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from cenoby.telemetry.metrics import BUCKETS, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, frozenset(labels.items())]


def test_calls_are_counted_by_tool_and_timed_by_mad() -> None:
    """Counts and seconds are kept per tool, the histogram per MAD."""
    metrics = Metrics()
    metrics.call("mads.marco.fetch", "marco", "ok", 0.003)
    metrics.call("mads.marco.links", "marco", "ok", 0.3)
    metrics.call("mads.marco.fetch", "marco", "refused", 0.0001)
    assert value(metrics, "cenoby_calls_total", tool="mads.marco.fetch", mad="marco", status="ok") == 1
    assert value(metrics, "cenoby_tool_seconds_total", tool="mads.marco.links", mad="marco", status="ok") == 0.3
    assert value(metrics, "cenoby_call_seconds_bucket", mad="marco", status="ok", le="0.005") == 1
    assert value(metrics, "cenoby_call_seconds_bucket", mad="marco", status="ok", le="+Inf") == 2
    assert value(metrics, "cenoby_call_seconds_sum", mad="marco", status="ok") == pytest.approx(0.303)
    assert metrics.calls() == {"ok": 2, "refused": 1}


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=30))
def test_buckets_hold_every_call_once(durations: list[float]) -> None:
    """Each bucket counts the calls that took at most its bound, as Prometheus defines it."""
    metrics = Metrics()
    for seconds in durations:
        metrics.call("mads.a.b", "a", "ok", seconds)
    if durations:
        for bound in BUCKETS:
            expected = sum(seconds <= bound for seconds in durations)
            assert value(metrics, "cenoby_call_seconds_bucket", mad="a", status="ok", le=str(bound)) == expected
        assert value(metrics, "cenoby_call_seconds_count", mad="a", status="ok") == len(durations)


def test_label_sets_are_bounded() -> None:
    """What comes after the limit is counted under `other`; nothing is lost and nothing grows."""
    metrics = Metrics(series=3)
    for number in range(10):
        metrics.call(f"mads.a.t{number}", "a", "ok", 0.1)
        metrics.event("egress_refusals", host=f"h{number}")
    assert value(metrics, "cenoby_calls_total", tool="other", mad="other", status="ok") == 7
    assert value(metrics, "cenoby_egress_refusals_total", host="other") == 7
    assert sum(metrics.calls().values()) == 10


def test_events_and_watched_values_are_published() -> None:
    """Counters add up, and watched values are asked for at each scrape."""
    metrics = Metrics()
    metrics.event("redactions", 3, kind="email")
    metrics.event("redactions", kind="email")
    waiting = {"rogers": 1.0}
    metrics.watch("mailbox_waiting", "Calls waiting.", lambda: waiting, label="mad")
    metrics.watch("uptime_seconds", "Since start.", lambda: 7.5)
    assert value(metrics, "cenoby_redactions_total", kind="email") == 4
    assert value(metrics, "cenoby_mailbox_waiting", mad="rogers") == 1
    waiting["rogers"] = 4
    assert value(metrics, "cenoby_mailbox_waiting", mad="rogers") == 4
    assert value(metrics, "cenoby_uptime_seconds") == 7.5
    assert value(metrics, "process_resident_memory_bytes") > 1_000_000


def test_label_values_cannot_break_the_text() -> None:
    """A label value with quotes and newlines stays one value."""
    metrics = Metrics()
    metrics.event("odd", text='a"b\\c\nd{} 5')
    assert value(metrics, "cenoby_odd_total", text='a"b\\c\nd{} 5') == 1


def test_a_metric_keeps_its_labels_and_its_name_is_checked() -> None:
    """Mistakes of the programmer show at once and not at the first scrape."""
    metrics = Metrics()
    metrics.event("one", kind="a")
    with pytest.raises(ValueError, match="labels"):
        metrics.event("one", sort="a")
    for name in ("Bad", "a-b", ""):
        with pytest.raises(ValueError, match="metric name"):
            metrics.event(name)
        with pytest.raises(ValueError, match="metric name"):
            metrics.watch(name, "x", lambda: 0)
