"""From an MCP request that the SDK serves to the pipeline and back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from cenoby.colony.invocation import ClientChannel, Invocation, Outcome
from cenoby.gateway.call_requests import CONVERSATION_META_KEY
from cenoby.gateway.client_channel import Channel, StatelessChannel, channel_for, input_required
from cenoby.gateway.created_tasks import created_task, declares_tasks
from cenoby.gateway.names import canonical
from cenoby.gateway.outcomes import Overload, answer_of
from cenoby.gateway.request_facts import Context, facts_in, principal_of
from cenoby.gateway.sealed_state import Asked, StateSeal, asked_by
from cenoby.gateway.standing import Standing
from cenoby.kernel.errors import CenobyError

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LONGEST_NAME = 128
_SETTLE_SECONDS = 5.0
"""A cancelled call may take this long to be recorded before its client's request is let go."""


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
        if (interim := conversation.interim(outcome.error)) is not None:
            return interim
        if (task := _task(context, outcome)) is not None:
            return task
        answer = answer_of(outcome, stateless=context.protocol_version in MODERN_PROTOCOL_VERSIONS)
        if not isinstance(answer, MCPError):
            return answer
        if isinstance(answer, Overload):
            # The application turns the status of the answer into 503 where the answer has not begun.
            facts_in(context).overload = answer.headers
        raise answer

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
        facts, cause = facts_in(context), traceparent((context.meta or {}).get("traceparent"))
        named = conversation_in((context.meta or {}).get(CONVERSATION_META_KEY))
        invocation = Invocation(tool, arguments, facts.token, client=channel, causation=cause, conversation=named)
        return await _settled(asyncio.ensure_future(self._standing.run(facts.principal, tool, invocation)))


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


def _task(context: Context, outcome: Outcome) -> dict[str, Any] | None:
    capabilities = context.session.client_capabilities
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS or capabilities is None:
        return None
    return created_task(outcome.error) if declares_tasks(capabilities.extensions) else None


def conversation_in(value: Any) -> str:
    """The conversation that the client named in `_meta`, or nothing where it named none."""
    return value if isinstance(value, str) and len(value) <= _LONGEST_NAME else ""


def traceparent(value: Any) -> str:
    """The W3C trace context that the client sent in `_meta`, or nothing where it is absent or malformed."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else ""
