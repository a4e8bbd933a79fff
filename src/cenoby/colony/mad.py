"""What a MAD is: a class with `@tool` methods, given everything it may touch when it is made."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from cenoby.access.actions import require_action
from cenoby.colony.along import Along
from cenoby.colony.events import ListName
from cenoby.colony.invocation import ClientChannel
from cenoby.colony.tool import Tool
from cenoby.kernel.clock import Clock
from cenoby.kernel.events import Event

_PROMPT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ToolCaller(Protocol):
    """Calls another tool as this MAD, through the pipeline."""

    async def __call__(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """The tool's structured result.

        Raises:
            CenobyError: the pipeline refused the call, or the tool failed.
        """
        ...


class Fetch(Protocol):
    """Fetches a page through the egress guard."""

    async def __call__(
        self, url: str, *, secret: str = "", header: str = "authorization", form: str = "Bearer {}"
    ) -> tuple[int, str, bytes]:
        """`(status, content type, body)`.

        Args:
            secret: name of a secret that goes along in a header, so that the MAD never holds it; empty for none.
                Where the answer repeats the value, it is blacked out.
            header, form: of the header; `{}` stands for the value.

        Raises:
            CenobyError: it may not be fetched, nothing answers, or the secret may not be used so.
        """
        ...


class ListsChanged(Protocol):
    """Has listening clients told that lists of this MAD changed."""

    async def __call__(self, *lists: ListName) -> None:
        """Tell it of these lists; of all where none is named."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What the colony hands to a MAD that it did not ship with; there is nothing ambient beside it.

    Attributes:
        clock: the time.
        files: a directory of the MAD's own, made when first asked for.
        secret: reads a secret by name; refused unless the secret names this MAD as a reader.
        fetch: `(url, secret="") -> (status, content type, body)` through the egress guard.
        call_tool: calls another tool as this MAD.
        call_later: `(tool, arguments, key="") -> id`: has an idempotent tool called as this MAD, over crashes and
            failures, until it succeeds or lies among the dead letters; durable when it returns.
        lists_changed: to be called when what `prompts` or `resources` give is another than before.
    """

    clock: Clock
    files: Callable[[], Path]
    secret: Callable[[str], Awaitable[str]]
    fetch: Fetch
    call_tool: ToolCaller
    call_later: Callable[..., Awaitable[str]]
    lists_changed: ListsChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceKind:
    """A family of MCP resources that one tool reads.

    Attributes:
        template: RFC 6570 level 1 URI template, e.g. `cenoby://conversations/{conversation}`; a plain URI
            for one resource.
        name, title, description, mime_type: as MCP lists them.
        tool: canonical name of the reading tool; reading the resource is a call of it, through the pipeline.
        arguments: further fixed arguments of that call; the template's variables are added by name.
        list_tool: canonical name of a tool that lists what there is, where there is one; its result has the key
            `list_key`, a list of objects whose `id` fills the template's one variable and whose `name` is shown.
    """

    template: str
    name: str
    description: str
    tool: str
    title: str = ""
    mime_type: str = "application/json"
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    list_tool: str = ""
    list_key: str = ""


class PromptRenderer(Protocol):
    """Makes the messages of a prompt."""

    async def __call__(self, arguments: Mapping[str, str], client: ClientChannel | None = None) -> list[dict[str, Any]]:
        """MCP prompt messages, as plain JSON types.

        Args:
            arguments: what the caller gave; the required ones are there.
            client: the way back to the caller's client, which a prompt may ask something before it answers; None
                where the call came from no client. Questions are answered as those of a tool are: in the stateless
                revision the prompt is made again from its start, and then finds the answers.

        Raises:
            CenobyError: why it cannot be made; the caller is told.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """An MCP prompt of a MAD. Making it, and completing its arguments, are calls that pass the pipeline.

    Attributes:
        name: name within the colony: 1 to 64 letters, digits, `_` and `-`.
        action: the action type `category:action` that policy decides on; who may not use it is not shown the prompt.
        arguments: (name, description, required) of each argument.
        render: `(arguments, client=None) -> messages`.
        complete: `(argument, text so far) -> suggestions`.

    Raises:
        ValueError: the action type is not registered, or the name has another form.
    """

    name: str
    description: str
    action: str
    render: PromptRenderer
    title: str = ""
    arguments: Sequence[tuple[str, str, bool]] = ()
    complete: Callable[[str, str], Awaitable[list[str]]] | None = None

    def __post_init__(self) -> None:
        require_action(self.action)
        if not _PROMPT_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a prompt: 1 to 64 letters, digits, `_` and `-`")


class Mad:
    """Base of all MADs. Subclasses set `name` and `summary` and declare tools with `@tool`.

    `events` holds the code of each event that its tools journal with `Call.note`: with the struct that it is
    (`kernel/events.py`, `by_name`), or with what it means, where its payload may be anything.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    events: ClassVar[Mapping[str, str | type[Event]]] = {}

    @cached_property
    def along(self) -> Along:
        """What runs beside the calls while this MAD is hosted: `self.along.run(coroutine, name)`."""
        return Along()

    @classmethod
    def create(cls, grants: Grants) -> Self:
        """Make the MAD from what the colony grants; MADs that need something keep it from here."""
        del grants
        return cls()

    async def start(self) -> None:
        """Called once before the first call."""

    async def stop(self) -> None:
        """Called once after the last call."""

    def further_tools(self) -> Sequence[Tool]:
        """Tools beside those that the class declares: known by their schemas alone, such as another colony's."""
        return ()

    def memory_bytes(self) -> int | None:
        """Bytes that this MAD holds, where it can say; quick, because it is asked every second where a limit is set."""
        return None

    def resources(self) -> Sequence[ResourceKind]:
        """MCP resources that this MAD's tools read."""
        return ()

    def prompts(self) -> Sequence[Prompt]:
        """MCP prompts that this MAD offers."""
        return ()
