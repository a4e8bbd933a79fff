"""Finding a tool by what it should do: words of the query against names and descriptions, ranked by BM25.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), with k1 = 1.2 and b = 0.75; words
in a tool's name count three times.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

from cenoby.colony.tool import Tool

_WORD = re.compile(r"[a-z0-9]+")
_K1 = 1.2
_B = 0.75
_NAME_WEIGHT = 3


def rank(query: str, tools: Iterable[Tool]) -> list[Tool]:
    """The tools that share a word with the query, best first; all of them by name for an empty query."""
    wanted = set(_words(query))
    documents = [(tool, _document(tool)) for tool in tools]
    if not wanted:
        return sorted((tool for tool, _ in documents), key=lambda tool: tool.name)
    weights = {word: _rarity(word, [words for _, words in documents]) for word in wanted}
    average = sum(words.total() for _, words in documents) / max(len(documents), 1)
    scored = [(_score(words, weights, average), tool) for tool, words in documents]
    return [tool for score, tool in sorted(scored, key=lambda one: (-one[0], one[1].name)) if score > 0]


def _score(words: Counter[str], weights: dict[str, float], average: float) -> float:
    norm = _K1 * (1 - _B + _B * words.total() / average)
    return sum(weight * words[word] * (_K1 + 1) / (words[word] + norm) for word, weight in weights.items())


def _rarity(word: str, documents: list[Counter[str]]) -> float:
    holding = sum(word in words for words in documents)
    return math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))


def _document(tool: Tool) -> Counter[str]:
    words = Counter(_words(tool.description))
    words.update(_words(" ".join(tool.input_schema.get("properties", {}))))
    words.update(_words(f"{tool.name.removeprefix('mads.')} {tool.says.title}") * _NAME_WEIGHT)
    return words


def _words(text: str) -> list[str]:
    # A plural finds the singular; more of a stemmer does more harm than good on tool names.
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in _WORD.findall(text.lower())]
