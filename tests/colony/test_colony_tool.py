"""What `@tool` makes of a method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import Field

from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool, tools_of


@dataclass(frozen=True, slots=True)
class Sum:
    total: int


class Sums(Mad):
    name = "sums"

    @tool(action="tool:call", effect="reads")
    async def add_up(
        self,
        call: Call,
        numbers: Annotated[list[int], Field(description="What to add.", max_length=5)],
        sign: Literal["plus", "minus"] = "plus",
    ) -> Sum:
        """Add numbers.

        This second paragraph is not shown to models.
        """
        return Sum(sum(numbers))

    @tool(action="tool:call", effect="outside", sensitive=("text",))
    async def shout(self, call: Call, text: str) -> ToolContent:
        """Shout."""
        return ToolContent([{"type": "text", "text": text.upper()}])


def test_schemas_come_from_the_signature() -> None:
    """Input and output schema, description and defaults follow from the method as it is written."""
    add_up, shout = tools_of(Sums(), "sums")
    assert add_up.name == "mads.sums.add_up"
    assert add_up.description == "Add numbers."
    assert add_up.input_schema["required"] == ["numbers"]
    assert add_up.input_schema["additionalProperties"] is False
    assert add_up.input_schema["properties"]["numbers"]["description"] == "What to add."
    assert add_up.output_schema == {"type": "object", "properties": {"total": {"title": "Total", "type": "integer"}}, "required": ["total"]}  # fmt: skip  # noqa: E501
    assert shout.output_schema is None
    assert (add_up.says.idempotent, shout.says.idempotent) == (True, False)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"{}", "numbers"),
        (b'{"numbers":"1"}', "numbers"),
        (b'{"numbers":["1"]}', "numbers.0"),
        (b'{"numbers":[1.5]}', "numbers.0"),
        (b'{"numbers":[1,2,3,4,5,6]}', "numbers"),
        (b'{"numbers":[],"sign":"times"}', "sign"),
        (b'{"numbers":[],"nubmers":[]}', "nubmers"),
        (b"[]", "arguments"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_place(text: bytes, place: str) -> None:
    """Nothing is coerced: the wrong type, length, choice or name is an error that names the place."""
    with pytest.raises(CallInvalid, match=place):
        tools_of(Sums(), "sums")[0].parse(text)


def test_fitting_arguments_become_typed_values_with_defaults() -> None:
    """What fits reaches the method by name, defaults filled in."""
    assert tools_of(Sums(), "sums")[0].parse(b'{"numbers":[1,2]}') == {"numbers": [1, 2], "sign": "plus"}


def test_an_unregistered_action_type_cannot_be_declared() -> None:
    """A misspelt action type fails when the class is made, not at a call."""
    with pytest.raises(ValueError, match="tool:cal"):
        tool(action="tool:cal", effect="reads")


def test_names_that_clients_would_refuse_cannot_be_published() -> None:
    """Double underscores, capitals and long names are refused when the MAD is added."""

    class Odd(Mad):
        name = "odd"

        @tool(action="tool:call", effect="reads")
        async def two__many(self, call: Call) -> Sum:
            return Sum(0)

    with pytest.raises(TypeError, match="single underscores"):
        tools_of(Odd(), "odd")
    with pytest.raises(TypeError, match="longer than"):
        tools_of(Sums(), "s" * 40)
