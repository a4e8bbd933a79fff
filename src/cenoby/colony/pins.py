"""Pins of foreign tools: each must stay what it was when it was first seen, or refuse until a person accepts it.

A tool of another colony is known here by what that colony says of it, and a model reads that text as if it were ours.
So the whole of it (name, description, schemas, annotations, and whose it is) is hashed when it is first seen, and
compared whenever tools are listed or change and at every call. One that differs, or whose text speaks to the model, is
put in quarantine: it is listed with words of ours, and refuses.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import msgspec

from cenoby.access.principals import Principal
from cenoby.colony.schema_tool import SchemaTool
from cenoby.colony.tool import Tool, ToolContent
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import canonical_json, digest, from_json
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.kernel.events import Event
from cenoby.protection.rules.descriptions import marks_in_description
from cenoby.protection.rules.errors import RuleRefused
from cenoby.protection.rules.events import ToolPinned, ToolQuarantined
from cenoby.store.cached_table import COLD
from cenoby.store.engine import Connection
from cenoby.store.table_cache import Change, TableCache

_LONGEST_LINE, _MOST_LINES = 200, 60

PinState = Literal["new", "pinned", "changed", "poisoned"]


class Pin(msgspec.Struct, frozen=True):
    """What a tool was when it was first seen, or when a person accepted it.

    Attributes:
        name, server: its canonical name here, and where it comes from.
        digest: of `described`.
        described: all that is pinned, as canonical JSON.
        accepted_by: who accepted it; empty where it was pinned at first sight.
        pinned_ns: when, Unix nanoseconds.
    """

    name: str
    server: str
    digest: str
    described: str
    accepted_by: str
    pinned_ns: int


class Seen(NamedTuple):
    """A foreign tool as it is now.

    Attributes:
        tool: as its MAD has it.
        server: where it comes from.
        described: what is pinned of it.
        digest: of that.
        rules: those that its texts break.
    """

    tool: Tool
    server: str
    described: dict[str, Any]
    digest: str
    rules: tuple[str, ...]


class Standing(NamedTuple):
    """A foreign tool and its pin, for people."""

    seen: Seen
    pin: Pin | None
    state: PinState
    diff: list[str]


@dataclass(frozen=True)
class QuarantinedTool(SchemaTool):
    """A foreign tool as it is listed while nobody has accepted what it is now; it never runs."""


class Pins:
    """The pins of a colony.

    Args:
        cache: keeps them; its table `tool_pins` is ours.
        clock: the time.
        servers: where the tools of a MAD come from, by the MAD's name; others are not pinned.
        note: journals an event.
        changed: told when a pin is another than before, so that tools are listed anew.
    """

    def __init__(
        self,
        cache: TableCache,
        clock: Clock,
        servers: Mapping[str, str],
        note: Callable[[Event], object],
        changed: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._servers = servers
        self._note = note
        self._changed = changed
        self._pins = cache.table("tool_pins", _read, self._told)
        self._seen: dict[str, Seen] = {}
        self._shown: dict[str, tuple[str, QuarantinedTool]] = {}
        self._journalled: set[tuple[str, str]] = set()

    def covers(self, mad: str) -> bool:
        """Whether the tools of a MAD are foreign."""
        return mad in self._servers

    def screen(self, tool: Tool) -> Tool:
        """The tool as it may be listed and called: itself, or one that only refuses."""
        if tool.mad not in self._servers:
            return tool
        seen = self._look(tool)
        pin = self._pins.get(tool.name)
        state = self._state(seen, None if pin is COLD else pin)
        if pin is not COLD and state in ("new", "pinned"):
            return tool
        self._journal(seen, None if pin is COLD else pin)
        known = self._shown.get(tool.name)
        if known is None or known[0] != seen.digest:
            known = self._shown[tool.name] = seen.digest, _in_quarantine(seen, pin if isinstance(pin, Pin) else None)
        return known[1]

    async def check(self, tool: Tool) -> None:
        """Pass if the tool is none that is pinned, or is what was pinned; one that is new is pinned first.

        Raises:
            RuleRefused: tool_quarantined.
            StoreUnavailable: it is new, and its pin could not be made durable.
        """
        if tool.mad not in self._servers:
            return
        screened = self.screen(tool) if not isinstance(tool, QuarantinedTool) else tool
        if isinstance(screened, QuarantinedTool):
            raise RuleRefused("tool_quarantined", screened.description, details={"tool": tool.name})
        if self._pins.get(tool.name) is None:
            await self._put(self._look(tool), "")
            await self.check(tool)

    async def pin_new(self, tools: Iterable[Tool]) -> None:
        """Pin what is seen for the first time.

        Raises:
            StoreUnavailable: a pin could not be made durable; the call that needs it first tries again.
        """
        for tool in [one for one in tools if one.mad in self._servers and not isinstance(one, QuarantinedTool)]:
            if self._pins.get(tool.name) is None and not self._look(tool).rules:
                await self._put(self._look(tool), "")

    def standings(self) -> list[Standing]:
        """All foreign tools that were seen, by name.

        Raises:
            StoreUnavailable: store_cold.
        """
        pins = self._pins.all()
        found = [(seen, pins.get(seen.tool.name)) for _, seen in sorted(self._seen.items())]
        return [Standing(seen, pin, self._state(seen, pin), _diff(seen, pin)) for seen, pin in found]

    async def accept(self, name: str, shown: str, principal: Principal) -> Pin:
        """Accept a tool as it is now.

        Args:
            name: canonical name.
            shown: digest of what the person was shown; what has changed since is not accepted.
            principal: who accepts; a person.

        Raises:
            RuleRefused: pin_unknown; tool_quarantined: it is not a person, or the tool is not what they were shown.
            StoreUnavailable: it could not be made durable.
        """
        seen = self._seen.get(name)
        if seen is None:
            raise RuleRefused(
                "pin_unknown", f"No foreign tool {name[:64]!r} was seen; `cenoby tools pins` shows those."
            )
        if principal.kind != "person":
            raise RuleRefused("tool_quarantined", f"{principal.agent!r} is no person; only a person accepts a tool.")
        if shown != seen.digest:
            raise RuleRefused(
                "tool_quarantined", f"{name} is not what you were shown; look at it again: its digest is {seen.digest}."
            )
        return await self._put(seen, principal.agent)

    def _look(self, tool: Tool) -> Seen:
        known = self._seen.get(tool.name)
        if known is None or known.tool is not tool:
            server = self._servers[tool.mad]
            described = described_of(tool, server)
            # Whose it is says the operator; everything else is said by the other colony.
            said = {name: part for name, part in described.items() if name != "server"}
            rules = tuple(marks_in_description(_texts(said), tool.mad))
            known = self._seen[tool.name] = Seen(tool, server, described, digest(described), rules)
        return known

    @staticmethod
    def _state(seen: Seen, pin: Pin | None) -> PinState:
        if pin is not None and pin.digest == seen.digest:
            return "pinned"
        if seen.rules:
            return "poisoned"
        return "new" if pin is None else "changed"

    def _journal(self, seen: Seen, pin: Pin | None) -> None:
        if (seen.tool.name, seen.digest) in self._journalled:
            return
        self._journalled.add((seen.tool.name, seen.digest))
        self._note(
            ToolQuarantined(
                tool=seen.tool.name,
                server=seen.server,
                pinned=pin.digest if pin else "",
                seen=seen.digest,
                rules=seen.rules,
                diff=tuple(_diff(seen, pin)),
            )
        )

    def _told(self, keys: Collection[str]) -> None:
        del keys
        self._changed()

    async def _put(self, seen: Seen, accepted_by: str) -> Pin:
        now_ns = self._clock.now_ns()
        row = Pin(
            seen.tool.name, seen.server, seen.digest, canonical_json(seen.described).decode(), accepted_by, now_ns
        )

        def put(connection: Connection) -> tuple[Pin, list[Change]]:
            values = (DEFAULT_TENANT, row.name, row.server, row.digest, row.described, accepted_by, now_ns)
            # At first sight, whoever was first among several processes has pinned it.
            connection.execute(_ACCEPT if accepted_by else _PIN, values)
            held = _read(connection)[row.name]
            return held, [(self._pins, {row.name: held})]

        held = await self._cache.write(put)
        if not accepted_by and held == row:
            self._note(ToolPinned(tool=row.name, server=row.server, digest=row.digest))
        self._journalled = {one for one in self._journalled if one[0] != row.name}
        return held


def described_of(tool: Tool, server: str) -> dict[str, Any]:
    """All of a tool that another colony says of it, and whose it is."""
    says = tool.says
    return {
        "name": tool.name,
        "server": server,
        "description": tool.description,
        "input": tool.input_schema,
        "output": tool.output_schema,
        "annotations": {
            "title": says.title,
            "effect": says.effect,
            "idempotent": says.idempotent,
            "timeout": says.timeout,
            "sensitive": sorted(says.sensitive),
            "sensitive_result": says.sensitive_result,
            "priced": tool.estimate is not None,
            "waits": says.waits,
        },
    }


def _in_quarantine(seen: Seen, pin: Pin | None) -> QuarantinedTool:
    tool = seen.tool
    # Words of the pinned tool were acceptable; those of the new one reach nobody's model.
    takes: dict[str, Any] = from_json(pin.described)["input"] if pin else {"type": "object", "properties": {}}
    why = "speaks to the model" if seen.rules else "is not what it was when it was pinned"
    return QuarantinedTool(
        name=tool.name,
        mad=tool.mad,
        says=replace(tool.says, title=""),
        description=f"{tool.name} is in quarantine: its description {why}. A person looks at it with `cenoby tools "
        f"pins` and accepts it with `cenoby tools accept {tool.name}`, or it stays refused.",
        arguments_model=tool.arguments_model,
        returns=ToolContent,
        run=tool.run,
        estimate=None,
        takes=takes,
        gives=None,
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in cast(dict[str, Any], value).items():
            yield name
            yield from _texts(item)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _texts(item)


def _diff(seen: Seen, pin: Pin | None) -> list[str]:
    """What is different, line by line; hidden characters as escapes, and not more than a person reads."""
    before = _lines(from_json(pin.described)) if pin else []
    lines = difflib.unified_diff(before, _lines(seen.described), "pinned", "now", lineterm="", n=1)
    found = [line[:_LONGEST_LINE] for line in lines]
    return found if len(found) <= _MOST_LINES else [*found[:_MOST_LINES], f"({len(found) - _MOST_LINES} more lines)"]


def _lines(described: Any) -> list[str]:
    return json.dumps(described, indent=1, sort_keys=True, ensure_ascii=True).splitlines()


def _read(connection: Connection) -> dict[str, Pin]:
    return {row[0]: Pin(*row) for row in connection.execute(_ALL)}


_COLUMNS = "(tenant, name, server, digest, described, accepted_by, pinned_ns)"
_ALL = "SELECT name, server, digest, described, accepted_by, pinned_ns FROM tool_pins"
_PIN = f"INSERT INTO tool_pins {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, name) DO NOTHING"  # noqa: S608
_ACCEPT = (
    f"INSERT INTO tool_pins {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (tenant, name) DO UPDATE SET server = excluded.server, digest = excluded.digest,"
    " described = excluded.described, accepted_by = excluded.accepted_by, pinned_ns = excluded.pinned_ns"
)
