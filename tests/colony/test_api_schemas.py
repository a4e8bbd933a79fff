"""What one schema allows beyond another: sound on schemas made at random, useful on changes that people make."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cenoby.colony.apis.schemas import beyond

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.sampled_from([None, True, False, 0, 1, 2, 3, 1.5, -1, "", "x", "yy", "zzz"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
BOUND = st.integers(-1, 3)
SIZE = st.integers(0, 3)


def some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


def typed(kind: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return some(**parts).map(lambda rules: {"type": kind} | rules)


PLAIN = st.one_of(
    st.just({}),
    st.booleans(),
    st.sampled_from(["null", "boolean", "string"]).map(lambda kind: {"type": kind}),
    st.lists(LEAVES, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    LEAVES.map(lambda value: {"const": value}),
    st.sampled_from(["integer", "number"]).flatmap(
        lambda kind: typed(kind, minimum=BOUND, maximum=BOUND, exclusiveMinimum=BOUND, exclusiveMaximum=BOUND)
    ),
    typed("string", minLength=SIZE, maxLength=SIZE),
    st.lists(st.sampled_from(["null", "integer", "string", "array"]), min_size=1, max_size=2, unique=True).map(
        lambda kinds: {"type": kinds}
    ),
    st.sampled_from(["P", "Q"]).map(lambda name: {"$ref": f"#/$defs/{name}"}),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        typed("array", items=inner, minItems=SIZE, maxItems=SIZE),
        typed(
            "object",
            properties=st.dictionaries(NAMES, inner, max_size=3),
            required=st.lists(NAMES, unique=True, max_size=2),
            additionalProperties=st.booleans() | inner,
            minProperties=SIZE,
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        st.lists(inner, min_size=1, max_size=2).map(lambda branches: {"oneOf": branches}),
    )


PARTS = st.recursive(PLAIN, nested, max_leaves=4)
SCHEMAS = st.fixed_dictionaries({"P": PARTS, "Q": PARTS}).flatmap(
    lambda parts: PARTS.map(
        lambda one: ({"enum": []} if one is False else {} if one is True else one) | {"$defs": parts}
    )
)


def fits(value: Any, schema: Any) -> bool:
    try:
        return Draft202012Validator(schema).is_valid(value)
    except RecursionError:
        # A reference that leads to itself without taking anything off the value has no meaning at all.
        assume(False)
        raise


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(SCHEMAS, SCHEMAS, st.booleans(), st.lists(VALUES, min_size=12, max_size=12))
def test_what_is_called_compatible_is(narrow: Any, wide: Any, alike: bool, values: list[Any]) -> None:
    """Where nothing is found to go beyond, no value fits the narrow schema and not the wide one."""
    if alike:
        wide = wide | {"$defs": narrow["$defs"]}
    if not beyond(narrow, wide):
        assert [value for value in values if fits(value, narrow) and not fits(value, wide)] == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(SCHEMAS)
def test_a_schema_goes_nowhere_beyond_itself(schema: Any) -> None:
    """Words for people change nothing."""
    assert beyond({"description": "old"} | schema, schema | {"$defs": dict(schema["$defs"])}) == []


CLOSED = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def closed(required: tuple[str, ...] = ("text",), **properties: Any) -> dict[str, Any]:
    return CLOSED | {"properties": CLOSED["properties"] | properties, "required": list(required)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CLOSED, closed(limit={"type": "integer", "default": 5})),
        (CLOSED, closed(())),
        (closed(n={"type": "integer", "maximum": 5}), closed(n={"type": "integer", "maximum": 9})),
        (closed(n={"type": "integer", "minimum": 1}), closed(n={"type": "number", "exclusiveMinimum": 0})),
        (closed(n={"type": "integer"}), closed(n={"anyOf": [{"type": "integer"}, {"type": "null"}]})),
        (closed(n={"enum": ["a"]}), closed(n={"enum": ["a", "b"]})),
        (closed(n={"prefixItems": [{}]}), closed(n={"prefixItems": [{}]}, m={})),
    ],
)
def test_growth_is_compatible(old: Any, new: Any) -> None:
    """What people add to an input without harm is no problem."""
    assert beyond(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (closed(n={}), CLOSED, "n: may be there, and is not accepted"),
        (CLOSED, closed(("text", "n"), n={}), "n: may be missing, and is required"),
        (
            closed(n={"type": "string"}),
            closed(n={"type": "integer"}),
            "n: may be of type string, which is not accepted",
        ),
        (closed(n={"type": "string"}), closed(n={"enum": ["a"]}), "n: may be any string, and only certain values"),
        (closed(n={"enum": ["a", "b"]}), closed(n={"enum": ["a"]}), 'n: may be "b", which is not accepted'),
        (closed(n={"anyOf": [{"type": "integer"}, {"type": "null"}]}), closed(n={"type": "integer"}), "n: may be null"),
        (
            closed(n={"type": "integer"}),
            closed(n={"type": "integer", "maximum": 3}),
            "n: may be above what is accepted",
        ),
        (closed(n={"type": "string"}), closed(n={"type": "string", "pattern": "^a"}), "n: pattern '^a' is asked for"),
        (closed(n={"type": "array"}), closed(n={"type": "array", "items": {"type": "string"}}), "n[]: may be anything"),
        (closed(n={"not": {}}), closed(n={"not": {"type": "null"}}), "n: cannot tell, because 'not' is not a keyword"),
        (closed(n={"$ref": "#/$defs/X"}), closed(n={}), "the whole: cannot tell, because the reference '#/$defs/X'"),
        (
            closed(n={"enum": ["x"]}),
            closed(n={"type": "string", "format": "date"}),
            'n: cannot tell, because whether "x" has the right format',
        ),
    ],
)
def test_what_breaks_is_said(old: Any, new: Any, says: str) -> None:
    """Each kind of change that breaks is found, with its place; so is what cannot be judged."""
    problems = beyond(old, new)
    assert problems and problems[0].startswith(says)
