"""MCP prompts that hosted MADs offer, and the completion of their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from cenoby.colony.host import Host
from cenoby.colony.mad import Prompt
from cenoby.gateway.calls import Calls, Context
from cenoby.gateway.catalogue import LIST_TTL_MS
from cenoby.gateway.errors import missing_capability, protocol_error
from cenoby.gateway.pages import page
from cenoby.kernel.errors import CenobyError
from cenoby.telemetry.logs import get_logger

_MOST_SUGGESTIONS = 100
"""MCP's own limit for one completion."""

_log = get_logger("gateway.prompts")


class Prompts:
    """The prompts of the colony.

    Args:
        host: the hosted MADs.
        calls: keeps what a prompt asked between its rounds.
        page_size: prompts on one page.
    """

    def __init__(self, host: Host, calls: Calls, page_size: int) -> None:
        self._host = host
        self._calls = calls
        self._page_size = page_size

    def list_prompts(self, cursor: str | None) -> dict[str, Any]:
        """One page of prompts.

        Raises:
            MCPError: the cursor is none of ours.
        """
        shown, next_cursor = page(self._host.prompts, lambda prompt: prompt.name, cursor, self._page_size)
        result = {"prompts": [_described(prompt) for prompt in shown], "ttlMs": LIST_TTL_MS, "cacheScope": "private"}
        return result | ({"nextCursor": next_cursor} if next_cursor else {})

    async def get(self, context: Context, name: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        """The messages of a prompt.

        Raises:
            MCPError: there is no such prompt, an argument is missing, or it could not be made.
        """
        prompt = self._find(name)
        missing = [argument for argument, _, required in prompt.arguments if required and argument not in arguments]
        if missing:
            raise MCPError(INVALID_PARAMS, f"The prompt {name!r} needs the arguments {', '.join(missing)}.")
        conversation = self._calls.conversation(context, name, dict(arguments))
        try:
            messages = await _render(prompt, arguments, conversation.channel)
        except CenobyError as error:
            if (interim := conversation.interim(error)) is not None:
                return interim
            if error.code == "client_feature_missing":
                raise missing_capability(error.details.get("capability", "")) from error
            raise protocol_error(error) from error
        except Exception as error:  # the border between a MAD's code and the gateway
            _log.exception("prompt_failed", prompt=name)
            raise MCPError(INTERNAL_ERROR, f"The prompt {name!r} could not be made; the log has the cause.") from error
        return {"description": prompt.description, "messages": messages}

    async def complete(self, name: str, argument: str, text: str) -> dict[str, Any]:
        """Suggestions for an argument of a prompt.

        Raises:
            MCPError: there is no such prompt.
        """
        complete = self._find(name).complete
        values = await complete(argument, text) if complete is not None else []
        shown = values[:_MOST_SUGGESTIONS]
        return {"completion": {"values": shown, "total": len(values), "hasMore": len(values) > len(shown)}}

    def _find(self, name: str) -> Prompt:
        for prompt in self._host.prompts:
            if prompt.name == name:
                return prompt
        raise MCPError(INVALID_PARAMS, f"There is no prompt {name[:64]!r}; list the prompts to see what there is.")


async def _render(prompt: Prompt, arguments: Mapping[str, str], channel: Any) -> list[dict[str, Any]]:
    # A prompt that asks the client takes it as `client`; most do not.
    if "client" in inspect.signature(prompt.render).parameters:
        return await prompt.render(arguments, client=channel)  # type: ignore[call-arg]
    return await prompt.render(arguments)


def _described(prompt: Prompt) -> dict[str, Any]:
    arguments = [
        {"name": name, "description": description, "required": required}
        for name, description, required in prompt.arguments
    ]
    described = {"name": prompt.name, "description": prompt.description, "arguments": arguments}
    return described | ({"title": prompt.title} if prompt.title else {})
