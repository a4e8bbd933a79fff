"""Reading @mentions and #topics out of text."""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST_NAMES = 50
"""Mentions, and topics, that one message may have; further ones are text only."""

_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_MENTION = re.compile(r"(?<![\w@/.+-])@([A-Za-z0-9][A-Za-z0-9_-]{0,62})(?![\w-])")
_TOPIC = re.compile(r"(?<![\w#/&])#([^\W\d_][\w-]{0,62})(?![\w-])")


def mentions_in(content: str) -> list[str]:
    """The names after `@` in order of appearance, each once, lower-case; code in backticks does not count."""
    found = (match.lower() for match in _MENTION.findall(_prose(content, "@")))
    return _first_unique(found)


def topics_in(content: str, tags: Iterable[str] = ()) -> list[str]:
    """`tags` and the words after `#`, each once, lower-case; `#12` is none, and code in backticks does not count."""
    given = (tag.strip().removeprefix("#").lower() for tag in tags)
    found = (match.lower() for match in _TOPIC.findall(_prose(content, "#")))
    return _first_unique([*filter(None, given), *found])


def _prose(content: str, sign: str) -> str:
    if sign not in content:
        return ""
    return _CODE.sub(" ", content) if "`" in content else content


def _first_unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))[:MOST_NAMES]
