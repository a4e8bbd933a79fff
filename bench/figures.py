"""A measured figure beside what it has to reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure, its bound, and whether larger is better; None where it could not be measured."""

    name: str
    value: float | None
    bound: float
    unit: str
    at_least: bool = False

    @property
    def reached(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        target = f"{'at least' if self.at_least else 'at most'} {self.bound:g} {self.unit}"
        value = "-" if self.value is None else f"{self.value:.2f}"
        return f"{self.name:26}{value:>12} {self.unit:4} {target:20} {'reached' if self.reached else 'MISSED'}"
