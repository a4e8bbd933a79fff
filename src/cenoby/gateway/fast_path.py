"""The fast path of a usual `tools/call`, in either era: read once, through the same pipeline, written from pieces.

Whatever is unusual in any way is left to the SDK. `tests/gateway` compares the answers of the two ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from mcp.server.streamable_http import REQUEST_CANCELLED
from mcp.shared.exceptions import MCPError
from starlette.types import Scope, Send

from cenoby.colony.invocation import ClientChannel, Invocation, Outcome
from cenoby.gateway.call_requests import METHOD, RequestReader, SessionCall, StatelessCall, ToolRequest
from cenoby.gateway.call_results import ResultWriter
from cenoby.gateway.calls import conversation_in, traceparent
from cenoby.gateway.catalogue import Catalogue
from cenoby.gateway.client_channel import input_required
from cenoby.gateway.created_tasks import created_task, declares_tasks
from cenoby.gateway.fast_answer import FastAnswer
from cenoby.gateway.fast_channel import FastSessionChannel, FastStatelessChannel
from cenoby.gateway.request_facts import RequestFacts
from cenoby.gateway.sealed_state import StateSeal, asked_by
from cenoby.gateway.session import Session
from cenoby.gateway.standing import Standing


class FastPath:
    """Serves what it recognises.

    Args:
        standing: takes calls through the pipeline.
        catalogue: knows the tools by both spellings.
        seal: seals the state of a call that asks its client.
        server_info: what the server says of itself in stateless results.
    """

    def __init__(
        self, standing: Standing, catalogue: Catalogue, seal: StateSeal, server_info: Mapping[str, Any]
    ) -> None:
        self._standing = standing
        self._catalogue = catalogue
        self._seal = seal
        self._reader = RequestReader()
        self._stateless = ResultWriter(server_info)
        self._handshake = ResultWriter(None)

    def read(self, scope: Scope, session: Session | None, body: bytes) -> ToolRequest | None:
        """The call in a POST, or None if the SDK is to look at it.

        Args:
            scope: the ASGI scope.
            session: the caller's session that the request names, if there is one.
            body: the request body.
        """
        lines = scope["headers"]
        headers: dict[bytes, bytes] = dict(lines)
        if session is not None:
            request = self._reader.in_session(headers, len(lines), body) if session.ready else None
        else:
            request = self._reader.stateless(headers, len(lines), body)
        return request if request is not None and self._catalogue.fast_name(request.params.name) is not None else None

    async def serve(self, request: ToolRequest, facts: RequestFacts, send: Send) -> None:
        """Take the call through the pipeline and answer it."""
        if isinstance(request, SessionCall):
            await self._serve_session(request, facts, send)
        else:
            await self._serve_stateless(request, facts, send)

    async def _serve_stateless(self, request: StatelessCall, facts: RequestFacts, send: Send) -> None:
        params, meta = request.params, request.params.meta
        answer = FastAnswer(send)
        channel = FastStatelessChannel(answer, meta.progress_token, meta.log_level, meta.capabilities)
        try:
            # A client that closes its connection cancels its call (revision 2026-07-28).
            facts.connection.on_lost = _current_task().cancel
            outcome = await self._run(request, facts, channel)
            facts.connection.on_lost = None
            if outcome.error is not None and outcome.error.code == "input_required":
                asked = asked_by(facts.principal, METHOD, params.name, params.arguments or {})
                interim = input_required(outcome.error, self._seal.seal(asked, channel.answers))
                written = self._stateless.result(request.id, interim)
            elif declares_tasks(meta.capabilities.extensions) and (task := created_task(outcome.error)) is not None:
                written = self._stateless.extended(request.id, task)
            else:
                written = self._stateless.outcome(request.id, outcome)
            await answer.finish(*written)
        finally:
            answer.stop()

    async def _serve_session(self, request: SessionCall, facts: RequestFacts, send: Send) -> None:
        session = facts.session
        assert session is not None, "only a request with a session is read as one"
        answer = FastAnswer(send, ((b"mcp-session-id", session.id.encode()),))
        channel = FastSessionChannel(answer, request.params.meta.progress_token, session)
        try:
            with session.call(request.id, _current_task()) as cancelled:
                try:
                    outcome = await self._run(request, facts, channel)
                except asyncio.CancelledError:
                    if not cancelled():
                        raise
                    _current_task().uncancel()
                    problem = MCPError(REQUEST_CANCELLED, "Request cancelled")
                    await answer.finish(*self._handshake.problem(request.id, problem))
                    return
            await answer.finish(*self._handshake.outcome(request.id, outcome))
        finally:
            answer.stop()

    async def _run(self, request: ToolRequest, facts: RequestFacts, channel: ClientChannel) -> Outcome:
        params = request.params
        causation, conversation = traceparent(params.meta.traceparent), conversation_in(params.meta.conversation)
        name = self._catalogue.fast_name(params.name) or params.name
        invocation = Invocation(
            name, params.arguments or {}, facts.token, client=channel, causation=causation, conversation=conversation
        )
        return await self._standing.run(facts.principal, params.name, invocation)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "requests are served in tasks"
    return task
