"""Another colony that is the attacker's: its server in a process of its own, and how its tools get into ours."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redteam import wire
from redteam.house import House, opened

NAME, API = "other", "talk"
TOKEN = "other-token"
_ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Foreign:
    """The attacker's server.

    Attributes:
        folder: where it reads what to say, and writes what it was asked.
        port: of its server, on 127.0.0.1.
    """

    folder: Path
    port: int

    @property
    def document(self) -> Path:
        """What our operator keeps of its API."""
        return self.folder / "document.json"

    @property
    def called(self) -> list[str]:
        """The tools that were called there, in order."""
        return (self.folder / "called").read_text().splitlines()

    def settings(self, name: str = NAME, path: str = "/mcp") -> dict[str, Any]:
        """The settings of a colony that uses it."""
        use = {"api": API, "version": 1, "document": str(self.document)}
        one = {"url": f"http://127.0.0.1:{self.port}{path}", "token": TOKEN, "uses": [use]}
        return {"colonies": {name: one}, "egress": {"allow": [f"127.0.0.1:{self.port}"]}}

    async def publish(self, tools: Mapping[str, dict[str, Any]], answers: Mapping[str, Any] | None = None) -> None:
        """Have it offer these tools, in MCP's form without the names; the operator asks for them and keeps the list."""
        listed = [{"name": name, **tool} for name, tool in tools.items()]
        (self.folder / "tools.json").write_text(json.dumps(listed))
        (self.folder / "answers.json").write_text(json.dumps(dict(answers or {})))
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).encode()
        heard = await wire.send(self.port, wire.written(body, "none", ""))
        kept = {one["name"]: _kept(one) for one in heard.message["result"]["tools"]}
        document = {"api": API, "version": 1, "until": None, "tools": kept, "events": {}}
        self.document.write_text(json.dumps(document))


def own_name(tool: str) -> str:
    """What a tool of the other colony is called in ours."""
    return f"mads.{NAME}.{API}_v1_{tool}"


def _kept(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool as MCP lists it, as the document of an API has it; what it adds on its own stays in."""
    hints = tool.get("annotations") or {}
    effect = "reads" if hints.get("readOnlyHint") else "outside"
    ours = {
        "description": tool.get("description", ""),
        "effect": effect,
        "idempotent": bool(hints.get("idempotentHint")),
        "priced": False,
        "sensitive": [],
        "sensitive_result": False,
        "timeout": 20,
        "waits": False,
        "input": tool.get("inputSchema", {"type": "object", "properties": {}}),
        "output": tool.get("outputSchema"),
    }
    return {name: value for name, value in tool.items() if name != "name"} | ours | tool.get("_kept", {})


def _prepare(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "called").touch()


@asynccontextmanager
async def there(folder: Path) -> AsyncIterator[Foreign]:
    """The attacker's server while the block runs."""
    _prepare(folder)
    command = [sys.executable, "-m", "redteam.foreign_server", str(folder)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=_ROOT)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            port = int(await process.stdout.readline())
        yield Foreign(folder, port)
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def using(foreign: Foreign, folder: Path, **more: Any) -> AsyncIterator[House]:
    """A colony that uses what the attacker's server has published by now; `more` is further settings."""
    _prepare(folder)
    async with opened(folder, **{**foreign.settings(), **more}) as house:
        await house.call("pia", "mads.turing.set_secret", name=TOKEN, value="a-token-of-ours")
        yield house


async def read_again(house: House) -> wire.Heard:
    """The operator has the colony read the document anew."""
    return await house.call("pia", "mads.grace.restart_mad", mad=NAME, reason="a new document")


async def listed(house: House, who: str = "ada") -> dict[str, dict[str, Any]]:
    """The tools of the other colony as `who` is shown them, by their names here."""
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        heard = await wire.ask(house.port, house.tokens[who], "tools/list", {"cursor": cursor} if cursor else {})
        result = heard.message["result"]
        tools = {one["_meta"]["cenoby/tool"]: one for one in result["tools"]}
        found |= {name: one for name, one in tools.items() if name.startswith(f"mads.{NAME}.")}
        cursor = result.get("nextCursor")
        if not cursor:
            return found
