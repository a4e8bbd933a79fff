"""The way back to the MCP client of one call: progress, log lines, and questions that only the client can answer.

The handshake revisions ask while the call waits (requests on the call's own stream). Revision 2026-07-28 has no such
requests: the call ends with `input_required`, and the client repeats it with the answers (basic/utilities/mrtr). The
tool then runs again from its start and finds every answer given so far, so a tool asks before it acts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast, get_args

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ValidationError

from cenoby.colony.errors import CallInvalid
from cenoby.gateway.errors import ClientAsked
from cenoby.gateway.request_facts import Context, facts_in
from cenoby.kernel.errors import CenobyError

LOG_LEVELS: tuple[str, ...] = get_args(types.LoggingLevel)
"""Least severe first (RFC 5424)."""

_CAPABILITY_OF = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}


class Asking(ABC):
    """Questions to the client, in either era."""

    @abstractmethod
    def supports(self, capability: str) -> bool:
        """Whether the client declared `elicitation`, `sampling` or `roots`."""

    async def ask(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Answers to several questions at once.

        Args:
            questions: `{"method": ..., "params": ...}` by a key of the tool's choosing.

        Raises:
            CallInvalid: the client declared no capability for one of them.
            ClientAsked: the client must first be asked, or answered with an error.
        """
        for question in questions.values():
            capability = _CAPABILITY_OF.get(question["method"], "")
            if not self.supports(capability):
                raise CallInvalid(
                    "client_feature_missing",
                    f"The client does not support {capability or question['method']}, which this tool needs.",
                    details={"capability": capability},
                )
        return await self._put(questions)

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the person at the client with a form.

        Raises:
            CallInvalid, ClientAsked: as `ask`.
        """
        return await self._ask_one("elicitation/create", {"message": message, "requestedSchema": dict(schema)})

    async def sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the client's model.

        Raises:
            CallInvalid, ClientAsked: as `ask`.
        """
        return await self._ask_one("sampling/createMessage", dict(request))

    async def _ask_one(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        key = self._next_key()
        answers = await self.ask({key: {"method": method, "params": params}})
        return answers[key]

    @abstractmethod
    def _next_key(self) -> str:
        """Under which a question of this call is put."""

    @abstractmethod
    async def _put(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Answers to questions that the client can answer."""


class AnswerBook(Asking):
    """Asks by ending the call, and knows the answers that the client brought (revision 2026-07-28).

    Args:
        answers: what the client answered so far, by the keys of the questions.
    """

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self._asked = 0

    def _next_key(self) -> str:
        # A tool asks in the same order each time it runs, so counting gives each question the key it had before.
        self._asked += 1
        return f"question_{self._asked}"

    async def _put(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        missing = {key: dict(question) for key, question in questions.items() if key not in self.answers}
        if missing:
            raise ClientAsked("input_required", "The tool needs answers from the client.", details={"asks": missing})
        return {key: self.answers[key] for key in questions}


def input_required(error: CenobyError, state: str) -> dict[str, Any]:
    """The result that asks the client what `error` says is missing."""
    return {"resultType": "input_required", "inputRequests": error.details["asks"], "requestState": state}


class _Connected:
    """What both eras do through the SDK's context of a request.

    Args:
        context: that context.
        log_level: least severe level that the client wants; None for no log lines at all.
    """

    def __init__(self, context: Context, log_level: str | None) -> None:
        self._context = context
        self._log_level = log_level

    def supports(self, capability: str) -> bool:
        declared = self._context.session.client_capabilities
        return declared is not None and getattr(declared, capability, None) is not None

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Send a progress notification; the SDK drops it where the client gave no token."""
        await self._context.session.report_progress(done, total, message)

    async def log(self, level: str, text: str) -> None:
        """Send a log line on the call's own stream if the client wants its level."""
        if wants_log(self._log_level, level):
            params = types.LoggingMessageNotificationParams(level=cast(types.LoggingLevel, level), data=text)
            await self._context.session.send_notification(
                types.LoggingMessageNotification(params=params), related_request_id=self._context.request_id
            )


def wants_log(least: str | None, level: str) -> bool:
    """Whether a client that wants `least` and worse is sent a line of `level`."""
    return least is not None and level in LOG_LEVELS and LOG_LEVELS.index(level) >= LOG_LEVELS.index(least)


class HandshakeChannel(_Connected, Asking):
    """Asks on the stream of the call, which waits meanwhile."""

    def _next_key(self) -> str:
        return "answer"

    async def _put(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        return {key: await self._request(question) for key, question in questions.items()}

    async def _request(self, question: Mapping[str, Any]) -> dict[str, Any]:
        request, result_type = _typed_request(question)
        metadata = ServerMessageMetadata(related_request_id=self._context.request_id)
        try:
            result = await self._context.session.send_request(request, result_type, metadata=metadata)
        except (MCPError, ValidationError) as error:
            raise ClientAsked("client_declined", f"The client answered {question['method']} with: {error}.") from error
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)


class StatelessChannel(_Connected, AnswerBook):
    """Asks by ending the call."""

    def __init__(self, context: Context, log_level: str | None, answers: dict[str, Any]) -> None:
        _Connected.__init__(self, context, log_level)
        AnswerBook.__init__(self, answers)


Channel = HandshakeChannel | StatelessChannel


def channel_for(context: Context, answers: dict[str, Any]) -> Channel:
    """The channel of a request, by the era of its connection; `answers` are what a stateless client brought."""
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        wanted = (context.meta or {}).get(types.LOG_LEVEL_META_KEY)
        return StatelessChannel(context, wanted if wanted in LOG_LEVELS else None, answers)
    session = facts_in(context).session
    return HandshakeChannel(context, session.log_level if session is not None else "info")


def _typed_request(question: Mapping[str, Any]) -> tuple[types.ServerRequest, type[BaseModel]]:
    params: dict[str, Any] = question.get("params") or {}
    if question["method"] == "elicitation/create":
        return types.ElicitRequest(params=types.ElicitRequestFormParams.model_validate(params)), types.ElicitResult
    if question["method"] == "sampling/createMessage":
        request = types.CreateMessageRequest(params=types.CreateMessageRequestParams.model_validate(params))
        return request, types.CreateMessageResult
    return types.ListRootsRequest(), types.ListRootsResult
