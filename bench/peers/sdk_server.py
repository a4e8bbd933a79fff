"""Peer: the official SDK's MCPServer with the same trivial tool. Arguments: port, further tools."""

from __future__ import annotations

import logging
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

port, extra = int(sys.argv[1]), int(sys.argv[2])
server = MCPServer("bench", log_level="ERROR")


class Said(BaseModel):
    text: str


@server.tool()
async def say(text: str) -> Said:
    """Say the text."""
    return Said(text=text)


for number in range(extra):
    server.tool(name=f"extra_{number}")(say)

logging.disable(logging.WARNING)
app = server.streamable_http_app()
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, loop="uvloop", http="httptools")
