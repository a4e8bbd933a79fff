"""Reading a `tools/call` of either era in one go, with the checks of the SDK's `classify_inbound_request`.

What differs in any way from what a usual client sends is not read here (None) and left to the SDK, which answers it as
the protocol says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
from mcp.shared.inbound import MCP_PARAM_HEADER_PREFIX
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_MODERN_VERSION

T = TypeVar("T")

METHOD = "tools/call"
CONVERSATION_META_KEY = "cenoby/conversation"
"""Under which a client may say in `_meta` to which conversation (its id) a call belongs."""

_MODERN = LATEST_MODERN_VERSION.encode()
_HANDSHAKE = frozenset(version.encode() for version in HANDSHAKE_PROTOCOL_VERSIONS) | {None}
_PARAM_PREFIX = MCP_PARAM_HEADER_PREFIX.lower().encode()
_MOST_ACCEPTS = 64

Level = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Capabilities(msgspec.Struct):
    """What of a client's capabilities a tool may make use of."""

    sampling: dict[str, Any] | None = None
    elicitation: dict[str, Any] | None = None
    roots: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


class _Client(msgspec.Struct):
    name: str
    version: str


class _StatelessMeta(msgspec.Struct):
    version: Literal["2026-07-28"] = msgspec.field(name=PROTOCOL_VERSION_META_KEY)
    capabilities: Capabilities = msgspec.field(name=CLIENT_CAPABILITIES_META_KEY)
    client: _Client | None = msgspec.field(name=CLIENT_INFO_META_KEY, default=None)
    log_level: Level | None = msgspec.field(name=LOG_LEVEL_META_KEY, default=None)
    progress_token: str | int | None = msgspec.field(name="progressToken", default=None)
    traceparent: Any = None
    conversation: Any = msgspec.field(name=CONVERSATION_META_KEY, default=None)


class _StatelessParams(msgspec.Struct):
    name: str
    meta: _StatelessMeta = msgspec.field(name="_meta")
    arguments: dict[str, Any] | None = None
    answers: Any = msgspec.field(name="inputResponses", default=None)
    state: Any = msgspec.field(name="requestState", default=None)


class _SessionMeta(msgspec.Struct):
    progress_token: str | int | None = msgspec.field(name="progressToken", default=None)
    traceparent: Any = None
    conversation: Any = msgspec.field(name=CONVERSATION_META_KEY, default=None)


class _SessionParams(msgspec.Struct):
    name: str
    meta: _SessionMeta = msgspec.field(name="_meta", default_factory=_SessionMeta)
    arguments: dict[str, Any] | None = None


class StatelessCall(msgspec.Struct):
    """A `tools/call` of revision 2026-07-28."""

    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/call"]
    params: _StatelessParams


class SessionCall(msgspec.Struct):
    """A `tools/call` of a handshake revision."""

    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/call"]
    params: _SessionParams


ToolRequest = StatelessCall | SessionCall


class RequestReader:
    """Reads requests; remembers which Accept headers it has understood."""

    def __init__(self) -> None:
        self._stateless = msgspec.json.Decoder(StatelessCall)
        self._session = msgspec.json.Decoder(SessionCall)
        self._accepts: set[bytes] = set()

    def stateless(self, headers: Mapping[bytes, bytes], count: int, body: bytes) -> StatelessCall | None:
        """The stateless call in a POST.

        Args:
            headers: by lower-case name.
            count: how many header lines there were; more than names means that one came twice.
            body: the request body.
        """
        if (
            len(headers) != count
            or headers.get(b"mcp-protocol-version") != _MODERN
            or headers.get(b"mcp-method") != b"tools/call"
            or headers.get(b"content-type") != b"application/json"
            or not self._accepts_both(headers.get(b"accept", b""))
            or any(name.startswith(_PARAM_PREFIX) for name in headers)
        ):
            return None
        request = _decoded(self._stateless, body)
        if request is None or headers.get(b"mcp-name") != request.params.name.encode():
            return None
        return request if request.params.answers is None and request.params.state is None else None

    def in_session(self, headers: Mapping[bytes, bytes], count: int, body: bytes) -> SessionCall | None:
        """The call in a POST that names a session; arguments as in `stateless`."""
        if (
            len(headers) != count
            or headers.get(b"mcp-protocol-version") not in _HANDSHAKE
            or headers.get(b"content-type") != b"application/json"
            or not self._accepts_both(headers.get(b"accept", b""))
        ):
            return None
        return _decoded(self._session, body)

    def _accepts_both(self, accept: bytes) -> bool:
        if accept in self._accepts:
            return True
        types = {part.partition(b";")[0].strip().lower() for part in accept.split(b",")}
        if not {b"application/json", b"text/event-stream"} <= types:
            return False
        if len(self._accepts) < _MOST_ACCEPTS:
            self._accepts.add(accept)
        return True


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
