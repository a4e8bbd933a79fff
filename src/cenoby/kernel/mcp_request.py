"""One stateless MCP request (revision 2026-07-28) to a colony, as bytes, and reading what comes back.

Commands and other colonies ask this way; who sends the bytes is their own affair.
"""

from __future__ import annotations

from typing import Any, cast

from cenoby import __version__
from cenoby.kernel.codec import CodecError, from_json, to_json
from cenoby.kernel.errors import CenobyError, error_from_wire

REVISION = "2026-07-28"


def request_body(method: str, params: dict[str, Any], *, client: str, trace: str = "") -> bytes:
    """The body of a POST.

    Args:
        method: e.g. `tools/call`.
        params: its parameters.
        client: who asks, as the colony is told.
        trace: W3C trace parent of what led to it; none where empty.
    """
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {"name": client, "version": __version__},
        "io.modelcontextprotocol/clientCapabilities": {},
    } | ({"traceparent": trace} if trace else {})
    return to_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": meta}})


def request_headers(method: str, params: dict[str, Any], token: str) -> dict[str, str]:
    """The headers that go with it."""
    name = str(params.get("name") or params.get("uri", ""))
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": REVISION,
        "Mcp-Method": method,
    } | ({"Mcp-Name": name} if name else {})


def result_in(status: int, content_type: str, body: bytes) -> dict[str, Any]:
    """The result in an answer.

    Args:
        status: HTTP status.
        content_type: of the body; the last event of an event stream is the answer.
        body: the whole body.

    Raises:
        CenobyError: what the colony refused with, or `colony_answer_invalid` where it is no answer.
    """
    text = _last_event(body) if content_type.partition(";")[0].strip() == "text/event-stream" else body
    read = _read(text)
    error, result = read.get("error"), read.get("result")
    if isinstance(result, dict):
        return cast(dict[str, Any], result)
    if not isinstance(error, dict) or "jsonrpc" not in read:
        raise error_from_wire(_http_problem(status, read))
    raise _protocol_error(cast(dict[str, Any], error))


def tool_error(result: dict[str, Any]) -> CenobyError | None:
    """The error in the result of a tool call, where it is one."""
    if not result.get("isError"):
        return None
    text = " ".join(str(block.get("text", "")) for block in result.get("content", []))
    wire = result.get("_meta", {}).get("cenoby/error")
    return error_from_wire(wire or {"code": "tool_error", "message": text, "family": "fault"})


def _read(text: bytes) -> dict[str, Any]:
    try:
        answer = from_json(text)
    except CodecError:
        # A page of some proxy, say: the HTTP status tells what there is to tell.
        return {}
    return cast(dict[str, Any], answer) if isinstance(answer, dict) else {}


def _protocol_error(error: dict[str, Any]) -> CenobyError:
    data = error.get("data")
    wire = cast(dict[str, Any], data).get("cenoby/error") if isinstance(data, dict) else None
    return error_from_wire(
        wire or {"code": f"mcp{error.get('code')}", "message": error.get("message", ""), "family": "invalid"}
    )


def _last_event(text: bytes) -> bytes:
    lines = [line[5:].strip() for line in text.splitlines() if line.startswith(b"data:")]
    return lines[-1] if lines else b""


def _http_problem(status: int, problem: dict[str, Any]) -> dict[str, Any]:
    families = {400: "invalid", 401: "unauthenticated", 403: "refused", 404: "not_found", 503: "unavailable"}
    return {
        "code": problem.get("code") or "colony_answer_invalid",
        "message": problem.get("message") or f"The colony answered with HTTP {status}.",
        "family": families.get(status, "fault"),
    }
