"""Random single changes of an export: any decoded field anywhere in it, and what lists and objects hold."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

Path = tuple[Any, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value in a document."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))


def at(document: Any, path: Path) -> Any:
    """The value at a path."""
    for step in path:
        document = document[step]
    return document


def changed(document: Any, path: Path, chance: random.Random) -> Any:
    """A copy of the document with another value at `path`."""
    made = copy.deepcopy(document)
    parent, step = at(made, path[:-1]), path[-1]
    parent[step] = other(parent[step], chance)
    return made


def other(value: Any, chance: random.Random) -> Any:
    """A value that JSON tells from `value`."""
    made = _other(value, chance)
    return made if json.dumps(made) != json.dumps(value) else [value]


def _other(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool) or value is None:
        return chance.choice([not value, None if value is not None else 0, "x"])
    if isinstance(value, int):
        return chance.choice(
            [value + 1, value - 1, value ^ (1 << chance.randrange(40)), -value, float(value), str(value)]
        )
    if isinstance(value, float):
        return chance.choice([value + 0.5, -value, int(value)])
    if isinstance(value, str):
        return _other_text(value, chance)
    if isinstance(value, list):
        return _other_list(value, chance)
    return _other_object(value, chance)


def _other_text(value: str, chance: random.Random) -> str:
    if not value:
        return chance.choice(["0", "x", " "])
    where = chance.randrange(len(value))
    char = chance.choice([one for one in "0123456789abcdefXYZ+/= \né" if one != value[where]])
    return chance.choice(
        [
            value[:where] + char + value[where + 1 :],
            value[:where] + value[where + 1 :],
            value[:where] + char + value[where:],
        ]
    )


def _other_list(value: list[Any], chance: random.Random) -> list[Any]:
    if not value:
        return [chance.choice([0, "", None])]
    where, to = chance.randrange(len(value)), chance.randrange(len(value))
    made = list(value)
    what = chance.choice(["drop", "repeat", "move"])
    if what == "drop":
        del made[where]
    elif what == "repeat":
        made.insert(to, value[where])
    else:
        made[where], made[to] = made[to], made[where]
    return made


def _other_object(value: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    made = dict(value)
    if made and chance.random() < 0.5:
        del made[chance.choice(list(made))]
    else:
        made[chance.choice(["extra", "seq", "salted", "withheld"])] = chance.choice([0, "", None, True])
    return made
