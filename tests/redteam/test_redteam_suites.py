"""A short version of every suite of the red team but AgentDojo's, against one colony, and that each can fail."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from redteam import approvals, hidden, logs, paths, poisoned, secrecy, smuggling, ssrf, tenants, tokens
from redteam.house import House, opened
from redteam.report import Report, Room
from redteam.secrecy import holds

# What is drawn differs from run to run by this alone.
SEED = 4
SHORT: dict[str, tuple[Callable[[House, Room], Awaitable[Report]], int]] = {
    "ssrf": (ssrf.attack, 60),
    "paths": (paths.attack, 40),
    "smuggling": (smuggling.attack, 30),
    "tokens": (tokens.attack, 40),
    "tenants": (tenants.attack, 40),
    "approvals": (approvals.attack, 3),
    "secrecy": (secrecy.attack, 60),
    "logs": (logs.attack, 30),
    "hidden": (hidden.attack, 40),
}


async def test_a_short_version_of_every_suite_is_stopped(tmp_path: Path) -> None:
    """Every attack that is drawn is stopped, and every control passes."""
    room = Room(tmp_path, 600.0, random.Random(SEED))
    told: dict[str, str] = {}
    async with opened(tmp_path) as house:
        for name, (attack, most) in SHORT.items():
            report = await attack(house, replace(room, most=most))
            if not report.holds:
                told[name] = report.lines(name)
            assert report.tried >= min(most, 3), name
    assert told == {}


async def test_poisoned_tools_are_stopped(tmp_path: Path) -> None:
    """A short version of the suite that brings a server of its own: every attack is stopped, every control passes."""
    report = await poisoned.play(Room(tmp_path, 600.0, random.Random(SEED), most=6))
    assert report.holds, report.lines("poisoned")
    assert report.tried > 30


async def test_what_gets_through_is_told(tmp_path: Path) -> None:
    """With its rules off the colony lets paths through: the suite counts them, and its control still passes."""
    room = Room(tmp_path, 600.0, random.Random(SEED), most=10)
    async with opened(tmp_path, rules={"sets": {"paths": "disabled", "leaks": "disabled"}}) as house:
        report = await paths.attack(house, room)
    assert report.tried == 10
    assert report.stopped < 10
    assert report.slipped
    assert not report.holds
    assert not report.problem


async def test_an_innocent_call_that_is_refused_is_a_problem(tmp_path: Path) -> None:
    """A colony that refuses everything stops every attack, and proves nothing."""
    room = Room(tmp_path, 600.0, random.Random(SEED), most=3)
    async with opened(tmp_path) as house:
        house.tokens["ada"] = "revoked"
        report = await paths.attack(house, room)
    assert report.stopped == report.tried == 3
    assert "was refused" in report.problem
    assert not report.holds


def test_a_secret_is_found_in_what_a_thief_would_decode() -> None:
    """The suite looks through the encodings that it hides secrets in."""
    for name, encode in secrecy.ENCODINGS.items():
        assert holds(f"x {encode('ghp_a1B2c3D4e5F6a1B2c3D4')} y", "a1B2c3D4e5F6a1B2"), name
    assert not holds("nothing of that sort", "a1B2c3D4e5F6a1B2")


def test_a_forged_line_is_seen() -> None:
    """The log is read as lines of JSON, none of which is the attacker's or steers a terminal."""
    good = '{"event":"x","logger":"a"}\n'
    assert logs.problems(good * 2) == []
    for bad in ("all is well\n", '{"logger":"forged"}\n', '{"a":1,"a":2}\n', '{"a":"\x9b2J"}\n', '{"a":"\u202ex"}\n'):
        assert len(logs.problems(good + bad)) == 1, bad
