"""Counters, gauges and call durations, in Prometheus' text format at `/metrics`.

Counting is a dictionary look-up and an addition; prometheus_client is imported and its families are built only when
somebody scrapes. Every label set is bounded: what comes after the limit is counted under `other`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper bounds of the call duration buckets, seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of `Metrics.render()`."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_OTHER = "other"


class Metrics:
    """The figures of one process.

    Args:
        series: most label sets of one metric.
    """

    def __init__(self, series: int = 1000) -> None:
        self._limit = series
        # By (tool, status): the MAD, [calls, seconds], and the durations by bucket, which all tools of a MAD share: a
        # histogram of each of 1,000 tools would make every scrape 1.4 MB.
        self._calls: dict[tuple[str, str], tuple[str, list[float], list[int]]] = {}
        self._durations: dict[tuple[str, str], list[int]] = {}
        self._events: dict[str, dict[tuple[str, ...], float]] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._watched: dict[str, tuple[str, str, Callable[[], float | Mapping[str, float]]]] = {}

    def call(self, tool: str, mad: str, status: str, seconds: float) -> None:
        """Count one finished call; an empty `tool` is one that nobody knows."""
        try:
            _, series, buckets = self._calls[tool, status]
        except KeyError:
            _, series, buckets = self._new_calls(tool, mad, status)
        series[0] += 1
        series[1] += seconds
        buckets[bisect_left(BUCKETS, seconds)] += 1

    def event(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to the counter `cenoby_<name>_total`. One name always has the same labels, and values from a small set.

        Raises:
            ValueError: the name is no metric name, or its labels changed.
        """
        series = self._family(self._events, name, labels)
        key = self._key(series, tuple(labels.values()))
        series[key] = series.get(key, 0) + amount

    def watch(
        self, name: str, meaning: str, read: Callable[[], float | Mapping[str, float]], *, label: str = "name"
    ) -> None:
        """Publish as `cenoby_<name>` what `read` returns at each scrape: a number, or numbers by the value of `label`.

        Raises:
            ValueError: the name is no metric name.
        """
        self._watched[_checked(name)] = (meaning, label, read)

    def calls(self) -> dict[str, int]:
        """Calls counted so far, by status."""
        found: dict[str, int] = {}
        for (_, status), (_, series, _) in self._calls.items():
            found[status] = found.get(status, 0) + int(series[0])
        return found

    def render(self) -> bytes:
        """Everything in Prometheus' text format (`CONTENT_TYPE`), with the process's own memory and processor time."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The families of this moment; prometheus_client calls this at each scrape."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        yield from self._collect_calls()
        for name, series in list(self._events.items()):
            counter = CounterMetricFamily(f"cenoby_{name}", f"Count of {_words(name)}.", labels=self._labels[name])
            for key, value in list(series.items()):
                counter.add_metric(key, value)
            yield counter
        for name, (meaning, label, read) in self._watched.items():
            value = read()
            if isinstance(value, Mapping):
                gauge = GaugeMetricFamily(f"cenoby_{name}", meaning, labels=[label])
                for key, number in value.items():
                    gauge.add_metric([key], number)
                yield gauge
            else:
                yield GaugeMetricFamily(f"cenoby_{name}", meaning, value=value)

    def _collect_calls(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

        names = ("tool", "mad", "status")
        calls = CounterMetricFamily("cenoby_calls", "Finished calls.", labels=names)
        seconds = CounterMetricFamily("cenoby_tool_seconds", "Time of finished calls, in all.", labels=names)
        sums: dict[tuple[str, str], float] = {}
        for (tool, status), (mad, series, _) in list(self._calls.items()):
            calls.add_metric((tool, mad, status), series[0])
            seconds.add_metric((tool, mad, status), series[1])
            sums[mad, status] = sums.get((mad, status), 0) + series[1]
        yield calls
        yield seconds
        durations = HistogramMetricFamily(
            "cenoby_call_seconds", "Duration of calls through the whole pipeline.", labels=("mad", "status")
        )
        for labels, buckets in list(self._durations.items()):
            durations.add_metric(labels, _cumulated(buckets), sums.get(labels, 0))
        yield durations

    @cached_property
    def _registry(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)  # pyright: ignore[reportArgumentType]
        ProcessCollector(registry=registry)
        return registry

    def _new_calls(self, tool: str, mad: str, status: str) -> tuple[str, list[float], list[int]]:
        if len(self._calls) >= self._limit:
            tool, mad = _OTHER, _OTHER
        buckets = self._durations.setdefault((mad, status), [0] * (len(BUCKETS) + 1))
        return self._calls.setdefault((tool, status), (mad, [0.0, 0.0], buckets))

    def _family(
        self, kind: dict[str, dict[tuple[str, ...], float]], name: str, labels: Mapping[str, str]
    ) -> dict[tuple[str, ...], float]:
        names = tuple(labels)
        if self._labels.setdefault(name, names) != names:
            raise ValueError(f"metric {name!r} has the labels {self._labels[name]}, not {names}")
        series = kind.get(name)
        if series is None:
            series = kind[_checked(name)] = {}
        return series

    def _key(self, series: Mapping[tuple[str, ...], float], key: tuple[str, ...]) -> tuple[str, ...]:
        return key if key in series or len(series) < self._limit else (_OTHER,) * len(key)


def _cumulated(buckets: list[int]) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
    return list(zip(bounds, accumulate(buckets), strict=True))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a metric name: lower-case words joined by underscores")
    return name


def _words(name: str) -> str:
    return name.replace("_", " ")
