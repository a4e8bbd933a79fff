"""MCP resources: families of URIs that tools read. Reading one is a call of its tool, through the pipeline."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from cenoby.access.principals import Principal
from cenoby.colony.host import Host
from cenoby.colony.invocation import Outcome
from cenoby.colony.mad import ResourceKind
from cenoby.gateway.calls import Calls
from cenoby.gateway.catalogue import LIST_TTL_MS, Catalogue
from cenoby.gateway.errors import protocol_error
from cenoby.gateway.outcomes import record_meta
from cenoby.gateway.pages import page
from cenoby.gateway.request_facts import Context, principal_of

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_LONGEST_URI = 2048


class Resources:
    """What hosted MADs publish as resources.

    Args:
        host: the hosted MADs.
        calls: how their tools are called.
        catalogue: says which tools a caller may use.
        page_size: resources on one page.
    """

    def __init__(self, host: Host, calls: Calls, catalogue: Catalogue, page_size: int) -> None:
        self._host = host
        self._calls = calls
        self._catalogue = catalogue
        self._page_size = page_size

    async def list_resources(self, context: Context, cursor: str | None) -> dict[str, Any]:
        """One page of the resources that the caller may read, by `resources/list`.

        Raises:
            MCPError: the cursor is none of ours.
        """
        found: list[dict[str, Any]] = []
        for kind in self._readable(principal_of(context)):
            found += await self._members(context, kind)
        shown, next_cursor = page(found, lambda resource: resource["uri"], cursor, self._page_size)
        result = {"resources": shown, "ttlMs": 0, "cacheScope": "private"}
        return result | ({"nextCursor": next_cursor} if next_cursor else {})

    def list_templates(self, context: Context, cursor: str | None) -> dict[str, Any]:
        """One page of URI templates, by `resources/templates/list`.

        Raises:
            MCPError: the cursor is none of ours.
        """
        kinds = [kind for kind in self._readable(principal_of(context)) if "{" in kind.template]
        shown, next_cursor = page(kinds, lambda kind: kind.template, cursor, self._page_size)
        templates = [{"uriTemplate": kind.template, **_described(kind)} for kind in shown]
        result = {"resourceTemplates": templates, "ttlMs": LIST_TTL_MS, "cacheScope": "private"}
        return result | ({"nextCursor": next_cursor} if next_cursor else {})

    async def read(self, context: Context, uri: str) -> dict[str, Any]:
        """What `uri` names, by `resources/read`.

        Raises:
            MCPError: there is no such resource for this caller, or its tool refused or failed.
        """
        kind, variables = self._match(uri)
        conversation = self._calls.conversation(context, uri, {})
        arguments = {**kind.arguments, **variables}
        outcome = await self._calls.run(context, kind.tool, arguments, conversation.channel)
        if (interim := conversation.interim(outcome.error)) is not None:
            return interim
        if outcome.error is not None:
            raise protocol_error(outcome.error, {"uri": uri})
        contents = _contents(uri, kind, outcome)
        return {"contents": contents, "ttlMs": 0, "cacheScope": "private", **record_meta(outcome)}

    def _readable(self, principal: Principal) -> list[ResourceKind]:
        return [kind for kind in self._host.resources if self._catalogue.may_call(principal, kind.tool)]

    async def _members(self, context: Context, kind: ResourceKind) -> list[dict[str, Any]]:
        if "{" not in kind.template:
            return [{"uri": kind.template, **_described(kind)}]
        if not kind.list_tool or not self._catalogue.may_call(principal_of(context), kind.list_tool):
            return []
        outcome = await self._calls.run(context, kind.list_tool, {})
        if outcome.error is not None:
            return []
        return [_member(kind, item) for item in outcome.value.get(kind.list_key, [])]

    def _match(self, uri: str) -> tuple[ResourceKind, dict[str, str]]:
        if len(uri) <= _LONGEST_URI:
            for kind in self._host.resources:
                variables = match_template(kind.template, uri)
                if variables is not None:
                    return kind, variables
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri[:_LONGEST_URI]})


def match_template(template: str, uri: str) -> dict[str, str] | None:
    """The variables with which `template` (RFC 6570, level 1) gives `uri`; None where it cannot."""
    pattern = "".join(
        f"(?P<{part}>[^/?#]+)" if position % 2 else re.escape(part)
        for position, part in enumerate(_VARIABLE.split(template))
    )
    found = re.fullmatch(pattern, uri)
    return {name: unquote(value) for name, value in found.groupdict().items()} if found else None


def _member(kind: ResourceKind, item: Mapping[str, Any]) -> dict[str, Any]:
    uri = _VARIABLE.sub(quote(str(item["id"]), safe=""), kind.template, count=1)
    return {"uri": uri, **_described(kind), "name": str(item.get("name") or item["id"])}


def _described(kind: ResourceKind) -> dict[str, Any]:
    described = {"name": kind.name, "description": kind.description, "mimeType": kind.mime_type}
    return described | ({"title": kind.title} if kind.title else {})


def _contents(uri: str, kind: ResourceKind, outcome: Outcome) -> list[dict[str, Any]]:
    if outcome.blocks is None:
        return [{"uri": uri, "mimeType": kind.mime_type, "text": outcome.json.decode()}]
    return [block["resource"] for block in outcome.blocks if block.get("type") == "resource"]
