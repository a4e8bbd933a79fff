"""How commands talk to the running colony: one stateless MCP request (revision 2026-07-28) over HTTP per call."""

from __future__ import annotations

import http.client
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cenoby.app.data_dir import DataDirUnavailable, find
from cenoby.kernel.errors import InvalidInput
from cenoby.kernel.mcp_request import request_body, request_headers, result_in, tool_error


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
        if (error := tool_error(result)) is not None:
            raise error
        return result.get("structuredContent", result.get("content")), result.get("_meta", {}).get("cenoby/record", "")

    def request(self, method: str, params: dict[str, Any], *, timeout: float = 30) -> dict[str, Any]:
        """The result of one MCP request.

        Raises:
            CenobyError: the colony refused, or there is no colony.
        """
        body = request_body(method, params, client="cenoby-cli")
        return result_in(*self._post(request_headers(method, params, self.token), body, timeout))

    def _post(self, headers: dict[str, str], body: bytes, timeout: float) -> tuple[int, str, bytes]:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.request("POST", parts.path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers.get_content_type(), response.read()
        except OSError as error:
            raise DataDirUnavailable("colony_not_running", f"No colony answers at {self.url} ({error}).") from None
        finally:
            connection.close()


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
