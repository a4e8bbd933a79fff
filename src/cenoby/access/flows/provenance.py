"""Whose words a value comes from: the trusted messages and the foreign results that one context has seen.

Trusted is what a person said. Everything that came from outside is foreign; of that, short fields of structured results
(a name, an id, an address in a record) are told apart from running text, and requests in running text from the rest.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

import msgspec

from cenoby.access.flows.prose import fold, is_request, sentences
from cenoby.access.flows.values import plain_address
from cenoby.access.flows.wording import words
from cenoby.kernel.codec import CodecError, from_json

Origin = Literal["trusted", "request", "field", "text", "unknown"]
"""Where a value was found: said by a person; in a foreign request; in a foreign record; in foreign text; nowhere."""
MOST_CHARS = 512 * 1024
"""Characters of foreign text that one context keeps; what is more makes it `lost`."""
_LONGEST_FIELD = 120
_SENTENCE_LIKE = re.compile(r"[.!?]\s|\n|[!?]$")


class Found(msgspec.Struct, frozen=True):
    """Where a value was found: its origin, and for foreign ones the source and the words around it."""

    origin: Origin
    source: str = ""
    around: str = ""


class Passage(msgspec.Struct, frozen=True):
    """One folded sentence from outside, and from where; of one that asks for something, its words too."""

    source: str
    text: str
    words: frozenset[str] = frozenset()


class Provenance:
    """What one context has seen; in memory only.

    Attributes:
        lost: something it has seen is not kept, so nothing can be said about values that are not found.
        requests: the foreign sentences that ask for something, oldest first.
        chars: characters that it keeps.
    """

    __slots__ = ("_fields", "_passages", "_trusted", "chars", "lost", "requests")

    def __init__(self) -> None:
        self.lost = False
        self.requests: list[Passage] = []
        self._trusted: list[str] = []
        self._fields: dict[str, str] = {}
        self._passages: list[Passage] = []
        self.chars = 0

    @property
    def trusted(self) -> str:
        """All that persons said, folded."""
        return "\n".join(self._trusted)

    @property
    def foreign(self) -> bool:
        """Whether it has seen anything from outside."""
        return self.lost or bool(self._fields or self._passages or self.requests)

    def trust(self, text: str) -> None:
        """Take what a person said."""
        if self._room(len(text)):
            self._trusted.append(fold(text))

    def take(self, source: str, value: Any) -> None:
        """Take a result from outside, plain JSON types; `source` says from where."""
        for key, leaf in _leaves(value):
            if not self._room(len(leaf)):
                return
            if key or _is_field(leaf):
                self._fields.setdefault(plain_address(fold(leaf)), source)
            else:
                self._read(source, leaf)

    def merge(self, other: Provenance) -> None:
        """Take all that another context has seen, as where a message is read."""
        for text in other._trusted:
            if text not in self._trusted and self._room(len(text)):
                self._trusted.append(text)
        for field, source in other._fields.items():
            if field not in self._fields and self._room(len(field)):
                self._fields[field] = source
        self._merge_passages(self._passages, other._passages)
        self._merge_passages(self.requests, other.requests)
        self.lost = self.lost or other.lost

    def clear_foreign(self) -> None:
        """Forget what came from outside: its time is over."""
        if self.foreign:
            self._fields, self._passages, self.requests, self.lost = {}, [], [], False
            self.chars = sum(map(len, self._trusted))

    def find(self, text: str) -> Found:
        """Where a folded value was seen. What a person said wins; then a request, which is more than a mention."""
        pattern = _whole(text)
        if any(text in said and pattern.search(said) for said in self._trusted):
            return Found("trusted")
        if found := _search(self.requests, text, pattern, "request"):
            return found
        if (source := self._fields.get(text)) is not None:
            return Found("field", source)
        if found := _search(self._passages, text, pattern, "text"):
            return found
        for field, source in self._fields.items():
            if text in field and pattern.search(field):
                return Found("field", source)
        return Found("unknown")

    def _read(self, source: str, text: str) -> None:
        if text.lstrip()[:1] in ("{", "[") and (inner := _json(text)) is not None:
            self.take(source, inner)
            return
        for sentence in sentences(text):
            if sentence.asks:
                self.requests.append(Passage(source, sentence.text, words(sentence.text)))
            else:
                self._passages.append(Passage(source, sentence.text))

    def _merge_passages(self, mine: list[Passage], others: list[Passage]) -> None:
        known = set(mine)
        for passage in others:
            if passage not in known and self._room(len(passage.text)):
                mine.append(passage)

    def _room(self, chars: int) -> bool:
        if self.chars + chars > MOST_CHARS:
            self.lost = True
            return False
        self.chars += chars
        return True


def _search(passages: list[Passage], text: str, pattern: re.Pattern[str], origin: Origin) -> Found | None:
    for passage in passages:
        # The plain search is many times quicker, and nearly always says no.
        if text in passage.text and pattern.search(passage.text):
            return Found(origin, passage.source, passage.text)
    return None


def _json(text: str) -> Any:
    try:
        return from_json(text)
    except CodecError:
        return None


def _is_field(leaf: str) -> bool:
    """Whether a text is a record's field, such as a name or an address, rather than something to read."""
    if len(leaf) > _LONGEST_FIELD or _SENTENCE_LIKE.search(leaf):
        return False
    # One word asks for nothing: `send` is the name of a button.
    return " " not in leaf or not is_request(fold(leaf))


def _whole(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w]){re.escape(text)}(?![\w])")


def _leaves(value: Any) -> Iterator[tuple[bool, str]]:
    """Every text in a result, and whether it is the key of a record. Results may be nested deeper than calls can."""
    left: deque[Any] = deque([value])
    while left:
        one = left.popleft()
        if isinstance(one, str):
            yield False, one
        elif isinstance(one, bool) or one is None:
            continue
        elif isinstance(one, (int, float)):
            yield False, f"{one:g}" if isinstance(one, float) else str(one)
        elif isinstance(one, Mapping):
            for key, inner in cast(Mapping[Any, Any], one).items():
                yield _is_field(str(key)), str(key)
                left.append(inner)
        elif isinstance(one, (list, tuple)):
            left.extend(cast(list[Any], one))
