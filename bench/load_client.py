"""A lean MCP load generator: raw HTTP/1.1 keep-alive connections in its own process, so that it is not the limit.

Run as `python -m bench.load_client` with one JSON job on standard input; prints one JSON result. Every answer is
checked to hold what the tool must return; anything else counts as an error.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import uvloop

STATELESS = "2026-07-28"


@dataclass
class Job:
    """What to send.

    Attributes:
        host, port, path: where.
        tools: (tool name, arguments, expected text in the answer), used in turn.
        connections: connections, each with one call under way.
        seconds: how long to measure, after `warmup` seconds.
        token: bearer token, or empty.
        revision: MCP revision; the stateless one, or a handshake one (then each connection opens a session first).
        window: seconds of one slice of the timeline in the result.
    """

    host: str
    port: int
    path: str
    tools: list[tuple[str, dict[str, Any], str]]
    connections: int
    seconds: float
    warmup: float = 0.5
    token: str = ""
    revision: str = STATELESS
    window: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """One connection: sends a request, waits for its whole answer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0 or self._waiter is None:
            return
        head = bytes(self._buffer[:head_end]).lower()
        at = head.find(b"content-length:")
        if at >= 0:
            stop = head.find(b"\r\n", at)
            length = int(head[at + 15 : stop if stop >= 0 else None])
            if len(self._buffer) < head_end + 4 + length:
                return
            body = bytes(self._buffer[head_end + 4 : head_end + 4 + length])
        elif head.find(b"transfer-encoding: chunked") >= 0:
            if not self._buffer.endswith(b"0\r\n\r\n"):
                return
            body = bytes(self._buffer[head_end + 4 :])
        else:
            body = b""
        self.head = head
        self._buffer.clear()
        waiter, self._waiter = self._waiter, None
        waiter.set_result((int(head[9:12]), body))

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiter

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def request(job: Job, method: str, params: dict[str, Any], *, session: str = "", number: int | None = 1) -> bytes:
    """One HTTP request as bytes."""
    if job.revision == STATELESS:
        params = params | {
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": job.revision,
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        }
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if number is not None:
        message["id"] = number
    body = json.dumps(message).encode()
    headers = {
        "Host": f"{job.host}:{job.port}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(len(body)),
        **job.headers,
    }
    if job.token:
        headers["Authorization"] = f"Bearer {job.token}"
    if job.revision == STATELESS:
        headers |= {"MCP-Protocol-Version": job.revision, "Mcp-Method": method}
        if "name" in params:
            headers["Mcp-Name"] = params["name"]
    elif session:
        headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": job.revision}
    head = f"POST {job.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    return head.encode() + body


async def open_session(job: Job, connection: Connection) -> str:
    """The handshake of the older revisions; returns the session id."""
    params = {"protocolVersion": job.revision, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    await connection.send(request(job, "initialize", params))
    head = connection.head.decode()
    at = head.find("mcp-session-id:")
    session = head[at + 15 :].split("\r\n", 1)[0].strip() if at >= 0 else ""
    await connection.send(request(job, "notifications/initialized", {}, session=session, number=None))
    return session


async def drive(job: Job, start: float, results: list[tuple[float, float, int]], errors: list[str]) -> None:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, job.host, job.port)
    session = "" if job.revision == STATELESS else await open_session(job, connection)
    calls = [
        (request(job, "tools/call", {"name": name, "arguments": arguments}, session=session), expected.encode())
        for name, arguments, expected in job.tools
    ]
    end = start + job.warmup + job.seconds
    measured_from = start + job.warmup
    turn = 0
    while (began := time.perf_counter()) < end:
        which = turn % len(calls)
        payload, expected = calls[which]
        turn += 1
        try:
            status, body = await connection.send(payload)
        except (OSError, ConnectionError) as error:
            errors.append(repr(error))
            return
        done = time.perf_counter()
        if status != 200 or expected not in body:
            errors.append(f"{status} {body[:200]!r}")
        elif began >= measured_from:
            results.append((done, done - began, which))
    connection.close()


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def summary(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    return {f"p{round(share * 100)}_ms": percentile(ordered, share) * 1000 for share in (0.5, 0.95, 0.99)}


async def run(job: Job) -> dict[str, Any]:
    results: list[tuple[float, float, int]] = []
    errors: list[str] = []
    start = time.perf_counter()
    await asyncio.gather(*(drive(job, start, results, errors) for _ in range(job.connections)))
    report: dict[str, Any] = {
        "calls": len(results),
        "calls_per_s": len(results) / job.seconds,
        "errors": len(errors),
        "first_errors": errors[:3],
        **summary([latency for _, latency, _ in results]),
        "by_tool": {
            name: {"calls": sum(1 for one in results if one[2] == which)}
            | summary([latency for _, latency, index in results if index == which])
            for which, (name, _, _) in enumerate(job.tools)
        },
    }
    return report


def measure(job: Job) -> dict[str, Any]:
    """Run the job in a process of its own and return its result."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "bench.load_client"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(Job(**json.load(sys.stdin))))))
