"""The shapes of all events: as one JSON Schema, and as they were published and may never change.

`published_events.json` holds the shape of every version there ever was. `./dev events` adds new ones to it, and
refuses to touch those it has: who changes an event gives it the next version and an upgrader from the one before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, cast

import msgspec

from cenoby.app.event_catalogue import EVENTS
from cenoby.kernel.codec import from_json
from cenoby.kernel.events import Event, meaning_of, split_tag, tag_of

FILE = "published_events.json"
Shape = dict[str, Any]


def schema_of(kind: type[Event]) -> Shape:
    """JSON Schema of one event, complete in itself; references start at `#/$defs/<its tag>` of the whole document."""
    place = f"#/$defs/{tag_of(kind)}"
    (_,), parts = msgspec.json.schema_components((kind,), ref_template=place + "/$defs/{name}")
    own: Shape = parts.pop(kind.__name__)
    own |= {"title": tag_of(kind), "description": meaning_of(kind)}
    for part in parts.values():
        part.pop("description", None)  # written for readers of the code
    return own | {"$defs": parts} if parts else own


def present_shape(name: str) -> tuple[str, Shape] | None:
    """Tag and schema of an event's present version, a JSON Schema that stands alone; None where none has that name."""
    kind = EVENTS.get(name)
    if kind is None:
        return None
    tag = tag_of(kind)
    return tag, {"$defs": {tag: _shape(schema_of(kind))}, "$ref": f"#/$defs/{tag}"}


def shapes() -> dict[str, Shape]:
    """What must not change of each event's present version: its schema without words for people."""
    return {tag_of(kind): _shape(schema_of(kind)) for kind in EVENTS.values()}


def published() -> dict[str, Shape]:
    """The shape of every version that was ever published, by tag."""
    return from_json(files("cenoby.app").joinpath(FILE).read_bytes())


def broken_promises(known: Mapping[str, Shape], present: Mapping[str, Shape]) -> list[str]:
    """What is wrong with the events in the code, each with what to do; empty where they keep what was published.

    Args:
        known: the published shapes.
        present: those of the code.
    """
    problems: list[str] = []
    for tag, shape in known.items():
        name, version = split_tag(tag)
        kind = EVENTS.get(name)
        if kind is None:
            problems.append(f"{tag} was published and is gone; keep it, so that its records can be read.")
        elif tag in present and present[tag] != shape:
            problems.append(
                f"{tag} was published with another shape; leave it as it was, call the new one {name}.v{version + 1} "
                f"and add the upgrader {version} to {kind.__name__}.upgraders."
            )
        elif tag not in present and version not in kind.upgraders:
            problems.append(f"{tag} was published, and {kind.__name__}.upgraders has no {version}; add it.")
    return problems


def unpublished(known: Mapping[str, Shape], present: Mapping[str, Shape]) -> list[str]:
    """Tags of the code that are not published yet."""
    return [tag for tag in present if tag not in known]


def document() -> Shape:
    """One JSON Schema (2020-12) of all events: the present versions, and those before with their shape alone."""
    present = {tag_of(kind): schema_of(kind) for kind in EVENTS.values()}
    every = dict(sorted((published() | present).items()))
    places = {tag: f"#/$defs/{tag}" for tag in every}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of Cenoby",
        "description": "The payload of a journalled event, and of an event on the bus; `event` says which. Where it is "
        "not there, the record is older than tags: its code names the event, and the version is the first.",
        "oneOf": [{"$ref": place} for place in places.values()],
        "discriminator": {"propertyName": "event", "mapping": places},
        "$defs": every,
    }


def published_text(shapes: Mapping[str, Shape]) -> str:
    """The published shapes as their file has them: one version on a line, so that a change shows."""
    lines = [f"{json.dumps(tag)}: {json.dumps(shape, sort_keys=True)}" for tag, shape in sorted(shapes.items())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _shape(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_shape(one) for one in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    return dict(_members(cast(dict[str, Any], schema)))


def _members(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in schema.items():
        if name in ("properties", "$defs"):
            # Names of fields and parts, which may well be `title`.
            yield name, {key: _shape(one) for key, one in value.items()}
        elif name not in ("title", "description"):
            yield name, _shape(value)
