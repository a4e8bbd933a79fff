"""Whether every value that one JSON Schema allows is allowed by another: the one rule behind compatibility.

An input stays compatible while what fitted before fits now; an output, while what fits now would have fitted before.
The rules cover the keywords that tools and events of a colony have (JSON Schema 2020-12). They err on one side alone:
what they cannot judge is a problem, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from jsonschema import Draft202012Validator

from cenoby.kernel.codec import canonical_json

Schema = Mapping[str, Any]

_WORDS = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$schema",
                    "$comment", "discriminator"})  # fmt: skip
_HOLDING = frozenset({"items", "additionalProperties", "anyOf", "oneOf"})
_TYPES = ("null", "boolean", "number", "string", "array", "object")
_BOUNDS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_SAME = {
    "number": ("multipleOf", "format"),
    "integer": ("multipleOf", "format"),
    "string": ("pattern", "format", "contentEncoding", "contentMediaType"),
    "array": ("uniqueItems",),
}
"""Rules that hold only where the other schema has the very same."""
_JUDGED = frozenset({"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf",
                     "oneOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "$ref",
                     *(word for words in (*_BOUNDS.values(), *_SAME.values()) for word in words)})  # fmt: skip


def beyond(narrow: Any, wide: Any) -> list[str]:
    """What `narrow` allows and `wide` does not, each with its place; empty where every value of `narrow` fits `wide`.

    Args:
        narrow, wide: whole JSON Schemas; references lead to parts of their own.
    """
    try:
        for root in (narrow, wide):
            for place in _references(root):
                _part(root, place)
    except _CannotTell as reason:
        return [f"the whole: cannot tell, because {reason}"]
    bare = _bare(narrow), _bare(wide)
    return _Comparison(*bare).beyond(*bare, "")


class _Comparison:
    def __init__(self, narrow_root: Any, wide_root: Any) -> None:
        self._narrow_root = narrow_root
        self._wide_root = wide_root
        self._assumed: set[tuple[str, str]] = set()
        self._same_parts = _text(_parts(narrow_root)) == _text(_parts(wide_root))

    def beyond(self, narrow: Any, wide: Any, at: str) -> list[str]:
        pair = _text(narrow), _text(wide)
        refers = "$ref" in pair[0] or "$ref" in pair[1]
        # Of a type that holds itself: what holds for all that is nearer holds for the rest.
        if pair in self._assumed or (pair[0] == pair[1] and (self._same_parts or not refers)):
            return []
        if refers:
            self._assumed.add(pair)
        try:
            return list(self._judge(_followed(narrow, self._narrow_root), _followed(wide, self._wide_root), at))
        except _CannotTell as reason:
            return [f"{at or 'the whole'}: cannot tell, because {reason}"]

    def _judge(self, narrow: Schema, wide: Schema, at: str) -> Iterator[str]:
        if not _rules(wide) or narrow.get("enum") == []:
            return
        for schema in (narrow, wide):
            if unknown := sorted(_rules(schema) - _JUDGED):
                raise _CannotTell(f"{unknown[0]!r} is not a keyword that is judged")
        if "enum" in narrow or "const" in narrow:
            yield from self._values(narrow, wide, at)
        elif (branches := narrow.get("anyOf", narrow.get("oneOf"))) is not None:
            if len(_rules(narrow)) > 1:
                raise _CannotTell("anyOf has other rules beside it")
            for branch in branches:
                yield from self.beyond(branch, wide, at)
        else:
            found = [problem for kind in _kinds(narrow) for problem in self._one_kind(narrow, kind, wide, at)]
            yield from found if _rules(narrow) or not found else [f"{at or 'the whole'}: may be anything"]

    def _values(self, narrow: Schema, wide: Schema, at: str) -> Iterator[str]:
        own = _standing_alone(narrow, self._narrow_root)
        for value in [narrow["const"]] if "const" in narrow else narrow["enum"]:
            if _fits(value, own):
                yield from self._value(value, wide, at)

    def _value(self, value: Any, wide: Schema, at: str) -> Iterator[str]:
        branches = wide["anyOf"] if _rules(wide) == {"anyOf"} else [wide]
        fitting = [one for one in branches if _fits(value, _standing_alone(one, self._wide_root))]
        if not fitting:
            yield f"{at or 'the whole'}: may be {_text(value)}, which is not accepted"
        elif not isinstance(value, bool | int | float | None) and all(self._has_format(one) for one in fitting):
            raise _CannotTell(f"whether {_text(value)} has the right format is not judged")

    def _has_format(self, schema: Any) -> bool:
        text = _text(schema)
        return "format" in text or ("$ref" in text and "format" in _text(_parts(self._wide_root)))

    def _one_kind(self, narrow: Schema, kind: str, wide: Schema, at: str) -> Iterator[str]:
        if (branches := wide.get("anyOf")) is not None:
            if len(_rules(wide)) > 1:
                raise _CannotTell("anyOf has other rules beside it")
            yield from self._one_of(dict(narrow) | {"type": kind}, branches, at)
            return
        if "oneOf" in wide:
            raise _CannotTell("oneOf excludes what fits twice")
        if kind == "boolean" or kind == "null":
            for value in [None] if kind == "null" else [False, True]:
                yield from self._value(value, wide, at)
            return
        if "enum" in wide or "const" in wide:
            yield f"{at or 'the whole'}: may be any {kind}, and only certain values are accepted"
            return
        if not (kind in _kinds(wide) or (kind == "integer" and "number" in _kinds(wide))):
            yield f"{at or 'the whole'}: may be of type {kind}, which is not accepted"
            return
        yield from self._rules_of(kind, narrow, wide, at)

    def _one_of(self, narrow: Schema, branches: list[Any], at: str) -> Iterator[str]:
        found: list[list[str]] = []
        for branch in branches:
            assumed = set(self._assumed)
            problems = self.beyond(narrow, branch, at)
            if not problems:
                return
            self._assumed = assumed
            found.append(problems)
        # The branch that comes nearest says most.
        yield from min(found, key=lambda problems: (any("of type" in one for one in problems), len(problems)))

    def _rules_of(self, kind: str, narrow: Schema, wide: Schema, at: str) -> Iterator[str]:
        place = at or "the whole"
        if kind in ("integer", "number"):
            yield from _numbers(narrow, wide, kind == "integer", place)
        for keyword in _SAME.get(kind, ()):
            if wide.get(keyword, False) is not False and narrow.get(keyword) != wide[keyword]:
                yield f"{place}: {keyword} {wide[keyword]!r} is asked for, and may not hold"
        least, most = _BOUNDS.get(kind, ("", ""))
        if narrow.get(least, 0) < wide.get(least, 0):
            yield f"{place}: {least} may be {narrow.get(least, 0)}, and at least {wide[least]} is accepted"
        if most in wide and narrow.get(most, math.inf) > wide[most]:
            yield f"{place}: {most} may be {narrow.get(most, 'any')}, and at most {wide[most]} is accepted"
        if kind == "array":
            yield from self.beyond(narrow.get("items", True), wide.get("items", True), f"{at}[]")
        if kind == "object":
            yield from self._objects(narrow, wide, at)

    def _objects(self, narrow: Schema, wide: Schema, at: str) -> Iterator[str]:
        for name in wide.get("required", []):
            if name not in narrow.get("required", []):
                yield f"{_inside(at, name)}: may be missing, and is required"
        here, there = narrow.get("properties", {}), wide.get("properties", {})
        others, accepted = narrow.get("additionalProperties", True), wide.get("additionalProperties", True)
        for name in {**here, **there}:
            inner, outer = here.get(name, others), there.get(name, accepted)
            if inner is False:
                continue
            if outer is False:
                yield f"{_inside(at, name)}: may be there, and is not accepted"
            elif name not in here and self.beyond(inner, outer, at):
                yield f"{_inside(at, name)}: is not described, and may be anything"
            else:
                yield from self.beyond(inner, outer, _inside(at, name))
        if others is not False and accepted is False:
            yield f"{at or 'the whole'}: may have further properties, which are not accepted"
        else:
            yield from self.beyond(others, accepted, _inside(at, "*"))


class _CannotTell(Exception):
    """A rule that is not judged; caught where the place is known."""


def _numbers(narrow: Schema, wide: Schema, whole: bool, place: str) -> Iterator[str]:
    for sign, plain, strict, word in (
        (1, "minimum", "exclusiveMinimum", "below"),
        (-1, "maximum", "exclusiveMaximum", "above"),
    ):
        mine, theirs = (_bound(schema, plain, strict, sign, whole) for schema in (narrow, wide))
        if mine < theirs:
            yield f"{place}: may be {word} what is accepted ({sign * theirs[0]:g})"


def _bound(schema: Schema, plain: str, strict: str, sign: int, whole: bool) -> tuple[float, bool]:
    """The strictest lower bound: its value, and whether that is left out itself; upper ones with their sign turned."""
    missing = -sign * math.inf
    bounds = [(sign * schema.get(plain, missing), False), (sign * schema.get(strict, missing), strict in schema)]
    if whole:
        bounds = [(_next_whole(value, left_out), False) for value, left_out in bounds]
    return max(bounds)


def _next_whole(value: float, left_out: bool) -> float:
    if math.isinf(value):
        return value
    return math.floor(value) + 1 if left_out else math.ceil(value)


def _kinds(schema: Schema) -> tuple[str, ...]:
    given: str | list[str] = schema.get("type", list(_TYPES))
    return (given,) if isinstance(given, str) else tuple(given)


def _rules(schema: Schema) -> set[str]:
    return schema.keys() - {"$defs"}


def _bare(schema: Any) -> Any:
    """The schema without words for people, inside too, as far as its keywords are known."""
    if isinstance(schema, list):
        return [_bare(one) for one in cast(list[Any], schema)]
    if not isinstance(schema, Mapping):
        return schema
    bare: dict[str, Any] = {}
    for name, value in cast(Schema, schema).items():
        if name in ("properties", "$defs") and isinstance(value, Mapping):
            bare[name] = {key: _bare(one) for key, one in cast(Schema, value).items()}
        elif name not in _WORDS:
            bare[name] = _bare(value) if name in _HOLDING else value
    return bare


def _followed(schema: Any, root: Any) -> Schema:
    """The schema as an object, behind its reference if it is one."""
    seen: set[str] = set()
    while isinstance(schema, Mapping) and "$ref" in schema:
        schema = cast(Schema, schema)
        place = str(schema["$ref"])
        if place in seen or len(_rules(schema)) > 1:
            raise _CannotTell(f"the reference {place!r} leads to itself, or has other rules beside it")
        seen.add(place)
        schema = _part(root, place)
    if isinstance(schema, bool):
        return {} if schema else {"enum": []}
    if not isinstance(schema, Mapping):
        raise _CannotTell("it is no JSON Schema")
    return cast(Schema, schema)


def _part(root: Any, place: str) -> Any:
    if not place.startswith("#/"):
        raise _CannotTell(f"the reference {place!r} leads out of the document")
    part = root
    for step in place[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(part, Mapping) or name not in part:
            raise _CannotTell(f"the reference {place!r} leads nowhere")
        part = cast(Schema, part)[name]
    return part


def _parts(root: Any) -> Any:
    return cast(Schema, root).get("$defs", {}) if isinstance(root, Mapping) else {}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for name, value in cast(Schema, schema).items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in cast(list[Any], schema):
            yield from _references(value)


def _standing_alone(schema: Any, root: Any) -> Draft202012Validator:
    if isinstance(schema, bool):
        return Draft202012Validator(schema)
    return Draft202012Validator({**schema, "$defs": _parts(root)})


def _fits(value: Any, validator: Draft202012Validator) -> bool:
    return validator.is_valid(value)  # pyright: ignore[reportUnknownMemberType]


def _inside(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _text(value: Any) -> str:
    return canonical_json(value).decode()
