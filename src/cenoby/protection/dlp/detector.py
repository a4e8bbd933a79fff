"""What a detector is, and how one is made of a trigger for RE2 and a check of each place where it fires."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cenoby.protection.dlp.automaton import expression

Category = Literal["secret", "personal"]
Found = tuple[int, int, str]
"""Start and end in the text, and the kind."""


@dataclass(frozen=True, slots=True)
class Detector:
    """One way of finding things that must not leave.

    Attributes:
        kinds: what it may find.
        category: whether they open something (`secret`) or are about somebody (`personal`).
        trigger: an expression of RE2 that matches somewhere in every text in which `find` finds anything.
        find: the finds in a folded text (`normalise.py`), in order, none overlapping.
    """

    kinds: tuple[str, ...]
    category: Category
    trigger: bytes
    find: Callable[[bytes], Iterator[Found]]


Check = Callable[[bytes, int, int], int]
"""Where the find that begins at the first place ends, or 0 where there is none; the shape matched up to the second."""

_RUN = re.compile(rb"[0-9A-Za-z]+|.", re.DOTALL)


def shaped(kind: str, trigger: bytes, shape: bytes, check: Check | None = None, flags: int = 0) -> Detector:
    """A detector of personal data with a bounded shape.

    Args:
        kind: what it finds.
        trigger: for RE2; a find begins where this matches.
        shape: for `re`, with the look-around that RE2 has not; must be bounded.
        check: the check digits and the words before.
        flags: of both expressions.
    """
    look, exact = expression(b"(?i)" + trigger if flags & re.IGNORECASE else trigger), re.compile(shape, flags)

    def find(data: bytes) -> Iterator[Found]:
        position = 0
        while place := look.search(data, position):
            start = place.start()
            match = exact.match(data, start)
            end = 0 if match is None else match.end() if check is None else check(data, start, match.end())
            if end:
                yield start, end, kind
            # What fails as a whole may hold another one from its next group on.
            run = _RUN.match(data, start)
            position = end or (run.end() if run else start + 1)

    return Detector((kind,), "personal", b"(?i:" + trigger + b")" if flags & re.IGNORECASE else trigger, find)


def announced(data: bytes, start: int, words: Any, reach: int = 48) -> bool:
    """Whether one of these words stands shortly before a place, on the same line or the one above.

    Args:
        data: the folded text.
        start: the place.
        words: an expression of RE2.
        reach: bytes that are looked at.
    """
    return words.search(data, max(0, start - reach), start) is not None
