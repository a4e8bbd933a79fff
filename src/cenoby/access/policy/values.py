"""Values as Cedar has them: booleans, whole numbers of 64 bits, text, sets, records and entities.

A set is a frozenset of hashable keys, because Python takes `True` for `1` and cannot hash records.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Any, NamedTuple, cast

LEAST, MOST = -(2**63), 2**63 - 1


class EvaluationFailed(Exception):
    """A condition cannot be evaluated for this request; the call is denied."""


class Entity(NamedTuple):
    """Names an entity, such as `Role::"operator"`."""

    type: str
    id: str

    def __str__(self) -> str:
        return f'{self.type}::"{self.id}"'


def key(value: Any) -> Hashable:
    """What stands for a value in a set, and compares as Cedar compares: 1 is not true."""
    kind = cast(type[Any], type(value))
    if kind is bool:
        return ("bool", value)
    if kind is dict:
        return ("record", frozenset((name, key(inner)) for name, inner in cast(dict[str, Any], value).items()))
    if kind is frozenset:
        return ("set", value)
    return cast(Hashable, value)


def same(left: Any, right: Any) -> bool:
    """Cedar's `==`: values of different types are never the same, and comparing them is no error."""
    kind = cast(type[Any], type(left))
    if kind is not type(right):
        return False
    return key(left) == key(right) if kind is dict else left == right


def long(value: int) -> int:
    """A result of arithmetic.

    Raises:
        EvaluationFailed: it is beyond 64 bits.
    """
    if LEAST <= value <= MOST:
        return value
    raise EvaluationFailed("the result of an arithmetic operation is beyond 64 bits")


def need(value: Any, kind: type, what: str) -> Any:
    """`value`, where it is of that type.

    Raises:
        EvaluationFailed: it is not.
    """
    if type(value) is kind:
        return value
    raise EvaluationFailed(f"{what} is wanted, and this is {name_of(value)}")


_NAMES: Mapping[type, str] = {
    bool: "true or false",
    int: "a number",
    str: "a text",
    frozenset: "a set",
    dict: "a record",
    Entity: "an entity",
}


def name_of(value: Any) -> str:
    """The kind of a value, in words."""
    return _NAMES.get(cast(type[Any], type(value)), "no value of policy")


def from_json(value: Any, what: str) -> Any:
    """An argument as a value of policy; `what` names it in the error.

    Raises:
        EvaluationFailed: it is a number that policy cannot express, or something that is not JSON.
    """
    kind = cast(type[Any], type(value))
    if kind is str or kind is bool:
        return value
    if kind is int and LEAST <= value <= MOST:
        return value
    if kind is list or kind is tuple:
        return frozenset(key(from_json(one, what)) for one in value)
    if kind is dict:
        inner = cast(dict[str, Any], value).items()
        return {name: from_json(one, f"{what}.{name}") for name, one in inner if one is not None}
    if isinstance(value, Enum):
        return from_json(value.value, what)
    raise EvaluationFailed(f"{what} is a value that policy cannot read (a fraction, a huge number, or null in a list)")


class Pattern:
    """A pattern of `like`: fixed pieces with anything between them. One pass over the text, whatever the pattern.

    Args:
        pieces: as Cedar's JSON form has them: `"Wildcard"` or `{"Literal": character}`.
    """

    def __init__(self, pieces: list[Any]) -> None:
        fixed = [""]
        for piece in pieces:
            if piece == "Wildcard":
                fixed.append("")
            else:
                fixed[-1] += piece["Literal"]
        self._exact = fixed[0] if len(fixed) == 1 else None
        self._head, self._tail = fixed[0], fixed[-1]
        self._middle = [piece for piece in fixed[1:-1] if piece]
        self._shortest = sum(map(len, fixed))

    def matches(self, text: str) -> bool:
        """Whether the whole text fits."""
        if self._exact is not None:
            return text == self._exact
        if len(text) < self._shortest or not (text.startswith(self._head) and text.endswith(self._tail)):
            return False
        place, end = len(self._head), len(text) - len(self._tail)
        for piece in self._middle:
            place = text.find(piece, place, end)
            if place < 0:
                return False
            place += len(piece)
        return True
