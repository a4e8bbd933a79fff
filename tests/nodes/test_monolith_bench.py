"""`./dev bench monolith` measures what it says: real colonies do its work in each placement, and its sums are right."""

from __future__ import annotations

import pytest

from bench import monolith
from tests.conftest import needs_service

FIGURES = {"start_s", "calls_per_s_1", "p50_ms_1", "p99_ms_1", "calls_per_s_32", "p50_ms_32", "p99_ms_32", "cpu_us_32"}


@pytest.mark.slow
def test_each_placement_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process and one for each MAD answer every call of the mix and of the work, and each has its figures."""
    needs_service("nats")
    monkeypatch.setenv("CENOBY_STORE", monolith.POSTGRES.replace("127.0.0.1:5432", needs_service("postgres")))
    monkeypatch.setattr(monolith, "BUSES", {name: monolith.BUSES[name] for name in ("one", "nats")})
    monkeypatch.setattr(monolith, "ROUNDS", 1)
    monkeypatch.setattr(monolith, "SECONDS", 0.3)
    monkeypatch.setattr(monolith, "COSTS_MS", (0,))
    found, names = monolith.measured()
    assert names == ["one", "nats", "one_sqlite"]
    for name in names:
        worked = {"work_0_ms_calls_per_s", "work_0_ms_cpu_us"}
        for key in FIGURES | worked | {"beside_p50_ms", "beside_p99_ms"}:
            value = found[f"{name}_{key}"]
            assert value is not None, key
            assert value > 0, key
    assert "nats_break_even_ms" in found
    assert monolith.table(found, names).count("\n") >= len(FIGURES)


def test_the_break_even_lies_where_the_ratio_crosses_one() -> None:
    """On the line between two costs, at the first cost where it pays at once, and nowhere where it never does."""
    assert monolith.break_even_ms((0, 2, 4), (0.5, 0.75, 1.25)) == 3
    assert monolith.break_even_ms((0, 2), (1.5, 2.0)) == 0
    assert monolith.break_even_ms((0, 2), (0.5, 0.9)) is None


def test_ratios_are_medians_of_the_rounds_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round in which the whole machine was slow changes no ratio, and the best case is counted by processor time."""
    monkeypatch.setattr(monolith, "COSTS_MS", (0, 4))

    def seen(calls: float, cpu: float, worked: float) -> monolith.Figures:
        return {"work_0_ms_calls_per_s": calls, "work_0_ms_cpu_us": cpu, "work_4_ms_calls_per_s": worked}

    found = monolith.report(
        {
            "one": [seen(100, 300, 10), seen(10, 300, 1), seen(90, 300, 9)],
            "nats": [seen(50, 1000, 15), seen(5, 1000, 1.5), seen(45, 1000, 13.5)],
        }
    )
    assert found["nats_work_0_ms_calls_per_s_to_one"] == 0.5
    assert found["nats_break_even_ms"] == 2
    assert found["nats_break_even_at_best_ms"] == pytest.approx(0.4)
