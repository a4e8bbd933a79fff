"""The `@tool` declaration: a typed method of a MAD becomes a tool with schemas, an action type and limits."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import msgspec
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from cenoby.access.actions import RiskTier, require_action, tier_of
from cenoby.access.budgets.accounts import Cost
from cenoby.access.flows.labels import NO_MARKS, FlowMarks, ToolFlow, tool_flow
from cenoby.colony.errors import CallInvalid
from cenoby.kernel.envelope import Priority
from cenoby.kernel.events import Event
from cenoby.protection.rules.arguments import ArgumentKind

Effect = Literal["reads", "writes", "outside"]
"""What a call changes: nothing, something inside the colony, or something beyond it."""

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])

_DECLARATION = "__cenoby_tool__"
_SEGMENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_NAME = 46
"""Characters of a canonical name; some clients refuse the alias of a longer one."""


@dataclass(frozen=True, slots=True)
class ToolContent:
    """A result that is not structured data: MCP content blocks as plain JSON types (text, image, audio, resource).

    A tool whose return annotation is `ToolContent` has no output schema.
    """

    blocks: list[dict[str, Any]]
    is_error: bool = False


class ToolReply(msgspec.Struct, frozen=True):
    """What a tool gave back, as plain JSON types or content blocks."""

    value: Any = None
    blocks: list[dict[str, Any]] | None = None
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a MAD's author says about one tool; see `tool` for the meaning of each field."""

    action: str
    effect: Effect
    idempotent: bool
    title: str
    timeout: float
    risk: RiskTier
    sensitive: frozenset[str]
    sensitive_result: bool
    cost: str | None
    priority: Priority
    waits: bool
    kinds: Mapping[str, ArgumentKind] = field(default_factory=dict[str, ArgumentKind])
    flow: FlowMarks = NO_MARKS
    people: int = 0


def tool(
    action: str,
    *,
    effect: Effect,
    idempotent: bool | None = None,
    title: str = "",
    timeout: float = 30.0,
    risk: RiskTier | None = None,
    sensitive: tuple[str, ...] = (),
    sensitive_result: bool = False,
    cost: str | None = None,
    priority: Priority = Priority.INTERACTIVE,
    waits: bool = False,
    kinds: Mapping[str, ArgumentKind] | None = None,
    flow: FlowMarks = NO_MARKS,
    people: int = 0,
) -> Callable[[Method], Method]:
    """Declare a method of a `Mad` as a tool.

    The method takes `call: Call` and then its typed arguments, and returns a frozen dataclass (or `ToolContent`). Its
    docstring's first paragraph is the tool's description.

    Args:
        action: the action type `category:action` that policy decides on.
        effect: whether it reads, writes inside the colony, or acts outside it.
        idempotent: whether doing it twice is the same as doing it once; True for reading tools unless said otherwise.
        title: a name for people.
        timeout: seconds after which the call ends as a fault.
        risk: risk tier, where it is not that of the action type.
        sensitive: names of arguments whose values are never journalled.
        sensitive_result: the result is neither journalled nor redacted (a secret that was asked for).
        cost: name of a method `(arguments: dict) -> int | Cost` that bounds the price of a call in micro-US-dollars,
            and with `Cost` in tokens of language models as well.
        priority: the mailbox lane its calls wait in.
        waits: a call mostly waits for news, so it takes none of the places in which the MAD's work is done.
        kinds: what arguments are (`path`, `url`, `command`, `sql`, `prose`), for the security rules, where their names
            do not say it.
        flow: how data flows through it, where that does not follow from action type and effect.
        people: 1 or 2: so many people, none of them who asks, must agree to each single call, whatever settings say.

    Raises:
        ValueError: the action type is not registered, or more people are wanted than approvals know.
    """
    if people not in (0, 1, 2):
        raise ValueError(f"people={people}: nobody, one person, or two can be asked for")
    declaration = Declaration(
        action=require_action(action),
        effect=effect,
        idempotent=effect == "reads" if idempotent is None else idempotent,
        title=title,
        timeout=timeout,
        risk=risk or tier_of(action),
        sensitive=frozenset(sensitive),
        sensitive_result=sensitive_result,
        cost=cost,
        priority=priority,
        waits=waits,
        kinds=dict(kinds or {}),
        flow=flow,
        people=people,
    )

    def mark(method: Method) -> Method:
        setattr(method, _DECLARATION, declaration)
        return method

    return mark


