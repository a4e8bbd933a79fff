"""Writing the answer to a `tools/call` from prepared pieces, for either era."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mcp.shared.exceptions import MCPError
from mcp_types import SERVER_INFO_META_KEY
from mcp_types.methods import serialize_server_result
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from cenoby.colony.invocation import Outcome
from cenoby.gateway.call_requests import METHOD
from cenoby.gateway.outcomes import RECORD_META_KEY, Overload, answer_of
from cenoby.kernel.codec import to_json

RequestId = int | str


class Written(NamedTuple):
    """An answer ready to be sent: HTTP status, JSON-RPC body, further headers."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class ResultWriter:
    """Writes results of one era.

    Args:
        server_info: what the server says of itself in every result of revision 2026-07-28; None for the handshake
            revisions, whose results carry no such thing and no result type.
    """

    def __init__(self, server_info: Mapping[str, Any] | None) -> None:
        self._stateless = server_info is not None
        self._version = LATEST_MODERN_VERSION if self._stateless else LATEST_HANDSHAKE_VERSION
        self._stamp = {SERVER_INFO_META_KEY: dict(server_info)} if server_info is not None else {}
        result_type = b',"resultType":"complete"' if self._stateless else b""
        opening = to_json({**self._stamp, RECORD_META_KEY: ""})[:-2]
        self._tail = b',"isError":false' + result_type + b',"_meta":' + opening

    def outcome(self, request_id: RequestId, outcome: Outcome) -> Written:
        """The answer for a call that ended, other than by asking its client."""
        # What failed has no value.
        if outcome.blocks is not None or outcome.record is None or not isinstance(outcome.value, dict):
            answer = answer_of(outcome, stateless=self._stateless)
            return self.problem(request_id, answer) if isinstance(answer, MCPError) else self.result(request_id, answer)
        pieces = (
            b'{"jsonrpc":"2.0","id":',
            to_json(request_id),
            b',"result":{"content":[{"type":"text","text":',
            to_json(outcome.json.decode()),
            b'}],"structuredContent":',
            outcome.json,
            self._tail,
            outcome.record.id.encode(),
            b'"}}}',
        )
        return Written(200, b"".join(pieces))

    def result(self, request_id: RequestId, result: dict[str, Any]) -> Written:
        """The answer with a result in its general form."""
        result.setdefault("resultType", "complete")
        checked = serialize_server_result(METHOD, self._version, result)
        meta = {**self._stamp, **checked.get("_meta", {})}
        return Written(200, to_json({"jsonrpc": "2.0", "id": request_id, "result": {**checked, "_meta": meta}}))

    def extended(self, request_id: RequestId, result: dict[str, Any]) -> Written:
        """The answer with a result of an extension, whose shape the core of the protocol does not know."""
        meta = {**self._stamp, **result.get("_meta", {})}
        return Written(200, to_json({"jsonrpc": "2.0", "id": request_id, "result": {**result, "_meta": meta}}))

    def problem(self, request_id: RequestId, problem: MCPError) -> Written:
        """The answer with an error of the protocol."""
        error = {"code": problem.code, "message": problem.message, "data": problem.data}
        body = to_json({"jsonrpc": "2.0", "id": request_id, "error": error})
        if isinstance(problem, Overload):
            return Written(503, body, problem.headers)
        return Written(400 if self._stateless else 200, body)
