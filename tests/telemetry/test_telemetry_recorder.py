"""The flight recorder: bounded, cheap to fill, and whole when somebody looks."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.errors import Fault, Refused
from cenoby.telemetry.recorder import CallTrace, Recorder, expand


class _Broken(Fault):
    codes = {"test_recorder_broken": "for the test"}


class _Denied(Refused):
    codes = {"test_recorder_denied": "for the test"}


def trace(number: int = 1, correlation: str = "c", **changes: object) -> CallTrace:
    marks = [("start", 1_000), ("identify", 1_500), ("dispatch", 4_000), ("record", 5_000)]
    fields = {
        "invocation": f"i{number}",
        "tool": "mads.a.b",
        "agent": "ann",
        "status": "ok",
        "start_ns": 10_000 * number,
    }
    return CallTrace(correlation=correlation, marks=marks, **(fields | changes))  # type: ignore[arg-type]


def test_a_call_becomes_a_root_span_and_one_for_each_stage() -> None:
    """Stages follow each other without a gap and lie within the call."""
    root, *stages = expand(trace())
    assert (root.id, root.name, root.parent, root.duration_ns, root.start_ns) == ("i1", "mads.a.b", "", 4_000, 10_000)
    assert [(stage.name, stage.start_ns, stage.duration_ns) for stage in stages] == [
        ("identify", 10_000, 500),
        ("dispatch", 10_500, 2_500),
        ("record", 13_000, 1_000),
    ]
    assert {stage.parent for stage in stages} == {"i1"}


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_stages_add_up_to_the_call(steps: list[int]) -> None:
    """Whatever the durations, the stages' sum is the duration of the call."""
    marks, now = [("start", 7)], 7
    for position, step in enumerate(steps):
        now += step
        marks.append((f"s{position}", now))
    root, *stages = expand(CallTrace("c", "i", "t", "a", "ok", 5, marks))
    assert sum(stage.duration_ns for stage in stages) == root.duration_ns == sum(steps)
    assert all(one.start_ns + one.duration_ns == two.start_ns for one, two in pairwise(stages))


def test_the_ring_forgets_the_oldest() -> None:
    """Memory stays bounded: only the last calls are kept, and the limit on answers holds."""
    recorder = Recorder(3)
    for number in range(1, 6):
        recorder.record(trace(number))
    assert [kept.invocation for kept in recorder.traces()] == ["i5", "i4", "i3"]
    assert len(recorder) == 3
    assert len(recorder.spans(limit=5)) == 5


def test_spans_are_found_by_correlation_in_order_of_time() -> None:
    """A reader sees exactly the work of one correlation, parents before their children."""
    recorder = Recorder(10)
    recorder.record(trace(2, "mine"))
    recorder.record(trace(1, "mine"))
    recorder.record(trace(3, "other"))
    found = recorder.spans("mine")
    assert {span.correlation for span in found} == {"mine"}
    assert [span.id for span in found if not span.parent] == ["i1", "i2"]
    assert found[0].id == "i1"
    assert recorder.spans("nobody's") == []


def test_the_sink_hears_of_each_finished_call() -> None:
    """An exporter sees what the ring sees."""
    heard: list[CallTrace] = []
    recorder = Recorder(1, heard.append)
    recorder.record(trace(1))
    recorder.record(trace(2))
    assert [one.invocation for one in heard] == ["i1", "i2"]


def test_only_the_last_stage_of_a_failed_call_bears_its_status() -> None:
    """A refusal shows at the place where the call ended."""
    _, *stages = expand(trace(status="refused"))
    assert [stage.status for stage in stages] == ["ok", "ok", "refused"]
