"""`./dev redteam` counts what it says: totals, the figures of a suite, and the exit code."""

from __future__ import annotations

import asyncio
import json

import pytest

from redteam import __main__ as command
from redteam.report import Report, Room, Suite


@pytest.fixture
def suites(monkeypatch: pytest.MonkeyPatch) -> dict[str, Suite]:
    """Suites of the test's own in the place of the shipped ones."""
    made: dict[str, Suite] = {}
    monkeypatch.setattr(command, "SUITES", made)
    monkeypatch.setattr(command, "load", made.__getitem__)
    return made


def suite(report: Report) -> Suite:
    async def play(room: Room) -> Report:
        assert room.folder.is_dir()
        return report

    return play


def test_totals_figures_and_success(suites: dict[str, Suite], capsys: pytest.CaptureFixture[str]) -> None:
    """One object with the totals, every figure at the top, and each suite apart."""
    suites["one"] = suite(Report(tried=4, stopped=4, figures={"share": 1.0}))
    suites["two"] = suite(Report(tried=10, stopped=9, slipped=["a spelling"], tolerated=0.1))
    assert command.main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["tried"], printed["stopped"], printed["share"]) == (14, 13, 1.0)
    assert [part["name"] for part in printed["suites"]] == ["one", "two"]
    assert printed["suites"][1]["slipped"] == ["a spelling"]


@pytest.mark.parametrize(
    "report",
    [Report(tried=2, stopped=1, slipped=["it"]), Report(), Report(tried=1, stopped=1, problem="it broke")],
)
def test_what_slips_or_breaks_fails(report: Report, suites: dict[str, Suite]) -> None:
    """An attack that gets through, a suite that tried nothing, and one that broke all end with code 1."""
    suites["one"] = suite(report)
    assert command.main(["--json"]) == 1


def test_a_whole_run_has_no_end_of_its_own(suites: dict[str, Suite], capsys: pytest.CaptureFixture[str]) -> None:
    """`--whole` draws every attack, and why a suite broke is said also where many things broke at once."""

    async def all_of_it(room: Room) -> Report:
        return Report(tried=len([*room.draw(range(500))]), stopped=500)

    async def broken(room: Room) -> Report:
        raise ExceptionGroup("many", [ExceptionGroup("inner", [ValueError("the reason")])])

    suites["one"] = all_of_it
    assert command.main(["--whole", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tried"] == 500
    suites["two"] = broken
    assert command.main(["--json"]) == 1
    assert "ValueError: the reason" in capsys.readouterr().out


def test_a_suite_is_held_to_its_time(
    suites: dict[str, Suite], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suite that does not end is ended, and the next one is played."""

    async def endless(room: Room) -> Report:
        await asyncio.Event().wait()
        return Report(tried=1, stopped=1)

    monkeypatch.setattr(command, "_GRACE", 0.0)
    suites["endless"] = endless
    suites["quick"] = suite(Report(tried=1, stopped=1))
    assert command.main(["--seconds", "0.05"]) == 1
    out = capsys.readouterr().out
    assert "not over" in out
    assert "quick" in out
