"""What kind of text each argument is: as its tool declares it, else by its name, else by its shape.

Most false alarms come from reading prose as if it were a path or a command, and most misses from the opposite. A name
says it nearly always; where it says nothing, a text counts as what it wholly looks like (`text`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

ArgumentKind = Literal["path", "url", "command", "sql", "prose", "text"]
"""What a text is; `text` is one of which nothing is known."""


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for tables of words."""
    return frozenset(text.split())


_WORDS: Mapping[ArgumentKind, frozenset[str]] = {
    "path": word_set(
        "path paths file files filename filenames filepath filepaths dir dirs directory directories dirname folder "
        "folders cwd workdir workspace"
    ),
    "url": word_set("url urls uri uris link href endpoint webhook"),
    "command": word_set("command commands cmd cmds cmdline shell bash argv exec script"),
    "sql": word_set("sql"),
    "prose": word_set(
        "content contents message messages text body prompt system description title summary note notes comment "
        "reason query question answer subject topic instructions markdown html caption feedback about bio goal "
        "abstract review reply memo"
    ),
}
_KIND_OF_WORD: Mapping[str, ArgumentKind] = {word: kind for kind, words in _WORDS.items() for word in words}
_OF_DATABASES = word_set("query q statement statements")
_FOLLOWERS = word_set("args arguments argv flags options parameters params")
# Names are the tool's or the caller's, and short; the pattern is a plain alternation of runs.
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_LONGEST_NAME = 64


class Leaf(NamedTuple):
    """One text in the arguments.

    Attributes:
        place: where, as in `files[2].path`.
        kind: what it is.
        text: as it came.
    """

    place: str
    kind: ArgumentKind
    text: str


@lru_cache(maxsize=4096)
def kind_of_name(name: str, of_database: bool) -> ArgumentKind:
    """What an argument's name says of its text; the last word counts, as in `target_path` or `sourceFile`.

    Args:
        name: of the argument, or of the member that holds the text.
        of_database: the tool's action is of the category `db`, where a query is SQL.
    """
    parts = [part.lower() for part in _NAME_PARTS.findall(name[-_LONGEST_NAME:])]
    word = parts[-1] if parts else ""
    if of_database and word in _OF_DATABASES:
        return "sql"
    return _KIND_OF_WORD.get(word, "text")


def leaves(arguments: Mapping[str, Any], kinds: Mapping[str, ArgumentKind], of_database: bool) -> Iterator[Leaf]:
    """Every text in the arguments with its kind; names of members too, and the words of a command put together.

    Args:
        arguments: plain JSON types, known not to be too deep.
        kinds: what the tool declares of its arguments, by name; whatever is inside one is of the same kind.
        of_database: as for `kind_of_name`.
    """
    yield from _joined(arguments, "", kinds, of_database)
    for name, value in arguments.items():
        kind = kinds.get(name) or kind_of_name(name, of_database)
        yield from _inside(value, name, kind, name in kinds, of_database)


def _inside(value: Any, place: str, kind: ArgumentKind, declared: bool, of_database: bool) -> Iterator[Leaf]:
    if isinstance(value, str):
        yield Leaf(place, kind, value)
    elif isinstance(value, dict):
        members = cast(dict[str, Any], value)
        yield from _joined(members, f"{place}.", {}, of_database)
        for name, item in members.items():
            yield Leaf(f"a name in {place}", "text", name)
            own = kind if declared else kind_of_name(name, of_database)
            # What a command or a path is made of is still one, unless its own name says otherwise.
            own = kind if own == "text" and kind != "prose" else own
            yield from _inside(item, f"{place}.{name}", own, declared, of_database)
    elif isinstance(value, (list, tuple)):
        items = cast(Sequence[Any], value)
        if kind in ("command", "text") and len(items) > 1:
            yield Leaf(place, kind, " ".join(item for item in items if isinstance(item, str)))
        for index, item in enumerate(items):
            yield from _inside(item, f"{place}[{index}]", kind, declared, of_database)


def _joined(
    members: Mapping[str, Any], place: str, kinds: Mapping[str, ArgumentKind], of_database: bool
) -> Iterator[Leaf]:
    """A program in one member and its arguments in another: as one command."""
    followers = [name for name in members if name.lower() in _FOLLOWERS]
    if not followers:
        return
    programs = [
        value
        for name, value in members.items()
        if isinstance(value, str)
        and ((kinds.get(name) or kind_of_name(name, of_database)) == "command" or name.lower() in ("program", "binary"))
    ]
    words = [*programs, *(word for name in followers for word in _strings(members[name]))]
    if programs:
        yield Leaf(f"{place}{followers[0]}", "command", " ".join(words))


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in cast(list[Any], value) if isinstance(item, str)] if isinstance(value, list) else []
