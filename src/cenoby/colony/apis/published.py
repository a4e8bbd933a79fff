"""What a colony publishes: tools under names with a major version, each the way to a tool behind it.

`admit` puts the tool behind in the place of a published name, so that every stage after it decides on that tool alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from cenoby.colony.apis.document import ApiDocument, ApiTool
from cenoby.colony.directory import Directory
from cenoby.colony.errors import CallInvalid
from cenoby.colony.schema_tool import SchemaTool
from cenoby.colony.tool import LONGEST_NAME, Tool
from cenoby.kernel.clock import DAY_NS, Clock
from cenoby.kernel.settings_apis import PublishedToolSettings, PublishSettings
from cenoby.kernel.settings_file import SettingsError

EventShape = Callable[[str], tuple[str, dict[str, Any]] | None]
"""Tag and JSON Schema of the present version of an event, by its name; None where there is none of that name."""


_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class PublishedTool(SchemaTool):
    """A published tool as it is listed; it never runs itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A published name and where it leads."""

    api: PublishSettings
    name: str
    behind: PublishedToolSettings

    def adapted(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the tool behind takes them.

        Raises:
            CallInvalid: one of them is none of the published tool's.
        """
        rename, fill = self.behind.rename, self.behind.fill
        if not (rename or fill):
            return dict(arguments)
        hidden = (fill.keys() | set(rename.values())) - rename.keys()
        if wrong := sorted(hidden & arguments.keys()):
            raise CallInvalid("arguments_invalid", f"{wrong[0]}: {self.name} has no such argument.")
        return {rename.get(name, name): value for name, value in arguments.items()} | fill

    def listed(self, tool: Tool) -> PublishedTool:
        """The published tool, as the tool behind it is now."""
        back = {own: published for published, own in self.behind.rename.items()}
        says = replace(tool.says, sensitive=frozenset(back.get(name, name) for name in tool.says.sensitive))
        return PublishedTool(
            name=self.name,
            mad=self.name.split(".")[1],
            says=says,
            description=tool.description,
            arguments_model=tool.arguments_model,
            returns=tool.returns,
            run=tool.run,
            estimate=tool.estimate,
            takes=_published_schema(tool.input_schema, back, self.behind.fill),
            gives=tool.output_schema,
        )


