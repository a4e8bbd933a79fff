"""The attacker's MCP server, a process of its own: `python -m redteam.foreign_server FOLDER`.

It says what `tools.json` in that folder says, answers as `answers.json` says, by tool name, and writes the name of
every tool that was called to `called`. Its port is printed on the first line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

_TAKEN = {"content": [{"type": "text", "text": "taken"}], "structuredContent": {"text": "taken"}}


def answer(folder: Path, asked: dict[str, Any]) -> tuple[str, bytes]:
    """Content type and body of the answer to one request."""
    method, params = asked.get("method"), asked.get("params") or {}
    if method == "tools/list":
        result: Any = {"tools": json.loads((folder / "tools.json").read_text())}
    elif method == "tools/call":
        name = str(params.get("name"))
        with (folder / "called").open("a") as called:
            called.write(f"{name.rpartition('.')[2]}\n")
        result = json.loads((folder / "answers.json").read_text()).get(name.rpartition(".")[2], _TAKEN)
    else:
        result = {}
    if "events" not in result:
        return "application/json", _message(asked, result).encode()
    # Whatever else a server may send on the way to its answer.
    events = [*(json.dumps(one) for one in result["events"]), _message(asked, result["last"])]
    return "text/event-stream", "".join(f"event: message\ndata: {one}\n\n" for one in events).encode()


def _message(asked: dict[str, Any], result: dict[str, Any]) -> str:
    body = result if "error" in result else {"result": result}
    return json.dumps({"jsonrpc": "2.0", "id": asked.get("id")} | body)


async def serve(folder: Path) -> None:
    """Answer until the process is ended."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
        except asyncio.IncompleteReadError:
            # A connection that was opened ahead and not needed.
            writer.close()
            return
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-len")), 0)
        kind, body = answer(folder, json.loads(await reader.readexactly(length) or b"{}"))
        lines = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(lines.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
