"""How commands talk to the running colony: one stateless MCP request (revision 2026-07-28) over HTTP per call."""

from __future__ import annotations

import http.client
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from cenoby import __version__
from cenoby.app.data_dir import DataDirUnavailable, find
from cenoby.kernel.codec import from_json, to_json
from cenoby.kernel.errors import InvalidInput, error_from_wire

REVISION = "2026-07-28"


@dataclass(frozen=True, slots=True)
class ColonyClient:
    """A caller of one running colony.

    Attributes:
        url: where its MCP endpoint is.
        token: whose calls these are.
    """

    url: str
    token: str

    def call(self, tool: str, arguments: dict[str, Any] | None = None, *, timeout: float = 300) -> Any:
        """The structured result of a tool (or its content blocks).

        Raises:
            CenobyError: the colony refused, the tool failed, or there is no colony.
        """
        return self.call_on_record(tool, arguments, timeout=timeout)[0]

    def call_on_record(
        self, tool: str, arguments: dict[str, Any] | None = None, *, timeout: float = 300
    ) -> tuple[Any, str]:
        """As `call`, and the id of the journal record of this call; empty where the colony does not say it."""
        result = self.request("tools/call", {"name": tool, "arguments": arguments or {}}, timeout=timeout)
        if result.get("isError"):
            wire = result.get("_meta", {}).get("cenoby/error")
            text = " ".join(block.get("text", "") for block in result.get("content", []))
            raise error_from_wire(wire or {"code": "tool_error", "message": text, "family": "fault"})
        return result.get("structuredContent", result.get("content")), result.get("_meta", {}).get("cenoby/record", "")

    def request(self, method: str, params: dict[str, Any], *, timeout: float = 30) -> dict[str, Any]:
        """The result of one MCP request.

        Raises:
            CenobyError: the colony refused, or there is no colony.
        """
        body = to_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": _meta()}})
        answer = self._post(method, str(params.get("name", "")), body, timeout)
        if "error" in answer:
            error = cast(dict[str, Any], answer["error"])
            data = error.get("data")
            wire = cast(dict[str, Any], data).get("cenoby/error") if isinstance(data, dict) else None
            raise error_from_wire(
                wire or {"code": f"mcp{error.get('code')}", "message": error.get("message", ""), "family": "invalid"}
            )
        return cast(dict[str, Any], answer["result"])

    def _post(self, method: str, name: str, body: bytes, timeout: float) -> dict[str, Any]:
        parts = urlsplit(self.url)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": REVISION,
            "Mcp-Method": method,
        } | ({"Mcp-Name": name} if name else {})
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.request("POST", parts.path, body, headers)
            response = connection.getresponse()
            text = response.read()
        except OSError as error:
            raise DataDirUnavailable("colony_not_running", f"No colony answers at {self.url} ({error}).") from None
        finally:
            connection.close()
        if response.headers.get_content_type() == "text/event-stream":
            text = _last_event(text)
        answer = from_json(text) if text else None
        if not isinstance(answer, dict) or not ({"result", "error"} & answer.keys()):
            raise error_from_wire(_http_problem(response.status, answer))
        return cast(dict[str, Any], answer)


class CallerAmbiguous(InvalidInput):
    """A command that was told to act as two callers at once."""

    codes = {"caller_ambiguous": "Both --token and --operator were given; a command acts as one of them."}


def connect(data: Path, token: str | None = None, *, operator: bool = False) -> ColonyClient:
    """A client of the colony on this data directory.

    Args:
        data: the data directory.
        token: whose calls; CENOBY_TOKEN, then the operator's own where None.
        operator: the operator's calls, whatever CENOBY_TOKEN says.

    Raises:
        DataDirUnavailable: no colony runs there, or the operator's token cannot be read.
        CallerAmbiguous: `token` and `operator` are both given.
    """
    if operator and token:
        raise CallerAmbiguous("caller_ambiguous", CallerAmbiguous.codes["caller_ambiguous"])
    address = find(data)
    chosen = _operator_token(data) if operator else token or os.environ.get("CENOBY_TOKEN") or _operator_token(data)
    return ColonyClient(address.url, chosen)


def _operator_token(data: Path) -> str:
    try:
        return (data / "admin.token").read_text().strip()
    except OSError as error:
        raise DataDirUnavailable(
            "data_unusable", f"{data}/admin.token cannot be read ({error.strerror}); name a token with --token."
        ) from None


def _meta() -> dict[str, Any]:
    return {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {"name": "cenoby-cli", "version": __version__},
        "io.modelcontextprotocol/clientCapabilities": {},
    }


def _last_event(text: bytes) -> bytes:
    lines = [line[5:].strip() for line in text.splitlines() if line.startswith(b"data:")]
    return lines[-1] if lines else b""


def _http_problem(status: int, answer: Any) -> dict[str, Any]:
    problem = cast(dict[str, Any], answer) if isinstance(answer, dict) else {}
    families = {400: "invalid", 401: "unauthenticated", 403: "refused", 404: "not_found", 503: "unavailable"}
    return {
        "code": problem.get("code") or "colony_answer_invalid",
        "message": problem.get("message") or f"The colony answered with HTTP {status}.",
        "family": families.get(status, "fault"),
    }
