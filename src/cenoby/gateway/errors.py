"""How Cenoby's errors look on the MCP wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY

from cenoby.kernel.errors import CenobyError, Refused, Unavailable

ERROR_META_KEY = "cenoby/error"

APPLICATION_ERROR = -32000
"""First code of JSON-RPC's range for errors that the server defines."""


class ClientAsked(Refused):
    """The call waits for something that only the client can give."""

    codes = {
        "input_required": "The tool needs answers from the client; the call is to be repeated with them.",
        "client_declined": "The client answered a question of the tool with an error; the message holds it.",
    }


class GatewayUnavailable(Unavailable):
    """There is no gateway to speak to, or it takes no more just now."""

    codes = {
        "address_unusable": "The address cannot be listened on; choose another with --listen or stop what holds it.",
        "gateway_unreachable": "The running colony does not answer; `cenoby status` says whether it runs.",
        "colony_stopping": "The colony is stopping and takes no new calls; try again when it is back.",
        "places_full": "The colony serves as many requests or streams as it can; try again after `retry_after` s.",
        "share_full": "This agent holds as many requests or streams as one agent may; end some, or try again.",
        "bodies_full": "The requests under way hold as much memory as they may; try again after `retry_after` seconds.",
    }


def protocol_error(error: CenobyError, data: Mapping[str, Any] | None = None) -> MCPError:
    """The JSON-RPC error for requests whose results cannot carry an error (resources, prompts), and for unknown names.

    Args:
        error: what happened.
        data: further members of the error's `data`.
    """
    code = INVALID_PARAMS if error.family in ("invalid", "not_found") else APPLICATION_ERROR
    return MCPError(code, f"{error.code}: {error.message}", {**(data or {}), ERROR_META_KEY: error.to_wire()})


def missing_capability(capability: str) -> MCPError:
    """The 2026-07-28 answer where a tool needs what the client did not declare (basic/index, error -32021)."""
    return MCPError(
        MISSING_REQUIRED_CLIENT_CAPABILITY,
        f"This call needs the client capability {capability!r}.",
        {"requiredCapabilities": {capability: {}}},
    )