@dataclass(frozen=True)
class Tool:
    """One tool of one hosted MAD, ready to be listed and called.

    Attributes:
        name: canonical name, `mads.<mad>.<verb_noun>`.
        mad: name of the MAD; also the namespace of limits.
        says: what its author declared.
        description: first paragraph of the docstring.
        arguments_model: pydantic model of the arguments; unknown arguments are errors.
        returns: return annotation.
        run: the bound method `(call, **arguments)`.
        estimate: bound cost method, where one is declared; of a tool that is elsewhere, one that asks there.
        events: codes that the MAD declares for `Call.note`, with their structs or meanings.
    """

    name: str
    mad: str
    says: Declaration
    description: str
    arguments_model: type[BaseModel]
    returns: Any
    run: Callable[..., Awaitable[Any]]
    estimate: Callable[[Mapping[str, Any]], int | Cost | Awaitable[Cost]] | None
    events: Mapping[str, str | type[Event]] = field(default_factory=dict[str, str | type[Event]])

    @cached_property
    def flow(self) -> ToolFlow:
        """How data flows through it."""
        says = self.says
        return tool_flow(self.name, self.mad, says.action, says.effect, says.risk, says.flow)

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the arguments."""
        schema = self.arguments_model.model_json_schema()
        schema.pop("title", None)
        schema.setdefault("properties", {})
        return schema

    @cached_property
    def output_schema(self) -> dict[str, Any] | None:
        """JSON Schema of the structured result; None where the tool answers with content blocks."""
        if self.returns is ToolContent:
            return None
        schema = TypeAdapter(self.returns).json_schema(mode="serialization")
        if schema.get("type") != "object":
            raise TypeError(f"{self.name} must return an object (a frozen dataclass) or ToolContent")
        schema.pop("title", None)
        return schema

    def verify(self) -> None:
        """Pass if the tool can be published.

        Raises:
            TypeError: its arguments or its result have no JSON schema, or the result is no object.
        """
        _ = self.input_schema, self.output_schema

    async def bound(self, parsed: Mapping[str, Any]) -> Cost:
        """What a call with these arguments costs at most; nothing where the tool has no price."""
        if self.estimate is None:
            return Cost(0)
        bound = self.estimate(parsed)
        if isinstance(bound, int):
            return Cost(bound)
        return bound if isinstance(bound, Cost) else await bound

    def parse(self, canonical: bytes) -> dict[str, Any]:
        """Typed arguments from their JSON.

        Raises:
            CallInvalid: a required one is missing, one has the wrong type, or one is unknown.
        """
        try:
            model = self.arguments_model.__pydantic_validator__.validate_json(canonical, strict=True)
        except ValidationError as error:
            problems = "; ".join(
                _explain(cast(Mapping[str, Any], item)) for item in error.errors(include_url=False)[:5]
            )
            raise CallInvalid(
                "arguments_invalid", f"{problems}. The input schema of {self.name} says what fits."
            ) from None
        return dict(model.__dict__)


def tools_of(mad: object, mad_name: str) -> list[Tool]:
    """The declared tools of a MAD, in the order of its source.

    Raises:
        TypeError: a tool's name, arguments or result cannot be published.
    """
    found: list[Tool] = []
    for attribute, function in declared_methods(type(mad)):
        found.append(_build(mad, mad_name, attribute, function))
    return found


def declared_methods(cls: type) -> list[tuple[str, Callable[..., Any]]]:
    """Name and function of every `@tool` method of a class, in the order of its source."""
    seen: dict[str, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            if hasattr(value, _DECLARATION):
                seen[attribute] = value
    return list(seen.items())


def declaration_of(function: Callable[..., Any]) -> Declaration:
    """What the author said of a `@tool` method."""
    return cast(Declaration, getattr(function, _DECLARATION))


def _build(mad: object, mad_name: str, attribute: str, function: Callable[..., Any]) -> Tool:
    name = f"mads.{mad_name}.{attribute}"
    if not all(_SEGMENT.fullmatch(part) for part in (mad_name, attribute)):
        raise TypeError(f"{name}: segments are lower-case words joined by single underscores")
    if len(name) > LONGEST_NAME:
        raise TypeError(f"{name}: longer than {LONGEST_NAME} characters, which some clients refuse")
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{name}: a tool is an async method, so that it cannot block the loop")
    says = declaration_of(function)
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())[2:]
    missing = says.sensitive - {parameter.name for parameter in parameters}
    if missing:
        raise TypeError(f"{name}: sensitive names {sorted(missing)} are not arguments")
    if unknown := says.kinds.keys() - {parameter.name for parameter in parameters}:
        raise TypeError(f"{name}: kinds of {sorted(unknown)}, which are not arguments")
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
        for parameter in parameters
    }
    model = create_model(f"{attribute}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
    return Tool(
        name=name,
        mad=mad_name,
        says=says,
        description=_first_paragraph(function),
        arguments_model=model,
        returns=hints["return"],
        run=getattr(mad, attribute),
        estimate=getattr(mad, says.cost) if says.cost else None,
        events=getattr(mad, "events", {}),
    )


def _first_paragraph(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    return " ".join(text.split("\n\n", 1)[0].split())


def _explain(item: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "arguments"
    return f"{place}: {item['msg']}"
