"""A tool known by its schemas alone: on another node, of another colony, or published under another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, create_model

from cenoby.colony.errors import CallInvalid
from cenoby.colony.foreign_schema import misfits, validator_of
from cenoby.colony.tool import Tool
from cenoby.kernel.codec import from_json


@dataclass(frozen=True)
class SchemaTool(Tool):
    """A tool whose arguments stay in plain form.

    Attributes:
        takes: JSON Schema of the arguments.
        gives: JSON Schema of the structured result; None where it answers with content blocks.
    """

    takes: dict[str, Any] = field(kw_only=True)
    gives: dict[str, Any] | None = field(kw_only=True)

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        return self.takes

    @cached_property
    def output_schema(self) -> dict[str, Any] | None:
        return self.gives

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return validator_of(self.takes)

    def parse(self, canonical: bytes) -> dict[str, Any]:
        """The arguments in plain form; where they have types, these are made where the tool is."""
        arguments = from_json(canonical)
        if problems := misfits(self._validator, arguments):
            raise CallInvalid("arguments_invalid", f"{problems}. The input schema of {self.name} says what fits.")
        return arguments


def arguments_named_in(schema: Mapping[str, Any]) -> type[BaseModel]:
    """A model that knows the names of the arguments, and nothing of their types."""
    fields: dict[str, Any] = dict.fromkeys(schema.get("properties", {}), (Any, ...))
    return create_model("arguments", __config__=ConfigDict(extra="forbid"), **fields)
