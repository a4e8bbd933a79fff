"""Reading what a person types into a search, so that nothing they type can be malformed."""

from __future__ import annotations

import re
from typing import NamedTuple

from cenoby.kernel.errors import InvalidInput

MOST_WORDS = 32
"""Words of a query that count; further ones are left out."""

_WORD = re.compile(r'"([^"]+)"|(\S+)')


class QueryInvalid(InvalidInput):
    """A search or a listing that cannot be done as asked."""

    codes = {
        "query_empty": "The search query holds no word.",
        "cursor_invalid": "The cursor did not come from an earlier page of the same listing.",
    }


class Phrase(NamedTuple):
    """Words that must follow one another; the last one may be only a beginning."""

    text: str
    prefix: bool


def read_query(query: str) -> list[Phrase]:
    """All words and quoted phrases of `query`, which must all occur; a trailing `*` asks for a prefix.

    Raises:
        QueryInvalid: query_empty.
    """
    parts: list[Phrase] = []
    for phrase, word in _WORD.findall(query):
        text = (phrase or word).replace('"', "").replace("\x00", "")
        if any(character.isalnum() for character in text):
            parts.append(Phrase(text.rstrip("*"), word.endswith("*")))
    if not parts:
        raise QueryInvalid("query_empty", "The query holds no word to search for.")
    return parts[:MOST_WORDS]


def read_cursor(text: str | None) -> int | None:
    """The number that an earlier page gave as its `next_cursor`.

    Raises:
        QueryInvalid: cursor_invalid.
    """
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise QueryInvalid("cursor_invalid", "That is no cursor; pass next_cursor of the page before unchanged.")
    return int(text)
