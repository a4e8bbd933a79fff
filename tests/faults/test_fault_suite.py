"""`./dev faults` measures what it says: it counts what is lost and doubled, and its exit code says so."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from faults import __main__ as suite
from faults.load import Heard
from faults.outcome import Outcome
from faults.stage import Room, judged


def heard(*acknowledged: int, surplus: int = 0) -> Heard:
    return Heard(offered=5, acknowledged=dict.fromkeys(acknowledged, 0.1), surplus=surplus)


def test_what_is_lost_and_doubled_is_counted() -> None:
    """Acknowledged and not found is lost; found twice, or answered twice, is doubled, unless it may be done twice."""
    found = Counter({1: 1, 2: 2, 3: 2})
    outcome = judged(heard(1, 2, 3, 4, surplus=1), found, "", may_twice=lambda number: number == 3)
    assert (outcome.offered, outcome.acknowledged, outcome.lost, outcome.duplicated) == (5, 4, 1, 2)
    assert not outcome.holds
    assert judged(heard(1), Counter({1: 1, 2: 1}), "").holds
    assert not judged(heard(1), Counter({1: 1}), "a chain does not verify").holds


def test_the_longest_outage_reaches_to_the_ends_of_the_load() -> None:
    """Silence before the first result and after the last one counts as well as that between two."""
    assert Heard(sending=[0.0, 10.0], answered_at=[1.0, 3.0, 4.0]).outage == 6.0
    assert Heard(sending=[0.0, 5.0], answered_at=[3.0, 4.0, 6.0]).outage == 3.0


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (1, 1)])
def test_one_line_a_case_and_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    needs: Callable[[str], str],
    lost: int,
    code: int,
) -> None:
    """A case that broke is shown beside the others; the exit code is 1 where anything was lost."""
    needs("initdb")

    async def case(room: Room) -> Outcome:
        assert room.postgres.new_url().startswith("postgresql://")
        return Outcome(offered=3, acknowledged=2, lost=lost)

    cases: dict[str, Callable[[Room], Awaitable[Outcome]]] = {"one": case}
    monkeypatch.setattr(suite, "CASES", cases)
    assert suite.main(["--json"]) == code
    (told,) = json.loads(capsys.readouterr().out)["cases"]
    assert (told["name"], told["offered"], told["acknowledged"], told["lost"]) == ("one", 3, 2, lost)


def test_a_case_that_breaks_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], needs: Callable[[str], str]
) -> None:
    """It says why, and does not end the suite."""
    needs("initdb")

    async def breaks(room: Room) -> Outcome:
        raise RuntimeError("no colony")

    async def works(room: Room) -> Outcome:
        return Outcome(offered=1, acknowledged=1)

    monkeypatch.setattr(suite, "CASES", {"breaks": breaks, "works": works})
    assert suite.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAILED: RuntimeError: no colony" in lines[1]
    assert lines[2].split()[:3] == ["works", "1", "1"]


@pytest.mark.slow
def test_a_full_disk_is_played(capsys: pytest.CaptureFixture[str], needs: Callable[[str], str]) -> None:
    """A real case from end to end: posts are refused while the disk is full, and none that was acknowledged is lost."""
    needs("initdb")
    assert suite.main(["--only", "full-disk", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["cases"]
    assert told["refused"]["store_failed"] > 0
    assert told["acknowledged"] == told["offered"] - sum(told["refused"].values())
