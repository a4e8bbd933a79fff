"""How a case came out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """One case.

    Attributes:
        offered: what was sent.
        acknowledged: what of it was answered with a result.
        lost: acknowledged, and not found afterwards.
        duplicated: answered twice; or done twice, where that must not be.
        fault_s: how long the fault itself lasted, e.g. until a killed server listened again.
        outage_s: the longest time between two results.
        slowest_s: the longest time that a call waited for its answer, whatever that was.
        refused: other answers, by code.
        problem: what else is wrong: a chain that does not verify, a call that took too long; empty where nothing is.
    """

    offered: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    fault_s: float = 0.0
    outage_s: float = 0.0
    slowest_s: float = 0.0
    refused: Counter[str] = field(default_factory=Counter[str])
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Nothing acknowledged was lost or doubled, and nothing else is wrong."""
        return not (self.lost or self.duplicated or self.problem)

    def to_json(self, name: str) -> dict[str, Any]:
        """Plain values for `--json`; `name` is that of the case."""
        return {
            "name": name,
            "offered": self.offered,
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "fault_s": round(self.fault_s, 2),
            "outage_s": round(self.outage_s, 2),
            "slowest_s": round(self.slowest_s, 2),
            "refused": dict(self.refused),
            "problem": self.problem,
        }

    def line(self, name: str) -> str:
        """The case's line, under `HEADER`."""
        counts = f"{self.offered:>8}{self.acknowledged:>8}{self.lost:>6}{self.duplicated:>6}"
        refused = ", ".join(f"{code} {number}" for code, number in self.refused.most_common())
        tail = "; ".join(filter(None, [refused, self.problem and f"FAILED: {self.problem}"]))
        return (
            f"{name:16}{counts}{self.fault_s:>8.2f} s{self.outage_s:>8.2f} s{self.slowest_s:>8.2f} s  {tail}".rstrip()
        )


_WORDS = f"{'case':16}{'offered':>8}{'acked':>8}{'lost':>6}{'dup':>6}"
HEADER = f"{_WORDS}{'fault':>10}{'outage':>10}{'slowest':>10}  other answers"
