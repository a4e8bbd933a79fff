"""The short way for the commonest request: a stateless `tools/call` that is answered with one JSON object.

It reads the request once with msgspec, takes the call through the same pipeline, and writes the answer from prepared
pieces. The checks are those of the SDK's `classify_inbound_request` (headers agree with the body, revision, envelope).
Whatever is unusual in any way (progress, log lines, answers to questions, `Mcp-Param-*` headers, an unknown tool, any
defect) is left to the SDK, which answers it as the protocol says; `tests/gateway` compares the two ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from mcp.shared.inbound import MCP_PARAM_HEADER_PREFIX
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)
from mcp_types.methods import serialize_server_result
from mcp_types.version import LATEST_MODERN_VERSION
from starlette.types import Scope, Send

from cenoby.access.principals import Principal
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.pipeline import Pipeline
from cenoby.gateway.calls import success_result, traceparent
from cenoby.gateway.catalogue import Catalogue
from cenoby.gateway.client_channel import AnswerBook, input_required
from cenoby.gateway.errors import (
    APPLICATION_ERROR,
    ERROR_META_KEY,
    OVERLOAD_CODES,
    missing_capability,
    protocol_error,
    tool_error,
)
from cenoby.gateway.names import canonical
from cenoby.gateway.sealed_state import StateSeal, asked_by
from cenoby.kernel.codec import to_json
from cenoby.kernel.errors import CenobyError

_METHOD = "tools/call"
_VERSION = LATEST_MODERN_VERSION
_VERSION_BYTES = _VERSION.encode()
_PARAM_PREFIX = MCP_PARAM_HEADER_PREFIX.lower().encode()
_ROUTING_HEADERS = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"accept", b"authorization", b"host")


class _Client(msgspec.Struct):
    name: str
    version: str


class _Capabilities(msgspec.Struct):
    sampling: dict[str, Any] | None = None
    elicitation: dict[str, Any] | None = None
    roots: dict[str, Any] | None = None


class _Meta(msgspec.Struct):
    version: Literal["2026-07-28"] = msgspec.field(name=PROTOCOL_VERSION_META_KEY)
    capabilities: _Capabilities = msgspec.field(name=CLIENT_CAPABILITIES_META_KEY)
    client: _Client | None = msgspec.field(name=CLIENT_INFO_META_KEY, default=None)
    log_level: Any = msgspec.field(name=LOG_LEVEL_META_KEY, default=None)
    progress_token: Any = msgspec.field(name="progressToken", default=None)
    traceparent: Any = None


class _Params(msgspec.Struct):
    name: str
    meta: _Meta = msgspec.field(name="_meta")
    arguments: dict[str, Any] | None = None
    answers: Any = msgspec.field(name="inputResponses", default=None)
    state: Any = msgspec.field(name="requestState", default=None)


class _Request(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/call"]
    params: _Params


_decoder = msgspec.json.Decoder(_Request)


class _Questions(AnswerBook):
    """The client's side of a call on the short way: it hears nothing meanwhile, and can be asked by ending the call."""

    def __init__(self, capabilities: _Capabilities) -> None:
        super().__init__({})
        self._capabilities = capabilities

    def supports(self, capability: str) -> bool:
        return getattr(self._capabilities, capability, None) is not None

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Nothing: the client gave no progress token."""

    async def log(self, level: str, text: str) -> None:
        """Nothing: the client asked for no log lines."""


class FastPath:
    """Serves what it recognises.

    Args:
        pipeline: what every call passes.
        catalogue: knows the tools by both spellings.
        seal: seals the state of a call that asks its client.
        server_info: what the server says of itself in every result.
    """

    def __init__(
        self, pipeline: Pipeline, catalogue: Catalogue, seal: StateSeal, server_info: Mapping[str, Any]
    ) -> None:
        self._pipeline = pipeline
        self._catalogue = catalogue
        self._seal = seal
        self._server_info = dict(server_info)
        info = to_json({SERVER_INFO_META_KEY: self._server_info})[:-1]
        self._tail = b',"isError":false,"resultType":"complete","_meta":' + info + b',"cenoby/record":"'
        self._accepted: set[bytes] = set()

    def recognises(self, headers: Mapping[bytes, bytes], count: int) -> bool:
        """Whether a POST with these headers may be a usual stateless `tools/call`.

        Args:
            headers: by lower-case name.
            count: how many header lines there were; more than names means that one came twice.
        """
        return (
            len(headers) == count
            and headers.get(b"mcp-protocol-version") == _VERSION_BYTES
            and headers.get(b"mcp-method") == b"tools/call"
            and self._accepts_both(headers.get(b"accept", b""))
            and not any(name.startswith(_PARAM_PREFIX) for name in headers)
        )

    def read(self, headers: Mapping[bytes, bytes], body: bytes) -> _Request | None:
        """The request in `body`, or None if the SDK is to look at it."""
        try:
            request = _decoder.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        params = request.params
        meta = params.meta
        usual = meta.progress_token is None and meta.log_level is None and params.answers is None
        if not usual or params.state is not None or headers.get(b"mcp-name") != params.name.encode():
            return None
        return request if self._catalogue.plain(params.name) is not None else None

    async def serve(self, request: _Request, principal: Principal, token: str, scope: Scope, send: Send) -> None:
        """Take the call through the pipeline and answer it. A client that goes away cancels it."""
        params = request.params
        arguments = params.arguments or {}
        questions = _Questions(params.meta.capabilities)
        causation = traceparent({"traceparent": params.meta.traceparent}) if params.meta.traceparent else ""
        invocation = Invocation(canonical(params.name), arguments, token, client=questions, causation=causation)
        connection = scope.get("cenoby.connection")
        if connection is not None:
            task = asyncio.current_task()
            assert task is not None, "requests are served in tasks"
            connection.on_lost = task.cancel
        outcome = await self._pipeline.run(invocation)
        if connection is not None:
            connection.on_lost = None
        if outcome.error is None:
            await _send(send, 200, self._success(request, outcome))
        elif outcome.error.code == "input_required":
            state = self._seal.seal(asked_by(principal, _METHOD, params.name, arguments), questions.answers)
            asked = serialize_server_result(_METHOD, _VERSION, input_required(outcome.error, state))
            await _send(send, 200, self._result(request, asked))
        else:
            await self._send_error(send, request, outcome.error)

    def _success(self, request: _Request, outcome: Outcome) -> bytes:
        if outcome.blocks is not None or outcome.record is None or not isinstance(outcome.value, dict):
            result = success_result(outcome) | {"resultType": "complete"}
            return self._result(request, serialize_server_result(_METHOD, _VERSION, result))
        return b"".join(
            (
                b'{"jsonrpc":"2.0","id":',
                to_json(request.id),
                b',"result":{"content":[{"type":"text","text":',
                to_json(outcome.json.decode()),
                b'}],"structuredContent":',
                outcome.json,
                self._tail,
                outcome.record.id.encode(),
                b'"}}}',
            )
        )

    def _result(self, request: _Request, result: dict[str, Any]) -> bytes:
        meta = {SERVER_INFO_META_KEY: self._server_info, **result.get("_meta", {})}
        return to_json({"jsonrpc": "2.0", "id": request.id, "result": {**result, "_meta": meta}})

    async def _send_error(self, send: Send, request: _Request, error: CenobyError) -> None:
        if error.code == "client_feature_missing" and error.details.get("capability"):
            problem = missing_capability(error.details["capability"])
            await _send(send, 400, _rpc_error(request, problem.code, problem.message, problem.data))
        elif error.code == "tool_unknown":
            problem = protocol_error(error)
            await _send(send, 400, _rpc_error(request, problem.code, problem.message, problem.data))
        elif error.code in OVERLOAD_CODES:
            body = _rpc_error(
                request, APPLICATION_ERROR, f"{error.code}: {error.message}", {ERROR_META_KEY: error.to_wire()}
            )
            await _send(send, 503, body, (b"retry-after", b"%d" % max(1, round(error.retry_after or 1))))
        else:
            await _send(send, 200, self._result(request, tool_error(error) | {"resultType": "complete"}))

    def _accepts_both(self, accept: bytes) -> bool:
        if accept in self._accepted:
            return True
        types = {part.partition(b";")[0].strip().lower() for part in accept.split(b",")}
        if not {b"application/json", b"text/event-stream"} <= types:
            return False
        if len(self._accepted) < 64:
            self._accepted.add(accept)
        return True


def _rpc_error(request: _Request, code: int, message: str, data: Any) -> bytes:
    error = {"code": code, "message": message, "data": data}
    return to_json({"jsonrpc": "2.0", "id": request.id, "error": error})


async def _send(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    start = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
