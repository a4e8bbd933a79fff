"""From an MCP request to the pipeline and back: how an outcome becomes the result of `tools/call`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from cenoby.access.principals import Principal
from cenoby.colony.invocation import ClientChannel, Invocation, Outcome
from cenoby.gateway.client_channel import Channel, StatelessChannel, channel_for, input_required
from cenoby.gateway.errors import OVERLOAD_CODES, RECORD_META_KEY, missing_capability, protocol_error, tool_error
from cenoby.gateway.names import canonical
from cenoby.gateway.sealed_state import Asked, StateSeal, asked_by
from cenoby.gateway.standing import Standing
from cenoby.kernel.errors import CenobyError

Context = ServerRequestContext[Any, Any]

CALLER: ContextVar[Principal | None] = ContextVar("cenoby_caller", default=None)
"""Who sent the request being served, for the one SDK hook that is given no context."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_SETTLE_SECONDS = 5.0
"""A cancelled call may take this long to be recorded before its client's request is let go."""


def principal_of(context: Context) -> Principal:
    """Who sent the request; the application authenticated it before the SDK saw it."""
    assert context.request is not None, "every request comes over HTTP"
    principal: Principal = context.request.scope["cenoby.principal"]
    return principal


class Conversation:
    """One request and the questions asked in answer to it: the client's way back, and the state between its rounds."""

    def __init__(self, seal: StateSeal, context: Context, target: str, arguments: dict[str, Any]) -> None:
        self._seal = seal
        self._asked: Asked = asked_by(principal_of(context), context.method, target, arguments)
        self.channel: Channel = channel_for(context, self._answers(context.params or {}))

    def interim(self, error: CenobyError | None) -> dict[str, Any] | None:
        """The `input_required` result, if that is what `error` means and the era knows it."""
        if error is None or error.code != "input_required" or not isinstance(self.channel, StatelessChannel):
            return None
        return input_required(error, self._seal.seal(self._asked, self.channel.answers))

    def _answers(self, params: Mapping[str, Any]) -> dict[str, Any]:
        state = params.get("requestState")
        answers = self._seal.open(self._asked, state) if isinstance(state, str) else {}
        return answers | (params.get("inputResponses") or {})


class Calls:
    """Tool calls of MCP clients.

    Args:
        standing: takes calls through the pipeline.
        seal: seals what a call knows between its rounds.
    """

    def __init__(self, standing: Standing, seal: StateSeal) -> None:
        self._seal = seal
        self._standing = standing

    def conversation(self, context: Context, target: str, arguments: dict[str, Any]) -> Conversation:
        """What belongs to the rounds of one request.

        Raises:
            MCPError: it brings a state that was not sealed for it.
        """
        return Conversation(self._seal, context, target, arguments)

    async def call_tool(self, context: Context, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of `tools/call`.

        Raises:
            MCPError: an unknown tool, a forged state, a capability that the client lacks, or a full colony.
        """
        conversation = self.conversation(context, name, arguments)
        outcome = await self.run(context, canonical(name), arguments, conversation.channel)
        if outcome.error is None:
            return success_result(outcome)
        return conversation.interim(outcome.error) or _error_result(context, outcome.error)

    async def run(
        self, context: Context, tool: str, arguments: dict[str, Any], channel: ClientChannel | None = None
    ) -> Outcome:
        """Take one call through the pipeline; a client that gives up cancels it, and that is recorded.

        Args:
            context: the request it came with.
            tool: canonical name.
            arguments: plain JSON types.
            channel: the way back to the client while the call is under way.
        """
        assert context.request is not None, "every request comes over HTTP"
        invocation = Invocation(
            tool, arguments, context.request.scope["cenoby.token"], client=channel, causation=traceparent(context.meta)
        )
        return await _settled(asyncio.ensure_future(self._standing.run(principal_of(context), tool, invocation)))


async def _settled(task: asyncio.Future[Outcome]) -> Outcome:
    # The SDK's cancel scopes cancel again and again until their task ends. The call is cancelled once, in a task of its
    # own, so that its record can still be written.
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.move_on_after(_SETTLE_SECONDS, shield=True):
            await asyncio.wait({task})
        raise


def success_result(outcome: Outcome) -> dict[str, Any]:
    """The outcome of a tool that ran, as plain JSON types; structured results also as text, for older clients."""
    if outcome.blocks is not None:
        result: dict[str, Any] = {"content": outcome.blocks, "isError": outcome.status == "error"}
    else:
        result = {"content": [{"type": "text", "text": outcome.json.decode()}], "isError": False}
        value: object = outcome.value
        if isinstance(value, dict):
            result["structuredContent"] = value
    if outcome.record is not None:
        result["_meta"] = {RECORD_META_KEY: outcome.record.id}
    return result


def _error_result(context: Context, error: CenobyError) -> dict[str, Any]:
    stateless = context.protocol_version in MODERN_PROTOCOL_VERSIONS
    if error.code == "tool_unknown":
        raise protocol_error(error)
    if error.code == "client_feature_missing" and stateless and error.details.get("capability"):
        raise missing_capability(error.details["capability"])
    if error.code in OVERLOAD_CODES:
        # The application turns the status of the answer into 503 where the answer has not begun.
        assert context.request is not None, "every request comes over HTTP"
        context.request.scope["cenoby.retry_after"] = error.retry_after or 1.0
        raise protocol_error(error)
    return tool_error(error)


def traceparent(meta: Mapping[str, Any] | None) -> str:
    """The W3C trace context that the client sent in `_meta`, or nothing where it is absent or malformed."""
    value = meta.get("traceparent") if meta else None
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else ""
