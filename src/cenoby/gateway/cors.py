"""What a page of a listed origin must be told before its script may speak to the gateway (CORS)."""

from __future__ import annotations

from starlette.types import Message, Scope, Send

from cenoby.gateway.answers import header

PREFLIGHT = [
    (b"allow", b"GET, POST, DELETE, OPTIONS"),
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, accept, last-event-id, "
        b"mcp-session-id, mcp-protocol-version, mcp-method, mcp-name",
    ),
    (b"access-control-max-age", b"600"),
]


def with_cors(scope: Scope, send: Send) -> Send:
    """A `send` whose answers the page that asked may read; `send` itself where no page asked."""
    origin = header(scope, b"origin")
    if origin is None:
        return send
    cors = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"mcp-session-id, www-authenticate, retry-after"),
        (b"vary", b"origin"),
    ]

    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *cors]}
        await send(message)

    return send_with_cors
