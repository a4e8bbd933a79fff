"""MCP prompts that hosted MADs offer. Making one, and completing its arguments, are calls that pass the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from cenoby.access.roles import RoleTable
from cenoby.colony.host import Host
from cenoby.colony.mad import Prompt
from cenoby.colony.prompts import HostedPrompt
from cenoby.gateway.calls import Calls
from cenoby.gateway.catalogue import LIST_TTL_MS
from cenoby.gateway.errors import missing_capability, protocol_error
from cenoby.gateway.outcomes import record_meta
from cenoby.gateway.pages import page
from cenoby.gateway.request_facts import Context, principal_of
from cenoby.kernel.errors import CenobyError

_MOST_SUGGESTIONS = 100
"""MCP's own limit for one completion."""


class Prompts:
    """The prompts of the colony.

    Args:
        host: the hosted MADs.
        calls: how they are called.
        roles: say which prompts a caller may use.
        page_size: prompts on one page.
    """

    def __init__(self, host: Host, calls: Calls, roles: RoleTable, page_size: int) -> None:
        self._host = host
        self._calls = calls
        self._roles = roles
        self._page_size = page_size

    def list_prompts(self, context: Context, cursor: str | None) -> dict[str, Any]:
        """One page of the prompts that the caller may use, by `prompts/list`.

        Raises:
            MCPError: the cursor is none of ours.
        """
        principal = principal_of(context)
        offered, allows = self._host.prompts, self._roles.allows
        usable = [one.prompt for one in offered if allows(principal, one.prompt.action, one.render.name)]
        shown, next_cursor = page(usable, lambda prompt: prompt.name, cursor, self._page_size)
        result = {"prompts": [_described(prompt) for prompt in shown], "ttlMs": LIST_TTL_MS, "cacheScope": "private"}
        return result | ({"nextCursor": next_cursor} if next_cursor else {})

    async def get(self, context: Context, name: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        """The messages of a prompt, by `prompts/get`.

        Raises:
            MCPError: there is no such prompt, the pipeline refused the call, or the prompt could not be made.
        """
        hosted, given = self._find(name), dict(arguments)
        conversation = self._calls.conversation(context, name, given)
        outcome = await self._calls.run(context, hosted.render.name, {"arguments": given}, conversation.channel)
        if (interim := conversation.interim(outcome.error)) is not None:
            return interim
        if outcome.error is not None:
            raise _problem(outcome.error)
        return {"description": hosted.prompt.description, **outcome.value, **record_meta(outcome)}

    async def complete(self, context: Context, name: str, argument: str, text: str) -> dict[str, Any]:
        """Suggestions for an argument of a prompt, by `completion/complete`.

        Raises:
            MCPError: there is no such prompt, the pipeline refused the call, or the suggestions could not be made.
        """
        arguments = {"argument": argument, "text": text}
        outcome = await self._calls.run(context, self._find(name).complete.name, arguments)
        if outcome.error is not None:
            raise _problem(outcome.error)
        values = outcome.value["values"]
        shown = values[:_MOST_SUGGESTIONS]
        completion = {"values": shown, "total": len(values), "hasMore": len(values) > len(shown)}
        return {"completion": completion, **record_meta(outcome)}

    def _find(self, name: str) -> HostedPrompt:
        for hosted in self._host.prompts:
            if hosted.prompt.name == name:
                return hosted
        raise MCPError(INVALID_PARAMS, f"There is no prompt {name[:64]!r}; list the prompts to see what there is.")


def _problem(error: CenobyError) -> MCPError:
    if error.code == "client_feature_missing":
        return missing_capability(error.details.get("capability", ""))
    return protocol_error(error)


def _described(prompt: Prompt) -> dict[str, Any]:
    arguments = [
        {"name": name, "description": description, "required": required}
        for name, description, required in prompt.arguments
    ]
    described = {"name": prompt.name, "description": prompt.description, "arguments": arguments}
    return described | ({"title": prompt.title} if prompt.title else {})
