"""Requests to the gateway as an attacker writes them: bytes on a socket."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

REVISION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientInfo": {"name": "redteam", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back until the server closed, as it stood on the wire."""

    raw: bytes

    @property
    def status(self) -> int:
        """Status of the first answer; 0 where there was none."""
        words = self.raw[:40].split(b" ")
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    @property
    def message(self) -> dict[str, Any]:
        """The JSON-RPC message; the last one, where it came as events."""
        body = self.raw.partition(b"\r\n\r\n")[2]
        begin, end = body.find(b'{"'), body.rfind(b"}")
        if b"text/event-stream" in self.raw[:2000].lower():
            lines = [line for line in body.split(b"\n") if line.startswith(b"data:") and b"{" in line]
            begin, end, body = 0, len(lines[-1]), lines[-1][5:].strip()
        try:
            found = json.loads(body[begin : end + 1])
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def code(self) -> str:
        """`ok`, or the code of the error."""
        message = self.message
        result, error = message.get("result") or {}, message.get("error") or {}
        ours = (result.get("_meta") or {}).get("cenoby/error") or (error.get("data") or {}).get("cenoby/error")
        if ours:
            return str(ours["code"])
        return "ok" if result and not result.get("isError") else f"http {self.status}"

    @property
    def value(self) -> Any:
        """The tool's structured result."""
        return (self.message.get("result") or {}).get("structuredContent")

    @property
    def details(self) -> dict[str, Any]:
        """Details of the error."""
        result = self.message.get("result") or {}
        return ((result.get("_meta") or {}).get("cenoby/error") or {}).get("details") or {}

    @property
    def text(self) -> str:
        return self.raw.decode("utf-8", "replace")


async def send(port: int, payload: bytes, *, patience: float = _PATIENCE) -> Heard:
    """Send bytes on a connection of their own, and hear what comes until the server closes it or falls silent."""
    received = bytearray()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(patience):
            writer.write(payload)
            while piece := await reader.read(65536):
                received += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return Heard(bytes(received))


def tool_call(tool: str, arguments: dict[str, Any], meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON-RPC message of a tool call, revision 2026-07-28."""
    params = {"name": tool, "arguments": arguments, "_meta": {**_META, **(meta or {})}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def written(
    body: bytes, token: str, name: str, headers: dict[str, str] | None = None, *, path: str = "/mcp", keep: bool = False
) -> bytes:
    """A request with this body; `headers` replace the usual ones, and an empty one leaves it out."""
    lines = {
        "host": "127.0.0.1",
        "connection": "keep-alive" if keep else "close",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "authorization": f"Bearer {token}",
        "mcp-protocol-version": REVISION,
        "mcp-method": "tools/call",
        "mcp-name": name,
        "content-length": str(len(body)),
        **(headers or {}),
    }
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items() if value)
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


async def call(
    port: int, token: str, tool: str, arguments: dict[str, Any], meta: dict[str, Any] | None = None
) -> Heard:
    """One tool call."""
    body = json.dumps(tool_call(tool, arguments, meta)).encode()
    # A header holds visible ASCII alone; other names go in by base64 (MCP 2026-07-28, "headers").
    plain = tool.isascii() and tool.isprintable() and tool == tool.strip()
    name = tool if plain else f"=?base64?{base64.b64encode(tool.encode()).decode()}?="
    return await send(port, written(body, token, name))


async def ask(port: int, token: str, method: str, params: dict[str, Any]) -> Heard:
    """Any other request, revision 2026-07-28."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}).encode()
    return await send(port, written(body, token, "", {"mcp-method": method}))
