"""Expressions of RE2, over bytes of Latin-1: linear in the text, whatever the text is and whatever they are."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

_re2: Any = import_module("re2")  # google-re2 comes without types


def _options(max_mem: int) -> Any:
    options = _re2.Options()
    options.encoding = _re2.Options.Encoding.LATIN1
    options.max_mem = max_mem
    return options


def expression(pattern: bytes) -> Any:
    """One expression, with the methods of an `re.Pattern`; its groups capture nothing.

    Raises:
        re2.error: it is none of RE2's, or larger than 64 MiB.
    """
    options = _options(64 << 20)
    options.never_capture = True
    return _re2.compile(pattern, options)


def expression_set(patterns: Iterable[bytes]) -> Any:
    """A set that says in one pass which of these expressions match anywhere: `Match(text)` gives indexes, or None.

    Where its memory of 256 MiB does not hold even one state it answers None, too.
    """
    made = _re2.Set.SearchSet(_options(256 << 20))
    for pattern in patterns:
        made.Add(pattern)
    made.Compile()
    return made
