"""What the case `call-kill` says of a journal: each call has one decision, each effect one outcome."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from faults.load import Heard
from faults.rule_cases import wrong_records


@dataclass
class Line:
    """What the case reads of a record."""

    kind: str
    invocation: str
    decision: str = ""
    status: str = ""


def effect(invocation: str, status: str, *, outcomes: int = 1) -> list[Any]:
    begun = [Line("decision", invocation, "allowed"), Line("intent", invocation)]
    return [*begun, *[Line("outcome", invocation, status=status)] * outcomes]


REFUSED: list[Any] = [Line("call", "r", "refused", "refused")]
WHOLE = [effect("a", "ok"), effect("b", "unknown"), REFUSED]


def problems(*calls: list[Any], found: tuple[int, ...] = (1, 2)) -> list[str]:
    return wrong_records(calls, {"a": 1, "b": 2}, Counter(found), Heard(offered=3, acknowledged={1: 0.1}))


def test_a_whole_journal_is_right() -> None:
    """An answered effect, one that nobody knows the end of, and a refusal."""
    assert problems(*WHOLE) == []


@pytest.mark.parametrize(
    ("calls", "found", "says"),
    [
        ([effect("a", "ok"), effect("b", "unknown", outcomes=0)], (1, 2), "calls with the records"),
        ([effect("a", "ok", outcomes=2), effect("b", "unknown")], (1, 2), "calls with the records"),
        ([*WHOLE, [Line("call", "s", "", "refused")]], (1, 2), "not exactly one decision"),
        (WHOLE, (1, 2, 3), "effects without a record"),
        ([effect("a", "unknown"), effect("b", "unknown")], (1, 2), "without the one outcome ok"),
        ([effect("a", "ok"), effect("b", "ok")], (1, 2), "no call was under way"),
    ],
)
def test_what_is_wrong_is_said(calls: list[list[Any]], found: tuple[int, ...], says: str) -> None:
    """A missing and a second outcome, a missing decision, an effect nobody recorded, an answer that was taken back."""
    assert any(says in problem for problem in problems(*calls, found=found))
