"""One session of a handshake revision: its owner, its connection, and the calls and questions under way in it."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from uuid import uuid4

import anyio
from mcp.server.connection import Connection
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp_types.methods import validate_client_result
from pydantic import ValidationError

from cenoby.access.holds import Hold
from cenoby.access.principals import Principal
from cenoby.gateway.changes import Feed
from cenoby.gateway.errors import ClientAsked

IDLE_SECONDS = 1800.0
"""A session without a request for so long is ended."""

Tell = Callable[[dict[str, Any]], Awaitable[None]]


class Session:
    """One client that shook hands.

    Args:
        owner: the principal that opened it.
        feed: the changes that its client hears of.

    Attributes:
        id: the `Mcp-Session-Id`.
        transport: the SDK's HTTP side of it.
        connection: the SDK's state of it, once it is served; its standalone channel carries notifications.
        hold: says when the token that opened it lapses.
        log_level: least severe log line that its client wants.
    """

    def __init__(self, owner: Principal, feed: Feed) -> None:
        # All random, unlike the kernel's ids: MCP wants session ids that cannot be guessed.
        self.id = uuid4().hex
        self.owner = owner
        self.feed = feed
        self.log_level = "info"
        self.hold: Hold | None = None
        self.transport = StreamableHTTPServerTransport(self.id, idle_timeout=IDLE_SECONDS)
        self.connection: Connection | None = None
        self._calls: dict[int | str, asyncio.Task[Any]] = {}
        self._cancelled: set[int | str] = set()
        self._questions: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._numbers = itertools.count(1)

    def belongs_to(self, principal: Principal) -> bool:
        """Whether it was this principal that opened it."""
        return self.owner.agent == principal.agent and self.owner.tenant == principal.tenant

    @property
    def ready(self) -> bool:
        """Whether the handshake is done."""
        return self.connection is not None and self.connection.initialize_accepted

    def supports(self, capability: str) -> bool:
        """Whether the client declared `elicitation`, `sampling` or `roots`."""
        declared = self.connection.client_capabilities if self.connection is not None else None
        return declared is not None and getattr(declared, capability, None) is not None

    @contextmanager
    def call(self, request_id: int | str, task: asyncio.Task[Any]) -> Generator[Callable[[], bool]]:
        """Keep a call while it is under way, so that its client can cancel it; yields whether it did."""
        self._calls[request_id] = task
        self._stay()
        try:
            yield lambda: request_id in self._cancelled
        finally:
            self._calls.pop(request_id, None)
            self._cancelled.discard(request_id)
            self._stay()

    def take(self, document: Mapping[str, Any]) -> bool:
        """Take a message that answers a question or cancels a call of ours; False for any other."""
        if "method" not in document:
            waiting = self._questions.get(str(document.get("id")))
            if waiting is not None and not waiting.done():
                waiting.set_result(document)
            return waiting is not None
        params = document.get("params")
        if document["method"] != "notifications/cancelled" or not isinstance(params, dict):
            return False
        number = cast(dict[str, Any], params).get("requestId")
        task = self._calls.get(number) if isinstance(number, int | str) else None
        if task is None or number is None:
            return False
        self._cancelled.add(number)
        task.cancel()
        return True

    async def ask(self, tell: Tell, question: Mapping[str, Any]) -> dict[str, Any]:
        """Put a question to the client and wait for its reply.

        Args:
            tell: sends a message to the client.
            question: `{"method": ..., "params": ...}`.

        Raises:
            ClientAsked: the client answered with an error, or with something that is no answer.
        """
        method = question["method"]
        number = f"cenoby-{next(self._numbers)}"
        reply = self._questions[number] = asyncio.get_running_loop().create_future()
        try:
            await tell({"jsonrpc": "2.0", "id": number, **question})
            document = await reply
        finally:
            del self._questions[number]
        if "error" in document:
            raise ClientAsked("client_declined", f"The client answered {method} with: {document['error']}.")
        result: dict[str, Any] = document.get("result") or {}
        try:
            assert self.connection is not None, "only a served session asks"
            validate_client_result(method, self.connection.protocol_version, result)
        except ValidationError as error:
            raise ClientAsked("client_declined", f"What the client answered {method} is no answer to it.") from error
        return result

    def end(self) -> None:
        """Let go of whoever waits for this client, and of its token."""
        if self.hold is not None:
            self.hold.release()
        for waiting in self._questions.values():
            if not waiting.done():
                waiting.set_result({"error": "the session ended"})

    def _stay(self) -> None:
        # The SDK holds a session open while it serves a request of it; a call on the fast path only puts off its end.
        idle = self.transport.idle_scope
        if idle is not None and idle.deadline != math.inf:
            idle.deadline = anyio.current_time() + IDLE_SECONDS
