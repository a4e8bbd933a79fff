"""Peer: FastMCP with the same trivial tool, from a virtual environment of its own. Arguments: port, further tools."""

from __future__ import annotations

import logging
import sys

import uvicorn
from fastmcp import FastMCP
from pydantic import BaseModel

port, extra = int(sys.argv[1]), int(sys.argv[2])
server = FastMCP("bench")


class Said(BaseModel):
    text: str


@server.tool
async def say(text: str) -> Said:
    """Say the text."""
    return Said(text=text)


for number in range(extra):
    server.tool(say, name=f"extra_{number}")

logging.disable(logging.WARNING)
app = server.http_app(path="/mcp")
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
