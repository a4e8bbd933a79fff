"""Typed events: what a colony says of itself on its critical paths, in its journal and on its bus.

An event is a frozen struct with a tag `<name>.v<version>`. Its docstring says what it means, its fields are what code
may decide on, and free prose travels in `notes`. A published version never changes its shape: a better one is the next
version, and `upgraders` says, step by step, how a reader makes it from those before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast

import msgspec

from cenoby.kernel.codec import CodecError, from_json, to_json

Upgrader = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the fields of version n + 1 from those of version n."""

_TAG = re.compile(r"([a-z]+(?:_[a-z]+)*)\.v([1-9][0-9]*)")


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """Base of all events; a subclass gives its tag, e.g. `class MadKilled(Event, frozen=True, tag="mad_killed.v2")`.

    A field that is left out has its default, and a reader passes over fields that it does not know.

    Attributes:
        notes: free prose for readers; no code decides on it.
        upgraders: for each version before this one, how to make the next from it.
    """

    notes: str = ""
    upgraders: ClassVar[Mapping[int, Upgrader]] = {}


class BusEvent(Event, frozen=True):
    """An event that travels on the bus; all others are journalled."""


E = TypeVar("E", bound=Event)


def tag_of(event: Event | type[Event]) -> str:
    """The event's name with its version, e.g. `mad_killed.v2`."""
    return cast(str, event.__struct_config__.tag)


def name_of(event: Event | type[Event]) -> str:
    """The event's name without version: the `code` under which the journal finds it."""
    return split_tag(tag_of(event))[0]


def split_tag(tag: str) -> tuple[str, int]:
    """Name and version of a tag; a bare name is version 1, as in records from before there were tags.

    Raises:
        CodecError: message_invalid: it is neither.
    """
    found = _TAG.fullmatch(tag if "." in tag else f"{tag}.v1")
    if found is None:
        raise CodecError("message_invalid", f"{tag[:80]!r} is no event; events are called like `mad_killed.v2`.")
    return found[1], int(found[2])


def by_name(*kinds: type[Event]) -> dict[str, type[Event]]:
    """These events by their names, as a MAD declares them in `events`."""
    return {name_of(kind): kind for kind in kinds}


def meaning_of(kind: type[Event]) -> str:
    """What the event means: the first paragraph of its docstring, on one line."""
    return " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())


def plain_event(event: Event) -> dict[str, Any]:
    """The event as plain JSON types, with its tag under `event`."""
    return from_json(to_json(event))


def read_event(kind: type[E], payload: Any, tag: str) -> E:
    """The event in its present version, from the plain form of this version or of one before.

    Args:
        kind: which event is expected.
        payload: its plain form; `event` in it, where it is there, says the version.
        tag: what the version is where the payload does not say it; a bare name means the first.

    Raises:
        CodecError: message_invalid: another event, a version that is not known yet, or fields that do not fit.
    """
    fields = dict(cast(Mapping[str, Any], payload)) if isinstance(payload, Mapping) else {}
    wanted, present = split_tag(tag_of(kind))
    name, version = split_tag(str(fields.pop("event", tag)))
    if name != wanted or version > present or not isinstance(payload, Mapping):
        raise CodecError("message_invalid", f"{name}.v{version} cannot be read as {tag_of(kind)}.")
    for step in range(version, present):
        if step not in kind.upgraders:
            raise CodecError("message_invalid", f"{tag_of(kind)} has no upgrader from version {step}; declare one.")
        fields = kind.upgraders[step](fields)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise CodecError("message_invalid", f"{name}.v{version} does not fit: {error}.") from error


def reason_to_notes(fields: dict[str, Any]) -> dict[str, Any]:
    """An upgrader of events whose first version had a person's or an error's words in the field `reason`."""
    return {"notes" if name == "reason" else name: value for name, value in fields.items()}
