"""Sessions of the handshake revisions (2024-11-05 to 2025-11-25), each bound to the principal that opened it.

The SDK's transport and dispatcher do the protocol; here are the table of sessions, their owners, and their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import anyio
from mcp.server.connection import Connection
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.runner import serve_connection
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from mcp_types import INVALID_REQUEST
from starlette.types import Message, Receive, Scope, Send

from cenoby.access.principals import Principal
from cenoby.access.tokens import Identities
from cenoby.gateway.answers import answer, answer_rpc_error
from cenoby.gateway.changes import Changes, Feed
from cenoby.gateway.request_facts import facts_of
from cenoby.gateway.session import Session
from cenoby.telemetry.logs import get_logger

MAX_SESSIONS = 10_000
MAX_SESSIONS_PER_AGENT = 1_000

_log = get_logger("gateway.sessions")


class Sessions:
    """The open sessions.

    Args:
        server: the SDK's server with our handlers.
        changes: where their feeds come from.
        identities: tell when a token lapses.
    """

    def __init__(self, server: Server[Any], changes: Changes, identities: Identities) -> None:
        self._server = server
        self._changes = changes
        self._identities = identities
        self._ending: set[asyncio.Task[None]] = set()
        self._sessions: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._options = server.create_initialization_options(
            NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        )

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, session_id: str, principal: Principal) -> Session | None:
        """The principal's own session of that id; another's is as unknown as none."""
        session = self._sessions.get(session_id)
        return session if session is not None and session.belongs_to(principal) else None

    async def serve_request(self, document: Any, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that names a session; `document` is its body, where it has one."""
        facts = facts_of(scope)
        session = facts.session
        if session is None:
            await answer_rpc_error(send, 404, INVALID_REQUEST, "Session not found; initialize a new one.")
            return
        if isinstance(document, dict) and session.take(cast(dict[str, Any], document)):
            await answer(send, 202, b"", b"application/json")
            return
        if scope["method"] == "GET":
            # It stands open for its own token, which need not be the one that opened the session.
            with self._identities.hold(facts.principal, lambda _: self._end(session)):
                await session.transport.handle_request(scope, receive, send)
        else:
            await session.transport.handle_request(scope, receive, send)
        if session.transport.is_terminated:
            await self._discard(session)

    async def serve_opening(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve `initialize`: open a session and keep it if the handshake succeeds."""
        facts = facts_of(scope)
        principal = facts.principal
        if len(self._sessions) >= MAX_SESSIONS or self._of(principal) >= MAX_SESSIONS_PER_AGENT:
            retry = [(b"retry-after", b"60")]
            await answer_rpc_error(send, 503, INVALID_REQUEST, "Too many open sessions.", headers=retry)
            return
        session = Session(principal, self._changes.open(principal.tenant, ("tools", "prompts", "resources")))
        self._sessions[session.id] = session
        session.hold = self._identities.hold(principal, lambda _: self._end(session))
        facts.session = session
        opened = False
        try:
            await self._start(session)
            status = await _status_of(session.transport.handle_request, scope, receive, send)
            opened = status is not None and status < 400
        finally:
            if not opened:
                await self._discard(session)

    def close_streams(self) -> None:
        """End the standing event streams of all clients; their sessions and calls go on."""
        for session in list(self._sessions.values()):
            session.transport.close_standalone_sse_stream()

    async def close(self) -> None:
        """End all sessions and the streams of their clients."""
        for session in list(self._sessions.values()):
            await self._discard(session)
        tasks = [*self._tasks.values(), *self._ending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, principal: Principal) -> int:
        return sum(session.belongs_to(principal) for session in self._sessions.values())

    async def _start(self, session: Session) -> None:
        ready = asyncio.Event()
        task = asyncio.create_task(self._serve(session, ready), name=f"session-{session.id}")
        self._tasks[session.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(session.id, None))
        await ready.wait()

    async def _serve(self, session: Session, ready: asyncio.Event) -> None:
        try:
            async with session.transport.connect() as (read_stream, write_stream):
                dispatcher: JSONRPCDispatcher[TransportContext] = JSONRPCDispatcher(
                    read_stream, write_stream, inline_methods=frozenset({"initialize"})
                )
                session.connection = Connection.for_loop(dispatcher, session_id=session.id)
                ready.set()
                with session.transport.idle_scope or anyio.CancelScope():
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._notify, session.connection, session.feed)
                        await serve_connection(
                            self._server,
                            dispatcher,
                            connection=session.connection,
                            lifespan_state=None,
                            init_options=self._options,
                        )
                        group.cancel_scope.cancel()
        except Exception:  # noqa: BLE001 - a session that breaks ends alone; its client is told 404 and shakes hands again
            _log.exception("session_failed", session=session.id, agent=session.owner.agent)
        finally:
            ready.set()
            await self._discard(session)

    async def _notify(self, connection: Connection, feed: Feed) -> None:
        await connection.initialized.wait()
        while events := await feed.take():
            for event in events:
                await connection.notify(*_notice(event))

    def _end(self, session: Session) -> None:
        # A token lapsed: the client hears of nothing more from now on, and shakes hands again if it may.
        session.feed.cut()
        task = asyncio.create_task(self._discard(session), name=f"session-end-{session.id}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _discard(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is None:
            return
        session.end()
        self._changes.drop(session.feed)
        if not session.transport.is_terminated:
            with anyio.CancelScope(shield=True):
                await session.transport.terminate()


def _notice(event: Any) -> tuple[str, dict[str, Any] | None]:
    uri = getattr(event, "uri", None)
    if uri is not None:
        return "notifications/resources/updated", {"uri": uri}
    return _LIST_METHODS[type(event).__name__], None


_LIST_METHODS = {
    "ToolsListChanged": "notifications/tools/list_changed",
    "PromptsListChanged": "notifications/prompts/list_changed",
    "ResourcesListChanged": "notifications/resources/list_changed",
}


async def _status_of(app: Callable[..., Any], scope: Scope, receive: Receive, send: Send) -> int | None:
    status: int | None = None

    async def watch(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    await app(scope, receive, watch)
    return status
