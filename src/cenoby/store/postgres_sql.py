"""Statements as PostgreSQL's protocol takes them: `$1` for each `?` and for each `:name`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from cenoby.store.engine import Parameters

# What is in quotes stays as it is, and so does a cast.
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|::|\?|:([A-Za-z_]\w*)""")


@lru_cache(maxsize=1024)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with numbered values, and the names in the order of their numbers where it had names."""
    names: dict[str, int] = {}
    count = 0

    def place(match: re.Match[str]) -> str:
        nonlocal count
        if match.group() == "?":
            count += 1
            return f"${count}"
        if name := match.group(1):
            return f"${names.setdefault(name, len(names) + 1)}"
        return match.group()

    return _TOKEN.sub(place, sql), tuple(names)


def bound(sql: str, parameters: Parameters) -> tuple[str, Sequence[Any]]:
    """The statement with numbered values, and the values in that order."""
    text, names = numbered(sql)
    if isinstance(parameters, Mapping):
        return text, [parameters[name] for name in names]
    return text, parameters
