"""Checking values by a JSON Schema that somebody else wrote: nothing is fetched, and no pattern takes for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry

from cenoby.protection.rules.linear import Pattern, linear

_Found = Iterator[ValidationError]
_DEEPEST = 60
_NOTHING_ELSE: Any = cast(Any, Registry)()


def validator_of(schema: Mapping[str, Any]) -> Draft202012Validator:
    """A validator that reads the schema and nothing else; a reference out of it is an error of the check."""
    return _LINEAR(schema, registry=_NOTHING_ELSE)


def misfits(validator: Draft202012Validator, value: Any) -> str:
    """Where a value does not fit a schema, in words; empty where it fits."""
    found = cast(Iterator[ValidationError], validator.iter_errors(value))  # pyright: ignore[reportUnknownMemberType]
    try:
        problems = [f"{error.json_path}: {error.message[:200]}" for error in found]
    except RecursionError:
        return "the schema has no end"
    return "; ".join(problems[:5])


def unfit(schema: Any) -> str:
    """Why a schema of somebody else's is not used, in words; empty where it is.

    It must be one of Draft 2020-12, refer to itself alone, and have patterns that RE2 knows: those take no longer than
    the text is long. `unevaluatedProperties` beside patterns is left to the library, which tries them in its own way.
    """
    try:
        Draft202012Validator.check_schema(schema)  # pyright: ignore[reportUnknownMemberType]
        return next(_problems(schema, 0), "")
    except SchemaError as error:
        return f"it is no JSON Schema: {error.message[:200]}"
    except RecursionError:
        return "it is nested too deep"


def _problems(part: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        yield "it is nested too deep"
        return
    if isinstance(part, list):
        for inner in cast(list[Any], part):
            yield from _problems(inner, depth + 1)
    elif isinstance(part, dict):
        members = cast(dict[str, Any], part)
        yield from _own_problems(members)
        for inner in members.values():
            yield from _problems(inner, depth + 1)


def _own_problems(members: dict[str, Any]) -> Iterator[str]:
    for name in ("$ref", "$dynamicRef"):
        if isinstance(to := members.get(name), str) and not to.startswith("#"):
            yield f"{name} leads out of it, to {to[:80]!r}"
        elif to == "#" or to == "#/":
            yield f"{name} leads to itself"
    named = members.get("patternProperties")
    patterns = [members.get("pattern"), *(cast(dict[str, Any], named) if isinstance(named, dict) else ())]
    for pattern in patterns:
        if isinstance(pattern, str) and _compiled(pattern) is None:
            yield f"the pattern {pattern[:80]!r} is none that RE2 knows"
    if isinstance(named, dict) and "unevaluatedProperties" in members:
        yield "patternProperties stands beside unevaluatedProperties"


@cache
def _compiled(pattern: str) -> Pattern | None:
    try:
        return linear(pattern)
    except Exception:  # noqa: BLE001 - the package has an error of its own, without a type
        return None


def _fits(pattern: str, text: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is not None and compiled.search(text) is not None


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> _Found:
    del validator, schema
    if isinstance(value, str) and not _fits(pattern, value):
        yield ValidationError(f"{value[:80]!r} does not match {pattern[:80]!r}")


def _pattern_properties(validator: Any, named: Mapping[str, Any], value: Any, schema: Any) -> _Found:
    del schema
    for pattern, part in named.items() if isinstance(value, dict) else ():
        for name, item in cast(dict[str, Any], value).items():
            if _fits(pattern, name):
                yield from validator.descend(item, part, path=name, schema_path=pattern)


def _additional_properties(validator: Any, part: Any, value: Any, schema: Mapping[str, Any]) -> _Found:
    named: Mapping[str, Any] = schema.get("patternProperties", {})
    known: Mapping[str, Any] = schema.get("properties", {})
    for name, item in cast(dict[str, Any], value).items() if isinstance(value, dict) else ():
        if name in known or any(_fits(pattern, name) for pattern in named):
            continue
        if part is False:
            yield ValidationError(f"additional properties are not allowed ({name[:80]!r} was unexpected)")
        else:
            yield from validator.descend(item, part, path=name)


_LINEAR: Any = cast(Any, validators).extend(
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
