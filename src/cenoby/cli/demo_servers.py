"""Two small local servers: pages to read and a scripted model to ask, for `cenoby demo` and for tests.

Neither is an imitation of anything in production: the model says what its script says, and says so in its name.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from cenoby.kernel.codec import CodecError, from_json, to_json

_REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many Requests",
}
_LONGEST_HEAD = 64 * 1024
_LONGEST_BODY = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class LocalServer(ABC):
    """An HTTP/1.1 server on 127.0.0.1 and a port that the system chooses; use it as an async context manager.

    Subclasses answer in `serve`. One that wants to misbehave closes the writer itself. `requests` holds what came in so
    far; `arrived` is set with the first.
    """

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.requests: list[HttpRequest] = []
        self.arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=_LONGEST_HEAD)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None, "entered"
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        """Host and port, as `egress.allow` wants them."""
        assert self._server is not None, "entered"
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    @abstractmethod
    async def serve(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        """Write the answer to one request."""

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._connections.add(task)
        try:
            while not writer.is_closing() and (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                self.arrived.set()
                await self.serve(request, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return  # a client that went away or spoke nonsense gets no answer
        except asyncio.CancelledError:
            return  # the server is closing; nobody awaits a connection but `__aexit__`
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class PageServer(LocalServer):
    """Serves fixed pages.

    Args:
        pages: path to (content type, body); anything else is 404. A content type of `redirect` sends to the body's URL.
    """

    def __init__(self, pages: Mapping[str, tuple[str, bytes]]) -> None:
        super().__init__()
        self._pages = pages

    def url(self, path: str = "/") -> str:
        """The full address of a page."""
        return f"http://{self.address}{path}"

    async def serve(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        content_type, body = self._pages.get(request.path.partition("?")[0], ("", b""))
        if content_type == "redirect":
            _answer(writer, 302, "text/plain", b"", {"Location": body.decode()})
        elif content_type:
            _answer(writer, 200, content_type, body)
        else:
            _answer(writer, 404, "text/plain; charset=utf-8", b"There is no such page.\n")


Misbehaviour = Literal["status", "hang", "cut", "vanish"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """One request that goes wrong.

    Attributes:
        kind: `status` answers with `status`; `hang` never answers; `cut` closes the connection in the middle of the
            answer; `vanish` closes it before the first byte.
        status: HTTP status.
        message: the provider's words in the error body.
        headers: further headers, e.g. `{"Retry-After": "2"}`.
    """

    kind: Misbehaviour = "status"
    status: int = 500
    message: str = "The scripted model was told to fail."
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Script = Callable[[Sequence[Mapping[str, Any]]], str]
"""Messages of a chat (`role`, `content`) to the answer."""


def echo(messages: Sequence[Mapping[str, Any]]) -> str:
    """The default script: says back what it was asked."""
    said = messages[-1].get("content") if messages else ""
    return f"You said: {said}"


class ScriptedModelServer(LocalServer):
    """Speaks the OpenAI-compatible chat completions protocol and answers from a script.

    Tokens are counted as words, which is fewer than any real vocabulary makes of them.

    Args:
        script: what it answers.
        key: the API key that callers must send; empty accepts everybody.
        model: the one model that it offers.
        reports_usage: whether answers hold token counts.
    """

    def __init__(
        self, script: Script = echo, *, key: str = "", model: str = "scripted", reports_usage: bool = True
    ) -> None:
        super().__init__()
        self._script = script
        self._key = key
        self._model = model
        self._reports_usage = reports_usage
        self._mishaps: list[Mishap] = []

    @property
    def url(self) -> str:
        """Base URL for the settings."""
        return f"http://{self.address}/v1"

    def fail(self, *mishaps: Mishap) -> None:
        """Let the next requests go wrong, in this order, one each."""
        self._mishaps.extend(mishaps)

    async def serve(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        mishap = self._mishaps.pop(0) if self._mishaps else None
        if mishap is not None and mishap.kind != "cut":
            await self._go_wrong(mishap, writer)
        elif self._key and request.headers.get("authorization") != f"Bearer {self._key}":
            _error(writer, 401, f"Incorrect API key provided: {request.headers.get('authorization', 'none')}")
        elif request.method == "GET" and request.path == "/v1/models":
            listing = {"object": "list", "data": [{"id": self._model, "object": "model", "owned_by": "script"}]}
            _answer(writer, 200, "application/json", to_json(listing))
        elif request.method == "POST" and request.path == "/v1/chat/completions":
            await self._complete(request, writer, cut=mishap is not None)
        else:
            _error(writer, 404, f"Unknown request URL: {request.method} {request.path}")

    async def _go_wrong(self, mishap: Mishap, writer: asyncio.StreamWriter) -> None:
        if mishap.kind == "hang":
            await asyncio.Event().wait()
        elif mishap.kind == "vanish":
            writer.close()
        else:
            _error(writer, mishap.status, mishap.message, mishap.headers)

    async def _complete(self, request: HttpRequest, writer: asyncio.StreamWriter, *, cut: bool) -> None:
        try:
            body = from_json(request.body)
            messages = list(body["messages"])
            wanted = body["model"]
        except (CodecError, KeyError, TypeError):
            _error(writer, 400, "The body needs `model` and `messages`.")
            return
        if wanted != self._model:
            _error(writer, 404, f"The model `{wanted}` does not exist.")
            return
        limit = int(body.get("max_completion_tokens") or body.get("max_tokens") or 1_000_000)
        words = self._script(messages).split(" ")
        said, reason = words[:limit], "length" if len(words) > limit else "stop"
        usage = {"prompt_tokens": sum(len(str(m.get("content", "")).split()) + 1 for m in messages)}
        usage["completion_tokens"] = len(said)
        usage["total_tokens"] = sum(usage.values())
        if body.get("stream"):
            options: dict[str, Any] = body.get("stream_options") or {}
            counts = self._reports_usage and options.get("include_usage")
            events = self._events(said, reason, usage if counts else None)
            await _stream(writer, events[: len(events) // 2] if cut else events, whole=not cut)
            return
        message = {"role": "assistant", "content": " ".join(said)}
        answer: dict[str, Any] = {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        }
        if self._reports_usage:
            answer["usage"] = usage
        _answer(writer, 200, "application/json", to_json(answer), cut=cut)

    def _events(self, words: Sequence[str], reason: str, usage: Mapping[str, int] | None) -> list[bytes]:
        head = self._head("chat.completion.chunk")
        pieces = [word if position == 0 else f" {word}" for position, word in enumerate(words)]
        chunks: list[dict[str, Any]] = [
            {**head, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces
        ]
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if usage is not None:
            chunks.append({**head, "choices": [], "usage": usage})
        return [b"data: " + to_json(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"scripted-{len(self.requests)}", "object": kind, "created": 0, "model": self._model}


async def _read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _LONGEST_BODY:
        raise ValueError("the body is too long")
    return HttpRequest(method, path, headers, await reader.readexactly(length))


def _answer(
    writer: asyncio.StreamWriter,
    status: int,
    content_type: str,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    cut: bool = False,
) -> None:
    fields = {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(head.encode("latin-1") + b"\r\n" + (body[: len(body) // 2] if cut else body))
    if cut:
        writer.close()


def _error(writer: asyncio.StreamWriter, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
    body = to_json({"error": {"message": message, "type": "scripted_error", "code": None}})
    _answer(writer, status, "application/json", body, headers)


async def _stream(writer: asyncio.StreamWriter, events: Sequence[bytes], *, whole: bool) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for event in events:
        writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        await writer.drain()
    if whole:
        writer.write(b"0\r\n\r\n")
    else:
        writer.close()
