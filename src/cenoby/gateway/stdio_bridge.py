"""`cenoby stdio`: newline-delimited JSON-RPC on standard input and output, carried to the running colony over HTTP.

Both eras pass through unchanged. A handshake client gets a session and its event stream; a client of revision
2026-07-28 gets the headers that the revision asks for, and its `notifications/cancelled` closes the request it names.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any, BinaryIO, cast

import httpx2
from mcp.shared.inbound import NAME_BEARING_METHODS, encode_header_value
from mcp_types import PARSE_ERROR, PROTOCOL_VERSION_META_KEY

from cenoby.gateway.errors import APPLICATION_ERROR, ERROR_META_KEY, GatewayUnavailable
from cenoby.kernel.codec import from_json, to_json
from cenoby.kernel.errors import CenobyError

_LONGEST_LINE = 16 * 1024 * 1024
_MOST_AT_ONCE = 256
_LAST_ANSWERS_SECONDS = 5.0
"""After the end of input, answers that are under way may take this long."""
_CONNECT_SECONDS = 5.0
_RECONNECT_SECONDS = 1.0

Document = dict[str, Any]


async def bridge(url: str, token: str, stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Carry messages until `stdin` ends.

    Args:
        url: the colony's MCP URL.
        token: the bearer token to act with.
        stdin: binary input, one JSON-RPC message a line.
        stdout: binary output.

    Returns:
        The exit code: 0.
    """
    limits = httpx2.Limits(max_connections=None)
    timeout = httpx2.Timeout(None, connect=_CONNECT_SECONDS)
    headers = {"authorization": f"Bearer {token}", "accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(timeout=timeout, limits=limits, headers=headers, trust_env=False) as client:
        carrier = _Carrier(client, url, stdout)
        try:
            async for line in _lines(stdin):
                await carrier.take(line)
            await carrier.finish()
        finally:
            await carrier.close()
    return 0


class _Carrier:
    def __init__(self, client: httpx2.AsyncClient, url: str, stdout: BinaryIO) -> None:
        self._client = client
        self._url = url
        self._stdout = stdout
        self._writing = asyncio.Lock()
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)
        self._requests: dict[str | int, asyncio.Task[None]] = {}
        self._session: dict[str, str] = {}
        self._listening: asyncio.Task[None] | None = None

    async def take(self, line: bytes) -> None:
        """Carry one line from the client."""
        try:
            value = from_json(line)
        except CenobyError as error:
            await self._write(_error(None, PARSE_ERROR, f"Parse error: {error.message}"))
            return
        # What is no object is the colony's to refuse; it goes there as it is.
        document = cast(Document, value) if isinstance(value, dict) else {}
        method, identifier = document.get("method"), document.get("id")
        if method == "notifications/cancelled" and not self._session:
            self._cancel(document)
        elif method not in (None, "initialize") and isinstance(identifier, str | int):
            await self._places.acquire()
            task = asyncio.create_task(self._carry(document, line))
            self._requests[identifier] = task
            task.add_done_callback(lambda done: self._forget(identifier, done))
        else:
            await self._carry(document, line)
            if method == "notifications/initialized" and self._session and self._listening is None:
                self._listening = asyncio.create_task(self._listen())

    async def finish(self) -> None:
        """Wait a little for answers that are under way."""
        if self._requests:
            await asyncio.wait(list(self._requests.values()), timeout=_LAST_ANSWERS_SECONDS)

    async def close(self) -> None:
        """End everything that is under way, and the session."""
        tasks = [*self._requests.values(), *([self._listening] if self._listening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session:
            with contextlib.suppress(httpx2.HTTPError):
                await self._client.delete(self._url, headers=self._session, timeout=_CONNECT_SECONDS)

    def _forget(self, identifier: str | int, done: asyncio.Task[None]) -> None:
        self._places.release()
        if self._requests.get(identifier) is done:
            del self._requests[identifier]

    def _cancel(self, document: Document) -> None:
        # Revision 2026-07-28 over HTTP: closing the response stream is the cancellation.
        params: Document = document.get("params") or {}
        task = self._requests.get(params.get("requestId", ""))
        if task is not None:
            task.cancel()

    async def _carry(self, document: Document, line: bytes) -> None:
        identifier: str | int | None = document.get("id") if "method" in document else None
        headers = {"content-type": "application/json", **self._headers_for(document)}
        try:
            async with self._client.stream("POST", self._url, content=line, headers=headers) as response:
                if document.get("method") == "initialize":
                    self._keep_session(response)
                await self._pass_back(response, identifier)
        except httpx2.HTTPError as error:
            if identifier is not None:
                await self._write(_unreachable(identifier, error))

    def _headers_for(self, document: Document) -> dict[str, str]:
        version = _stateless_version(document)
        if version is None:
            return self._session
        headers = {"mcp-protocol-version": version, "mcp-method": encode_header_value(str(document.get("method")))}
        name = document["params"].get(NAME_BEARING_METHODS.get(str(document.get("method")), ""))
        if isinstance(name, str):
            headers["mcp-name"] = encode_header_value(name)
        return headers

    def _keep_session(self, response: httpx2.Response) -> None:
        session = response.headers.get("mcp-session-id")
        if session is not None:
            self._session = {"mcp-session-id": session}

    async def _pass_back(self, response: httpx2.Response, identifier: str | int | None) -> None:
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            async for data in _events(response):
                self._learn_version(data)
                await self._write(data)
            return
        body = await response.aread()
        if response.status_code >= 400 and identifier is not None:
            await self._write(_with_id(body, identifier, response))
        elif body and response.status_code < 400:
            await self._write(body)

    def _learn_version(self, data: bytes) -> None:
        if self._session and "mcp-protocol-version" not in self._session:
            result: Document = from_json(data).get("result") or {}
            if isinstance(result.get("protocolVersion"), str):
                self._session["mcp-protocol-version"] = result["protocolVersion"]

    async def _listen(self) -> None:
        while True:
            try:
                async with self._client.stream("GET", self._url, headers=self._session) as response:
                    if response.status_code != 200:
                        return
                    async for data in _events(response):
                        await self._write(data)
            except httpx2.HTTPError:
                pass  # the colony may be restarting; the next request tells the client
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _write(self, message: bytes) -> None:
        async with self._writing:
            await asyncio.to_thread(self._write_now, message)

    def _write_now(self, message: bytes) -> None:
        self._stdout.write(message + b"\n")
        self._stdout.flush()


def _stateless_version(document: Document) -> str | None:
    try:
        version = document["params"]["_meta"][PROTOCOL_VERSION_META_KEY]
    except (KeyError, TypeError):
        return None
    return version if isinstance(version, str) else None


async def _events(response: httpx2.Response) -> AsyncIterator[bytes]:
    # Not httpx's own lines: they end at U+2028, too, which may stand inside a message.
    rest = bytearray()
    async for piece in response.aiter_bytes():
        searched = len(rest)
        rest += piece
        while (end := rest.find(b"\n", searched)) >= 0:
            line, searched = bytes(rest[:end]), 0
            del rest[: end + 1]
            # The colony puts each message on one data line; comments and event names carry nothing for the client.
            if line.startswith(b"data:") and (data := line[5:].strip()):
                yield data


async def _lines(stdin: BinaryIO) -> AsyncIterator[bytes]:
    # A daemon thread, because a blocked read of standard input can be neither cancelled nor waited for at exit.
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(_MOST_AT_ONCE)

    def read() -> None:
        while line := stdin.readline(_LONGEST_LINE):
            room.acquire()
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, b"")

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while line := await lines.get():
        room.release()
        if line.strip():
            yield line.strip()


def _with_id(body: bytes, identifier: str | int, response: httpx2.Response) -> bytes:
    try:
        document = from_json(body)
        return to_json({"jsonrpc": "2.0", "id": identifier, "error": document["error"]})
    except (CenobyError, KeyError, TypeError):
        return _error(identifier, APPLICATION_ERROR, f"The colony answered HTTP {response.status_code}.")


def _unreachable(identifier: str | int, error: Exception) -> bytes:
    problem = GatewayUnavailable(
        "gateway_unreachable", f"The colony does not answer ({type(error).__name__}); start it with `cenoby up`."
    )
    return _error(identifier, APPLICATION_ERROR, problem.message, {ERROR_META_KEY: problem.to_wire()})


def _error(identifier: str | int | None, code: int, message: str, data: Any = None) -> bytes:
    error: Document = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return to_json({"jsonrpc": "2.0", "id": identifier, "error": error})
