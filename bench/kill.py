"""`./dev bench kill`: how long a kill switch takes to hold, here and on another gateway of the colony.

Two gateways on one PostgreSQL and NATS. A switch is thrown at the first; a client of each calls without pause. Measured
from before the switch is asked for until the first call that is refused, 20 times, an agent and all in turn.
Reach: within 1 s on every node.

PostgreSQL is the one of CENOBY_STORE, or the database `test` on this machine; its schema is made and dropped.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.journal import postgres_schema
from bench.load_client import Connection, Job, request
from bench.servers import agent_token, free_port

TRIES = 20
POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
NATS = "nats://127.0.0.1:4222"
_LONGEST_SECONDS = 30.0


@contextlib.contextmanager
def gateway(folder: Path, name: str, settings: str) -> Iterator[int]:
    """A gateway of the colony that answers; its port."""
    port, data, file = free_port(), folder / name, folder / f"{name}.yaml"
    file.write_text(f"{settings}node: {name}\n")
    if (folder / "first").exists() and name != "first":
        data.mkdir(mode=0o700)
        shutil.copy(folder / "first" / "admin.token", data)
    command = [
        sys.executable,
        "-m",
        "cenoby.cli.main",
        "up",
        "--config",
        str(file),
        "--data",
        str(data),
        "--listen",
        f"127.0.0.1:{port}",
    ]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        if not process.stdout.readline().startswith("ready"):
            raise RuntimeError((folder / f"{name}.log").read_text())
        yield port
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


class Client:
    """One connection to one gateway."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._job = Job("127.0.0.1", port, "/mcp", [], 1, 0, token=token)
        self._connection: Connection | None = None

    async def refused(self, tool: str, arguments: dict[str, Any]) -> bool:
        """Make one call; whether a kill switch, or the door because of one, refused it."""
        if self._connection is None:
            loop = asyncio.get_running_loop()
            _, self._connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        try:
            status, body = await self._connection.send(
                request(self._job, "tools/call", {"name": tool, "arguments": arguments})
            )
        except OSError:
            self._connection = None
            return False
        return status in (401, 403) or b"killed" in body

    async def until(self, refused: bool) -> float:
        """Call without pause until calls are refused, or are not; when that was."""
        end = time.perf_counter() + _LONGEST_SECONDS
        while await self.refused("mads__fiedler__list_models", {}) is not refused:
            if time.perf_counter() > end:
                raise RuntimeError("the kill switch did not take effect")
        return time.perf_counter()


async def tries(ports: list[int], operator: str, agent: str) -> list[list[float]]:
    """Seconds until it holds at each gateway, for each try."""
    person, clients = Client(ports[0], operator), [Client(port, agent) for port in ports]
    found = list[list[float]]()
    for number in range(TRIES):
        what = {"scope": "all"} if number % 2 else {"scope": "agent", "name": "bench"}
        began = time.perf_counter()
        throw = person.refused("mads__grace__throw_kill_switch", {**what, "reason": "bench"})
        _, *held = await asyncio.gather(throw, *(client.until(True) for client in clients))
        found.append([one - began for one in held])
        await person.refused("mads__grace__lift_kill_switch", what)
        await asyncio.gather(*(client.until(False) for client in clients))
    return found


def main(as_json: bool) -> int:
    os.environ["CENOBY_MASTER_KEY"] = base64.b64encode(os.urandom(32)).decode()
    url = os.environ.pop("CENOBY_STORE", POSTGRES)
    with tempfile.TemporaryDirectory() as name, postgres_schema(url, "kill") as store, contextlib.ExitStack() as stack:
        folder, colony = Path(name), f"kill-{secrets.token_hex(4)}"
        settings = f"store: {store}\nbus: {NATS}\ncolony: {colony}\nvault: {{key: env}}\n"
        ports = [stack.enter_context(gateway(folder, one, settings)) for one in ("first", "second")]
        operator = (folder / "first" / "admin.token").read_text().strip()
        found = asyncio.run(tries(ports, operator, agent_token(folder / "first")))
    here, there = (sorted(one[place] for one in found) for place in (0, 1))
    report = {
        "tries": TRIES,
        "here_median_s": here[TRIES // 2],
        "here_worst_s": here[-1],
        "there_median_s": there[TRIES // 2],
        "there_worst_s": there[-1],
    }
    print(json.dumps(report) if as_json else "\n".join(f"{key:20}{value:.3f}" for key, value in report.items()))
    return 0
