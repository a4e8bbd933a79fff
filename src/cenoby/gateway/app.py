"""The gateway's one ASGI application: who may knock, at which door, and how much at once.

A usual `tools/call` is read and answered by `fast_path.py`, everything else by the SDK; why, says ADR 0003.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cenoby.access.principals import Credential
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.access.tokens import Identities
from cenoby.bus.contract import MessageBus
from cenoby.colony.apis.published import Publications
from cenoby.colony.host import Host
from cenoby.colony.pipeline import Pipeline
from cenoby.gateway.answers import (
    CLOSE,
    Headers,
    answer,
    answer_json,
    answer_rpc_error,
    answer_text,
    bearer_token,
    header,
)
from cenoby.gateway.approval_hook import ApprovalHook, approval_named
from cenoby.gateway.call_requests import METHOD
from cenoby.gateway.calls import Calls
from cenoby.gateway.catalogue import Catalogue
from cenoby.gateway.changes import Changes
from cenoby.gateway.cors import PREFLIGHT, with_cors
from cenoby.gateway.door import METADATA_PATH, Door
from cenoby.gateway.errors import APPLICATION_ERROR, ERROR_META_KEY, GatewayUnavailable
from cenoby.gateway.fast_path import FastPath
from cenoby.gateway.intake import BodyInvalid, Intake, read_json, replay
from cenoby.gateway.mcp_server import McpHandlers, build_server
from cenoby.gateway.origins import OriginRules
from cenoby.gateway.places import Places
from cenoby.gateway.prompts import Prompts
from cenoby.gateway.request_facts import CALLER, RequestFacts, facts_of
from cenoby.gateway.resources import Resources
from cenoby.gateway.sealed_state import StateSeal
from cenoby.gateway.sessions import Sessions
from cenoby.gateway.standing import INITIALIZE, LISTEN, Standing, check_opening, named_by
from cenoby.gateway.tasks import Tasks
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import Refused, Unauthenticated
from cenoby.kernel.settings import GatewaySettings
from cenoby.kernel.settings_identity import OAuthSettings
from cenoby.telemetry.logs import get_logger
from cenoby.telemetry.metrics import CONTENT_TYPE, Metrics

MCP_PATH = "/mcp"

_log = get_logger("gateway.app")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPorts:
    """What the gateway shows and speaks to; `app` fills it in.

    Attributes:
        host, publications, pipeline, identities, roles, bus, metrics: the colony's.
        settings: limits and names.
        colony: the colony's name.
        listen_host: address that the gateway listens on.
        clock: the time.
        ready: says why the colony is not ready, or nothing when it is.
        oauth: which other authorities are believed.
        proof_nonces: whether proofs of possession must carry a nonce.
        dashboard: serves every path that the gateway does not; None answers 404 there.
    """

    host: Host
    publications: Publications
    pipeline: Pipeline
    identities: Identities
    roles: RoleTable
    bus: MessageBus
    metrics: Metrics
    settings: GatewaySettings
    colony: str
    listen_host: str
    clock: Clock
    ready: Callable[[], Awaitable[str]]
    oauth: OAuthSettings = field(default_factory=OAuthSettings)
    proof_nonces: bool = False
    dashboard: ASGIApp | None = None


class Gateway:
    """The application. Serve it inside `running()`; call `drain()` when stopping begins."""

    def __init__(self, ports: GatewayPorts) -> None:
        settings = ports.settings
        self._ports = ports
        self._settings = settings
        self._origins = OriginRules(ports.listen_host, settings.allowed_hosts, settings.allowed_origins)
        self._changes = Changes(ports.bus, ports.colony)
        catalogue = Catalogue(ports.host, ports.publications, ports.roles, settings.tool_names, settings.page_size)
        seal = StateSeal(ports.clock)
        self._standing = Standing(ports.pipeline, ports.identities, catalogue)
        calls = Calls(self._standing, seal)
        resources = Resources(ports.host, calls, catalogue, settings.page_size)
        prompts = Prompts(ports.host, calls, ports.roles, settings.page_size)
        handlers = McpHandlers(calls, catalogue, resources, prompts, self._changes, ports.identities)
        server = build_server(handlers, catalogue, Tasks(calls))
        self._fast_path = FastPath(self._standing, catalogue, seal, server.server_info_stamp)
        self._stateless = StreamableHTTPSessionManager(
            server, stateless=True, max_request_body_size=settings.max_body_bytes
        )
        self._sessions = Sessions(server, self._changes, ports.identities)
        self._intake = Intake(settings.max_body_bytes)
        share, streams_share = settings.max_inflight_per_agent, settings.max_streams_per_agent
        self._inflight = Places("requests", settings.max_inflight, share, ports.roles)
        self._streams = Places("streams", settings.max_streams, streams_share, ports.roles)
        self._door = Door(ports.identities, ports.oauth, ports.clock, ports.colony, MCP_PATH, nonces=ports.proof_nonces)
        self._hook = ApprovalHook(ports.identities, ports.pipeline.run, self._inflight, self._intake, self._door.refuse)
        self._draining = False
        ports.metrics.watch("inflight_requests", "MCP requests being served.", lambda: self._inflight.taken)
        ports.metrics.watch("open_streams", "Open event streams and watches.", lambda: self._streams.taken)
        ports.metrics.watch("open_sessions", "Open sessions of handshake revisions.", lambda: len(self._sessions))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Listen to the colony's changes and serve sessions while the block runs."""
        await self._changes.start()
        ready, stop = asyncio.Event(), asyncio.Event()
        holder = asyncio.create_task(self._hold_stateless(ready, stop), name="gateway-stateless")
        await ready.wait()
        try:
            yield
        finally:
            self.drain()
            await self._sessions.close()
            await self._changes.stop()
            stop.set()
            await holder

    async def _hold_stateless(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        # In a task of its own, because the SDK's task group must be left by the task that entered it.
        async with self._stateless.run():
            ready.set()
            await stop.wait()

    def drain(self) -> None:
        """Be no longer ready, and end the streams that would last for ever; calls under way go on."""
        self._draining = True
        self._changes.close_feeds()
        self._sessions.close_streams()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; nothing escapes."""
        if scope["type"] != "http":
            return
        started = False

        async def tracked(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._route(scope, receive, tracked)
        except ConnectionResetError:
            return
        except asyncio.CancelledError:
            if not started:
                await _refuse_full(send, _stopping(), [CLOSE])
        except Exception:  # noqa: BLE001 - the last border: what went wrong is logged, and never shown
            _log.exception("request_failed", path=scope.get("path"))
            if not started:
                await answer_rpc_error(send, 500, INTERNAL_ERROR, "Internal error; the log has the cause.")

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == MCP_PATH:
            await self._mcp(scope, receive, send)
        elif path == "/healthz":
            await answer_json(send, 200, {"status": "ok"})
        elif path == "/readyz":
            await self._readyz(send)
        elif not self._let_in(scope):
            await answer_text(send, 403, "This Host or Origin may not speak to the colony.\n")
        elif path == "/metrics":
            await self._metrics(scope, send)
        elif path in (METADATA_PATH, METADATA_PATH + MCP_PATH):
            await answer_json(send, 200, self._door.metadata(scope))
        elif scope["method"] == "POST" and (approval_id := approval_named(path)):
            await self._hook(approval_id, scope, receive, send)
        elif self._ports.dashboard is not None:
            await self._ports.dashboard(scope, receive, send)
        else:
            await answer_text(send, 404, "Not found. MCP is at /mcp.\n")

    async def _mcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._let_in(scope):
            message = "This Host or Origin may not speak to the colony; see gateway.allowed_hosts and allowed_origins."
            await answer_rpc_error(send, 403, INVALID_REQUEST, message)
            return
        send = with_cors(scope, send)
        if scope["method"] == "OPTIONS":
            await answer(send, 204, b"", b"text/plain", PREFLIGHT)
            return
        token: Credential = bearer_token(header(scope, b"authorization"))
        try:
            try:
                principal = self._ports.identities.authenticate(token)
            except Unauthenticated as problem:
                principal, token = await self._door.enter(scope, problem)
        except (Unauthenticated, AccessRefused) as error:
            await self._door.refuse(scope, send, error)
            return
        except Refused as error:
            await _refuse_known(send, error)
            return
        facts = facts_of(scope)
        facts.principal, facts.token = principal, token
        if self._draining:
            self._ports.metrics.event("requests_turned_away")
            await _refuse_full(send, _stopping())
            return
        CALLER.set(principal)
        try:
            await self._admitted(facts, scope, receive, send)
        except BodyInvalid as error:
            await _refuse_body(send, error)
        except GatewayUnavailable as error:
            self._ports.metrics.event("requests_turned_away")
            # A body that was not read to its end takes its connection with it.
            await _refuse_full(send, error, [CLOSE] if error.code == "bodies_full" else [])

    async def _admitted(self, facts: RequestFacts, scope: Scope, receive: Receive, send: Send) -> None:
        session_id = header(scope, b"mcp-session-id")
        if session_id is not None:
            facts.session = self._sessions.find(session_id, facts.principal)
        if scope["method"] == "GET":
            with self._streams.take(facts.principal):
                await self._handshake(None, scope, receive, send)
            return
        with self._inflight.take(facts.principal) as facts.place:
            if scope["method"] == "POST":
                await self._posted(facts, scope, receive, send)
            else:
                await self._serve(None, scope, receive, send)

    async def _posted(self, facts: RequestFacts, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a POST. What stands is small, lets go of its body, and has a place among the streams."""
        agent = facts.principal.agent
        body = await self._intake.read(scope, receive, agent)
        held = len(body)
        try:
            request = self._fast_path.read(scope, facts.session, body)
            document = read_json(body) if request is None else None
            method, tool = (METHOD, request.params.name) if request is not None else named_by(document)
            stands = self._standing.stands(method, tool)
            if stands or method == INITIALIZE:
                check_opening(method, held)
            if request is None:
                receive = replay(body, receive)
            del body
            with self._streams.take(facts.principal) if stands else nullcontext():
                if stands:
                    document = None
                    self._intake.release(agent, held)
                    held = 0
                    if method != LISTEN:  # which reads what it is to watch, and then gives its place back
                        facts.place.release()
                if request is not None:
                    await self._fast_path.serve(request, facts, send)
                else:
                    await self._serve(document, scope, receive, send)
        finally:
            self._intake.release(agent, held)

    async def _serve(self, document: Any, scope: Scope, receive: Receive, send: Send) -> None:
        version = header(scope, b"mcp-protocol-version")
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._stateless.handle_request(scope, receive, overload_aware(scope, send))
        else:
            await self._handshake(document, scope, receive, send)

    async def _handshake(self, document: Any, scope: Scope, receive: Receive, send: Send) -> None:
        if header(scope, b"mcp-session-id") is not None:
            await self._sessions.serve_request(document, scope, receive, send)
        elif named_by(document)[0] == INITIALIZE:
            await self._sessions.serve_opening(scope, receive, send)
        else:
            message = "Missing Mcp-Session-Id; initialize first, or speak revision 2026-07-28 (MCP-Protocol-Version)."
            await answer_rpc_error(send, 400, INVALID_REQUEST, message)

    def _let_in(self, scope: Scope) -> bool:
        return self._origins.allows_host(header(scope, b"host")) and self._origins.allows_origin(
            header(scope, b"origin")
        )

    async def _readyz(self, send: Send) -> None:
        reason = "draining" if self._draining else await self._ports.ready()
        await answer_json(send, 503 if reason else 200, {"status": reason or "ready"})

    async def _metrics(self, scope: Scope, send: Send) -> None:
        if not _is_local(scope):
            try:
                self._ports.identities.authenticate(bearer_token(header(scope, b"authorization")))
            except Unauthenticated as error:
                await self._door.refuse(scope, send, error)
                return
            except Refused as error:
                await _refuse_known(send, error)
                return
        await answer(send, 200, self._ports.metrics.render(), CONTENT_TYPE.encode())


def overload_aware(scope: Scope, send: Send) -> Send:
    """A `send` that answers 503 with Retry-After where the handler said that the colony is full."""
    facts = facts_of(scope)

    async def aware(message: Message) -> None:
        if message["type"] == "http.response.start" and facts.overload:
            message = {**message, "status": 503, "headers": [*message["headers"], *facts.overload]}
        await send(message)

    return aware


async def _refuse_known(send: Send, error: Refused) -> None:
    data = {ERROR_META_KEY: error.to_wire()}
    await answer_rpc_error(send, 403, APPLICATION_ERROR, f"{error.code}: {error.message}", data=data)


async def _refuse_body(send: Send, error: BodyInvalid) -> None:
    data = {ERROR_META_KEY: error.to_wire()}
    if error.code == "body_malformed":
        await answer_rpc_error(send, 400, PARSE_ERROR, f"Parse error: {error.message}", data=data)
    else:
        # What is left of a body that is too large is not read, so the connection ends.
        await answer_rpc_error(send, 413, INVALID_REQUEST, error.message, data=data, headers=[CLOSE])


async def _refuse_full(send: Send, error: GatewayUnavailable, headers: Headers = ()) -> None:
    data = {ERROR_META_KEY: error.to_wire()}
    later = [(b"retry-after", b"1"), *headers]
    await answer_rpc_error(send, 503, APPLICATION_ERROR, error.message, data=data, headers=later)


def _stopping() -> GatewayUnavailable:
    return GatewayUnavailable("colony_stopping", "The colony is stopping; try again when it is back.", retry_after=1.0)


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    forwarded = header(scope, b"x-forwarded-for") or header(scope, b"forwarded")
    return client is not None and client[0] in ("127.0.0.1", "::1") and forwarded is None