class Publications:
    """The APIs of the setting `publish`.

    Args:
        settings: those.
        directory: the tools behind them.
        clock: says which versions have ended.
        event_shape: knows the events.

    Raises:
        SettingsError: two entries are the same version, a name is too long, or an event is unknown.
    """

    def __init__(
        self, settings: Sequence[PublishSettings], directory: Directory, clock: Clock, event_shape: EventShape
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._event_shape = event_shape
        self._apis: dict[tuple[str, int], PublishSettings] = {}
        self._entries: dict[str, Entry] = {}
        self._listed: dict[str, tuple[Tool, PublishedTool]] = {}
        for api in settings:
            self._add(api)

    def _add(self, api: PublishSettings) -> None:
        if (api.name, api.version) in self._apis:
            raise _invalid(f"{api.name} v{api.version} is there twice; give one of them another version")
        self._apis[api.name, api.version] = api
        for event in api.events:
            if self._event_shape(event) is None:
                raise _invalid(f"there is no event {event!r}; `cenoby events schema` has all of them")
        for word, behind in api.tools.items():
            name = f"mads.{api.name}_v{api.version}.{word}"
            if len(name) > LONGEST_NAME:
                raise _invalid(f"{name} is longer than {LONGEST_NAME} characters, which some clients refuse")
            whole = PublishedToolSettings(tool=behind) if isinstance(behind, str) else behind
            self._entries[name] = Entry(api, name, whole)

    def verify(self, *, complete: bool) -> None:
        """Pass if what is published is there, once the MADs are.

        Args:
            complete: no other node can have the MADs that are missing here.

        Raises:
            SettingsError: a tool is unknown, `rename` or `fill` names an argument that it does not have, or the name of
                an API is a MAD's.
        """
        for entry in self._entries.values():
            if (mad := entry.name.split(".")[1]) in self._directory:
                raise _invalid(f"a MAD is named {mad}; give the API another name")
            tool = self._directory.find(entry.behind.tool)
            if tool is None:
                if complete:
                    raise _invalid(f"{entry.name}: no tool is named {entry.behind.tool!r}")
                continue
            rename, known = entry.behind.rename, tool.input_schema.get("properties", {}).keys()
            taken = {*rename.values(), *entry.behind.fill}
            if wrong := sorted(taken - known):
                raise _invalid(f"{entry.name}: {tool.name} has no argument {wrong[0]!r}")
            if twice := sorted((known - taken) & rename.keys()):
                raise _invalid(f"{entry.name}: {tool.name} has an argument {twice[0]!r} of its own")

    def entry(self, name: str) -> Entry | None:
        """Where a published name leads; None for every other name."""
        return self._entries.get(name)

    def admit(self, entry: Entry, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments for the tool behind a published name.

        Raises:
            CallInvalid: its version has ended, or an argument is none of its own.
        """
        if self.has_ended(entry.api):
            raise CallInvalid("api_ended", self._ended_words(entry.api))
        return entry.adapted(arguments)

    def find(self, name: str) -> PublishedTool | None:
        """The published tool of that canonical name; None where there is none, it ended, or the tool behind is away."""
        entry = self._entries.get(name)
        tool = self._directory.find(entry.behind.tool) if entry else None
        if entry is None or tool is None or self.has_ended(entry.api):
            return None
        known = self._listed.get(name)
        if known is None or known[0] is not tool:
            known = self._listed[name] = tool, entry.listed(tool)
        return known[1]

    @property
    def tools(self) -> Iterator[Tool]:
        """All published tools that can be called now."""
        return (tool for name in self._entries if (tool := self.find(name)) is not None)

    @property
    def apis(self) -> list[PublishSettings]:
        """What is published, ended versions too."""
        return list(self._apis.values())

    def has_ended(self, api: PublishSettings) -> bool:
        """Whether the last day of a version is over."""
        return api.until is not None and self._clock.now_ns() >= _end_ns(api.until)

    def document(self, name: str, version: int) -> ApiDocument:
        """What a version is now.

        Raises:
            CallInvalid: there is none, or it has ended.
        """
        api = self._apis.get((name, version))
        if api is None:
            others = ", ".join(f"v{number}" for one, number in self._apis if one == name)
            raise CallInvalid("api_unknown", f"{name} v{version} is not published{f'; {others} is' if others else ''}.")
        if self.has_ended(api):
            raise CallInvalid("api_ended", self._ended_words(api))
        names = {word: f"mads.{name}_v{version}.{word}" for word in api.tools}
        shapes = (shape for event in api.events if (shape := self._event_shape(event)) is not None)
        return ApiDocument(
            api=name,
            version=version,
            until=api.until.isoformat() if api.until else None,
            tools={word: _api_tool(tool) for word, one in names.items() if (tool := self.find(one)) is not None},
            events=dict(shapes),
        )

    def _ended_words(self, api: PublishSettings) -> str:
        after = [one for one in self.apis if one.name == api.name and one.version > api.version]
        newest = max((one.version for one in after if not self.has_ended(one)), default=None)
        now = f"use v{newest}, mads.{api.name}_v{newest}.*" if newest else "no later version has taken its place"
        return f"{api.name} v{api.version} was served until {api.until}; {now}."


def _published_schema(schema: Mapping[str, Any], back: Mapping[str, str], fill: Mapping[str, Any]) -> dict[str, Any]:
    if not (back or fill):
        return dict(schema)
    properties = {back.get(name, name): one for name, one in schema["properties"].items() if name not in fill}
    required = [back.get(name, name) for name in schema.get("required", []) if name not in fill]
    rest = {name: value for name, value in schema.items() if name not in ("properties", "required")}
    return {**rest, "properties": properties, **({"required": required} if required else {})}


def _api_tool(tool: Tool) -> ApiTool:
    says = tool.says
    return ApiTool(
        description=tool.description,
        effect=says.effect,
        idempotent=says.idempotent,
        priced=tool.estimate is not None,
        sensitive=sorted(says.sensitive),
        sensitive_result=says.sensitive_result,
        timeout=says.timeout,
        waits=says.waits,
        input=tool.input_schema,
        output=tool.output_schema,
    )


def _end_ns(until: date) -> int:
    return (until.toordinal() - _EPOCH + 1) * DAY_NS


def _invalid(problem: str) -> SettingsError:
    return SettingsError("settings_invalid", f"publish: {problem}.")
