"""What a suite of attacks is given, and how it came out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

HEADER = f"{'suite':<16}{'tried':>8}{'stopped':>9}  "
_SHOWN = 20
T = TypeVar("T")


@dataclass(frozen=True)
class Room:
    """Where a suite plays.

    Attributes:
        folder: an empty directory of its own.
        seconds: how long it may take; it stops by itself before and reports what it tried until then.
        chance: where it draws from, so that a run can be repeated.
        most: attacks of one kind that are drawn at most; all, within the time, where None.
    """

    folder: Path
    seconds: float
    chance: Random
    most: int | None = None

    def draw(self, attacks: Iterable[T]) -> Iterator[T]:
        """The attacks in an order that chance decides, until `most` were drawn or the time is over."""
        drawn = list(attacks)
        self.chance.shuffle(drawn)
        end = time.monotonic() + self.seconds
        for attack in drawn[: self.most]:
            if time.monotonic() > end:
                return
            yield attack


@dataclass
class Report:
    """How a suite came out.

    Attributes:
        tried: attacks.
        stopped: of these, refused or asked for.
        slipped: what got through, in words, each kind once.
        figures: further numbers of `--json`, by name.
        notes: lines for a person.
        problem: what is wrong, beside what slipped; empty where nothing is.
        tolerated: share of the attacks that may get through and the suite still holds.
    """

    tried: int = 0
    stopped: int = 0
    slipped: list[str] = field(default_factory=list[str])
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])
    problem: str = ""
    tolerated: float = 0.0

    def count(self, what: str, *, stopped: bool) -> None:
        """One attack, in words, and whether it was stopped."""
        self.tried += 1
        self.stopped += stopped
        if not stopped and what not in self.slipped:
            self.slipped.append(what)

    def control(self, what: str, *, passed: bool) -> None:
        """The same in innocent form; that it is refused is a problem, because then nothing is proved."""
        if not passed:
            self.problem = f"{self.problem}; {what}".removeprefix("; ")

    @property
    def holds(self) -> bool:
        """Something was tried, no more than is tolerated got through, and nothing else is wrong."""
        return not self.problem and self.tried > 0 and self.tried - self.stopped <= self.tolerated * self.tried

    def to_json(self, name: str) -> dict[str, Any]:
        """Plain values for `--json`; `name` is that of the suite."""
        plain = {"name": name, "tried": self.tried, "stopped": self.stopped, "slipped": self.slipped[:_SHOWN]}
        return plain | {"problem": self.problem} | self.figures

    def lines(self, name: str) -> str:
        """The suite's lines, under `HEADER`."""
        wrong = [f"let through: {what}" for what in self.slipped[:_SHOWN]]
        further = [*self.notes, *wrong, *([f"FAILED: {self.problem}"] if self.problem else [])]
        return "\n".join([f"{name:<16}{self.tried:>8}{self.stopped:>9}", *(f"    {line}" for line in further)])


Suite = Callable[[Room], Awaitable[Report]]
"""A suite of attacks."""
