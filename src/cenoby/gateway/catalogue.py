"""`tools/list`: the tools that the caller's roles allow, as MCP describes tools."""

from __future__ import annotations

from itertools import chain
from typing import Any

from mcp.shared.inbound import X_MCP_HEADER_KEY

from cenoby.access.actions import RiskTier
from cenoby.access.principals import Principal
from cenoby.access.roles import RoleTable
from cenoby.colony.apis.published import Publications
from cenoby.colony.host import Host
from cenoby.colony.tool import Tool
from cenoby.gateway.names import Spelling, canonical, spelled
from cenoby.gateway.pages import page
from cenoby.telemetry.logs import get_logger

_log = get_logger("gateway.catalogue")

LIST_TTL_MS = 60_000
"""How long a client may keep a listing; changes are announced, so this only bounds a missed announcement."""

_OPEN_WORLD = frozenset({"web", "model"})


class Catalogue:
    """What callers are shown of the hosted tools.

    Args:
        host: the hosted MADs.
        publications: their tools under published names.
        roles: the roles in force.
        spelling: how names are advertised.
        page_size: tools on one page.
    """

    def __init__(
        self, host: Host, publications: Publications, roles: RoleTable, spelling: Spelling, page_size: int
    ) -> None:
        self._host = host
        self._publications = publications
        self._roles = roles
        self._spelling: Spelling = spelling
        self._page_size = page_size
        self._described: dict[str, tuple[Tool, dict[str, Any] | None]] = {}
        self._fast_names: dict[str, tuple[str, Tool]] = {}

    def list_tools(self, principal: Principal, cursor: str | None) -> dict[str, Any]:
        """One page of the tools that `principal` may call.

        Raises:
            MCPError: the cursor is none of ours.
        """
        offered = chain(self._host.tools, self._publications.tools)
        visible = [tool for tool in offered if self._sees(principal, tool)]
        shown, next_cursor = page(visible, lambda tool: tool.name, cursor, self._page_size)
        described = [self._describe(tool) for tool in shown]
        tools = [tool for tool in described if tool is not None]
        result: dict[str, Any] = {"tools": tools, "ttlMs": LIST_TTL_MS, "cacheScope": "private"}
        if next_cursor is not None:
            result["nextCursor"] = next_cursor
        return result

    def may_call(self, principal: Principal, tool_name: str) -> bool:
        """Whether there is such a tool and the principal's roles allow it."""
        tool = self._find(tool_name)
        return tool is not None and self._sees(principal, tool)

    def header_schema(self, principal: Principal | None, wire_name: str) -> dict[str, Any] | None:
        """The input schema by which `Mcp-Param-*` headers are checked; None where there is nothing to check.

        Only tools that this caller may see are looked at, because the check comes before the pipeline and its answer
        would tell of the others.
        """
        tool = self._find(canonical(wire_name))
        if principal is None or tool is None or not self._sees(principal, tool):
            return None
        return tool.input_schema if _mirrors_arguments(tool) else None

    def fast_name(self, wire_name: str) -> str | None:
        """The canonical name of a tool that the fast path may call: no argument of it travels as a header. Or None."""
        known = self._fast_names.get(wire_name)
        if known is not None and self._find(known[0]) is known[1]:
            return known[0]
        name = canonical(wire_name)
        tool = self._find(name)
        if tool is None or _mirrors_arguments(tool):
            return None
        self._fast_names[wire_name] = name, tool
        return name

    def waits(self, wire_name: str) -> bool:
        """Whether there is a tool of that name, in either spelling, that mostly waits for news."""
        known = self._fast_names.get(wire_name)
        tool = known[1] if known is not None else self._find(canonical(wire_name))
        return tool is not None and tool.says.waits

    def _sees(self, principal: Principal, tool: Tool) -> bool:
        # Policy decides on the tool behind a published name.
        entry = self._publications.entry(tool.name)
        return self._roles.allows(principal, tool.says.action, entry.behind.tool if entry else tool.name)

    def _find(self, name: str) -> Tool | None:
        return self._host.find(name) or self._publications.find(name)

    def _describe(self, tool: Tool) -> dict[str, Any] | None:
        known = self._described.get(tool.name)
        if known is None or known[0] is not tool:
            known = self._described[tool.name] = tool, _described_or_none(tool, self._spelling)
        return known[1]


def _described_or_none(tool: Tool, spelling: Spelling) -> dict[str, Any] | None:
    try:
        return describe(tool, spelling)
    except Exception:  # noqa: BLE001 - one tool that cannot be described must not take the others' listing down
        _log.exception("tool_not_listed", tool=tool.name)
        return None


def _mirrors_arguments(tool: Tool) -> bool:
    return X_MCP_HEADER_KEY in str(tool.input_schema)


def describe(tool: Tool, spelling: Spelling) -> dict[str, Any]:
    """One tool in MCP's form."""
    says = tool.says
    reads = says.effect == "reads"
    described: dict[str, Any] = {
        "name": spelled(tool.name, spelling),
        "title": says.title or _title(tool),
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "annotations": {
            "readOnlyHint": reads,
            "destructiveHint": not reads and says.risk >= RiskTier.HIGH,
            "idempotentHint": says.idempotent,
            "openWorldHint": says.effect == "outside" or says.action.partition(":")[0] in _OPEN_WORLD,
        },
        "_meta": {"cenoby/tool": tool.name, "cenoby/action": says.action},
    }
    if tool.output_schema is not None:
        described["outputSchema"] = tool.output_schema
    return described


def _title(tool: Tool) -> str:
    verb = tool.name.rpartition(".")[2].replace("_", " ")
    return f"{tool.mad.capitalize()}: {verb}"
