"""The values of a call that can be traced: what its arguments name, folded for comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from cenoby.access.flows.prose import fold

LONGEST_WHOLE = 200
"""Characters up to which a text argument is one value; of longer ones only the identifiers in them count."""
_BETWEEN = re.compile(r"[\s\"'<>(){}\[\]|,;`]+")
_LONGEST_TOKEN = 2_048
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")
_TRAILING = ".,;:!?/"


class Value(msgspec.Struct, frozen=True):
    """One value of a call.

    Attributes:
        argument: name of the argument it is in.
        text: folded.
        directs: it says where to, to whom, or on what the call acts.
        weak: so short or so common that finding it elsewhere says little.
    """

    argument: str
    text: str
    directs: bool
    weak: bool


def values_of(arguments: dict[str, Any], directing: frozenset[str]) -> Iterator[Value]:
    """All traceable values of a call's arguments; `directing` names the arguments that say where to or on what."""
    for name, value in arguments.items():
        for leaf in leaves(value):
            yield from _of_leaf(name, leaf, name in directing)


def plain_address(text: str) -> str:
    """A folded address without its scheme and trailing marks, so that spellings of the same page compare equal."""
    return _SCHEME.sub("", text).rstrip(_TRAILING)


def leaves(value: Any) -> Iterator[str]:
    """All texts and numbers in an argument, keys of objects among them; plain JSON types of bounded depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, (int, float)):
        yield f"{value:g}" if isinstance(value, float) else str(value)
    elif isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            yield key
            yield from leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in cast(list[Any], value):
            yield from leaves(inner)


def _of_leaf(name: str, leaf: str, directs: bool) -> Iterator[Value]:
    folded = fold(leaf)
    if not folded:
        return
    whole = plain_address(folded)
    if len(folded) <= LONGEST_WHOLE and whole:
        yield Value(name, whole, directs, _is_weak(whole))
    for token in _BETWEEN.split(folded):
        if len(token) < _LONGEST_TOKEN and _is_identifier(token) and (part := plain_address(token)) != whole:
            yield Value(name, part, directs, weak=False)


def _is_identifier(token: str) -> bool:
    """Whether a word of a text is an address, or an account, key, id or telephone number."""
    if "." in token and ("@" in token or "/" in token or token.startswith("www.")):
        return True
    return len(token) >= 8 and token[0].isalnum() and any(map(str.isdigit, token))


def _is_weak(text: str) -> bool:
    if _NUMBER.fullmatch(text):
        return len(text) < 5
    return len(text) < 4
