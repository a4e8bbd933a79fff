"""Schemas that others wrote: they are checked as the library does, but fetch nothing and never take for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import _WrappedReferencingError  # pyright: ignore[reportPrivateUsage]

from cenoby.colony.foreign_schema import misfits, unfit, validator_of

LONG = "a" * 2000 + "!"
NAMES = st.sampled_from(["a", "b", "ab", "x-1", ""])


@given(
    st.fixed_dictionaries(
        {"properties": st.dictionaries(NAMES, st.sampled_from([{}, {"type": "string"}, {"pattern": "^a"}]))},
        optional={
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$", "x"]), st.sampled_from([{}, False])),
            "additionalProperties": st.sampled_from([True, False, {"type": "integer"}]),
        },
    ),
    st.dictionaries(NAMES, st.one_of(st.integers(), st.text(max_size=3))),
)
def test_it_says_what_the_library_says(schema: dict[str, Any], value: dict[str, Any]) -> None:
    """With patterns and without, a value fits by ours exactly where it fits by the library's own validator."""
    assert unfit(schema) == ""
    assert (misfits(validator_of(schema), value) == "") is Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
    ],
)
def test_a_pattern_that_would_never_end_ends(schema: dict[str, Any]) -> None:
    """Two thousand letters that a backtracking engine would try for longer than the universe is old."""
    assert misfits(validator_of(schema), {"a": LONG, LONG: 1}) != ""


async def test_nothing_is_fetched() -> None:
    """A reference to a server is not followed, and such a schema is not used to begin with."""
    asked: list[int] = []
    server = await asyncio.start_server(lambda reader, writer: asked.append(1), "127.0.0.1", 0)
    schema = {"$ref": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/schema"}
    async with server:
        assert "leads out of it" in unfit(schema)
        with pytest.raises(_WrappedReferencingError):
            await asyncio.to_thread(misfits, validator_of(schema), {})
    assert asked == []


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "leads out of it"),
        ({"$ref": "#"}, "leads to itself"),
        ({"pattern": "(?=a)b"}, "RE2"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"type": "nothing"}, "no JSON Schema"),
    ],
)
def test_what_is_not_used(schema: dict[str, Any], why: str) -> None:
    """Each with its reason in words."""
    assert why in unfit(schema)


def test_a_schema_without_end_is_a_misfit() -> None:
    """References in a circle end as a reason, not as a crash."""
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    assert misfits(validator_of(schema), {}) == "the schema has no end"
