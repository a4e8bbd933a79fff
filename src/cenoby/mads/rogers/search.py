"""Finding messages by their words: FTS5 where SQLite keeps them, vectors of words where PostgreSQL does.

Both see the same words: runs of letters and digits, without case and accents (FTS5's `unicode61 remove_diacritics 2`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cenoby.mads.rogers.query import Phrase
from cenoby.store.engine import Connection, Dialect

_WORD = re.compile(r"[^\W_]+")
_LONGEST = 200
"""Characters of a word that count in a vector, which bounds the bytes of one."""
_LAST_PLACE = 16_383
"""Places in a vector; later words are found, but in no phrase."""


def index_message(connection: Connection, tenant: str, position: int, content: str) -> None:
    """Make a message findable; in SQLite a trigger did it when the message was added."""
    if connection.dialect == "postgresql":
        connection.execute(_INDEX, (tenant, position, _vector(content)))


def index_messages(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Make rows of `conversation_messages` findable that were copied to PostgreSQL."""
    connection.executemany(_INDEX, [(row["tenant"], row["position"], _vector(row["content"])) for row in rows])


def find_messages(
    connection: Connection, phrases: Sequence[Phrase], visible: str, values: Mapping[str, Any]
) -> list[int]:
    """Positions of the messages with all phrases, best first.

    Args:
        visible: condition on the conversation `c`.
        values: what `visible` names, and `tenant`, `position` (or None), `limit` and `offset`.
    """
    match = {"sqlite": _fts5, "postgresql": _tsquery}[connection.dialect](phrases)
    statement = _RANKED[connection.dialect].format(visible=visible)
    return [position for (position,) in connection.execute(statement, {**values, "match": match})]


_INDEX = "INSERT INTO conversation_search (tenant, position, words) VALUES (?, ?, CAST(CAST(? AS TEXT) AS TSVECTOR))"
# Ranking first and fetching after keeps the sorter from carrying the text of every hit.
_RANKED: Mapping[Dialect, str] = {
    "sqlite": """
        SELECT s.rowid FROM conversation_search s
        JOIN conversation_messages m ON m.position = s.rowid JOIN conversations c ON c.position = m.conversation
        WHERE s.conversation_search MATCH :match AND c.tenant = :tenant AND {visible}
            AND (CAST(:position AS BIGINT) IS NULL OR m.conversation = :position)
        ORDER BY s.rank, s.rowid DESC LIMIT :limit OFFSET :offset
    """,
    # 1: of two messages with the same hits, the shorter one ranks higher.
    "postgresql": """
        SELECT s.position FROM conversation_search s
        JOIN conversation_messages m ON m.position = s.position JOIN conversations c ON c.position = m.conversation
        WHERE s.words @@ CAST(CAST(:match AS TEXT) AS TSQUERY) AND c.tenant = :tenant AND {visible}
            AND (CAST(:position AS BIGINT) IS NULL OR m.conversation = :position)
        ORDER BY ts_rank(s.words, CAST(CAST(:match AS TEXT) AS TSQUERY), 1) DESC, s.position DESC
        LIMIT :limit OFFSET :offset
    """,
}


def _fts5(phrases: Sequence[Phrase]) -> str:
    # sqlite.org/fts5.html, section 3: what is in quotes is taken as words and cannot be malformed.
    return " ".join(f'"{phrase.text}"{"*" if phrase.prefix else ""}' for phrase in phrases)


def _tsquery(phrases: Sequence[Phrase]) -> str:
    parts: list[str] = []
    for phrase in phrases:
        words = [f"'{word}'" for word in _words(phrase.text)]
        if words and phrase.prefix:
            words[-1] += ":*"
        parts.append(f"({' <-> '.join(words)})")
    return " & ".join(part for part in parts if part != "()")


def _vector(text: str) -> str:
    return " ".join(f"'{word}':{min(place, _LAST_PLACE)}" for place, word in enumerate(_words(text), 1))


def _words(text: str) -> Iterator[str]:
    plain = "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
    # Letters and digits alone: nothing in them needs quoting.
    return (match.group()[:_LONGEST] for match in _WORD.finditer(plain.lower()))
