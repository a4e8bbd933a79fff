"""Whether an answer gives away the directive that went before the prompt: many words of it in a row, or a marker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from cenoby.protection.content.answer_rules import Place

IN_A_ROW = 10
"""Words of the directive in a row that are a leak; what both say in passing is shorter."""
_LONGEST_ROW = 200
"""Characters of these words; longer ones are no prose."""
_WORD = re.compile(r"\w+")
_MARKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{10,126}[A-Za-z0-9]")


class Directive:
    """What of a directive would be a leak.

    Args:
        system: the directive.
        prompt: the prompt; what it says itself can be said back.
    """

    def __init__(self, system: str, prompt: str) -> None:
        said = _rows([word for _, _, word in _words(prompt)])
        self._rows = _rows([word for _, _, word in _words(system)]) - said
        self._markers = frozenset(one for one in _MARKER.findall(system) if _is_marker(one) and one not in prompt)

    def leaks(self, text: str) -> Iterator[Place]:
        """Where an answer repeats it."""
        for marker in self._markers:
            start = text.find(marker)
            while start >= 0:
                yield Place(start, start + len(marker), "prompt_leak")
                start = text.find(marker, start + len(marker))
        if self._rows:
            yield from self._repeated(text)

    def _repeated(self, text: str) -> Iterator[Place]:
        words = list(_words(text))
        first = last = -1
        for number in range(len(words) - IN_A_ROW + 1):
            row = words[number : number + IN_A_ROW]
            if row[-1][1] - row[0][0] > _LONGEST_ROW or tuple(word for _, _, word in row) not in self._rows:
                continue
            if first >= 0 and number > last + 1:
                yield self._place(words, first, last, len(text))
                first = -1
            first, last = number if first < 0 else first, number + IN_A_ROW - 1
        if first >= 0:
            yield self._place(words, first, last, len(text))

    @staticmethod
    def _place(words: list[tuple[int, int, str]], first: int, last: int, size: int) -> Place:
        # A row at the end may go on with what comes next: it is held until it is known where it ends.
        end = size if last >= len(words) - 2 else words[last][1]
        return Place(words[first][0], end, "prompt_leak")


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    return ((match.start(), match.end(), match.group().casefold()) for match in _WORD.finditer(text))


def _rows(words: list[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words[start : start + IN_A_ROW]) for start in range(len(words) - IN_A_ROW + 1))


def _is_marker(word: str) -> bool:
    """Whether a word was made up to be recognised: letters and digits mixed, as nobody writes them."""
    changes = sum(one.isdigit() != other.isdigit() for one, other in pairwise(word))
    return changes >= 3
