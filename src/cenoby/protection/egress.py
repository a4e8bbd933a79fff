"""The one way out: HTTP requests that never reach inside the machine or its network.

A name is resolved once per connection, every address of the answer is checked, and the connection goes to a checked
address while SNI and Host keep the name; so an answer that changes between check and use (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpcore2
import httpx2

from cenoby.kernel.errors import Unavailable
from cenoby.kernel.settings import EgressSettings
from cenoby.protection.circuits import Circuit, Circuits, unbroken
from cenoby.protection.dialling import GuardedBackend, Resolver, resolve
from cenoby.protection.egress_policy import EgressPolicy, EgressRefused, Target

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# All that may follow a redirect to another origin: API keys travel under any name, so names are not guessed.
_HARMLESS = frozenset({"accept", "accept-language", "user-agent"})
# The library writes these itself; from a caller they would desynchronise the connection.
_FRAMING = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect",
     "accept-encoding", "proxy-authorization", "proxy-connection"}
)  # fmt: skip


class EgressFailed(Unavailable):
    """A request that was let out and got no usable answer."""

    codes = {
        "egress_timeout": "No complete answer came in time.",
        "egress_unreachable": "The host has no address, or nothing answers there.",
        "egress_answer": "What came back is not valid HTTP, or its compression is damaged.",
    }


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer.

    Attributes:
        url: the URL that answered, after redirects.
        status: HTTP status.
        headers: response headers, names in lower case; repeated ones joined by a comma.
        body: the decompressed body.
        hops: every URL that was asked, the first one included.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    hops: tuple[str, ...]


class Answer:
    """The head of an answer whose body is still arriving."""

    def __init__(self, response: httpx2.Response, max_bytes: int) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)
        self._response = response
        self._max_bytes = max_bytes

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The decompressed body as it arrives.

        Raises:
            EgressRefused: more bytes than the limit.
            EgressFailed: the answer broke off or cannot be decompressed.
        """
        size = 0
        with _as_egress_errors():
            async with aclosing(self._response.aiter_bytes()) as parts:
                async for part in parts:
                    size += len(part)
                    if size > self._max_bytes:
                        raise EgressRefused("egress_too_large", f"The answer exceeds {self._max_bytes} bytes.")
                    yield part

    async def read(self) -> bytes:
        """The whole body; raises as `chunks` does."""
        return b"".join([part async for part in self.chunks()])

    async def lines(self) -> AsyncGenerator[str]:
        """The body as lines of UTF-8 without their ends (LF or CRLF), as event streams need them."""
        pending = bytearray()
        async with aclosing(self.chunks()) as parts:
            async for part in parts:
                pending += part
                if b"\n" in part:
                    *complete, rest = bytes(pending).split(b"\n")
                    pending = bytearray(rest)
                    for line in complete:
                        yield line.removesuffix(b"\r").decode("utf-8", "replace")
        if pending:
            yield bytes(pending).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class _Hop:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


class _Passage:
    """One request on its way through a circuit, which is told at the end whether the server is at fault.

    Args:
        limit: the caller's deadline.
        timely: the caller gave the server so much time that a timeout is the server's fault.
        circuit: entered already; None where `enter` comes later, or never.
    """

    def __init__(self, limit: asyncio.Timeout, timely: bool, circuit: Circuit | None = None) -> None:
        self._limit = limit
        self._timely = timely
        self.circuit = circuit
        self._status = 0

    def __enter__(self) -> Self:
        return self

    def enter(self, circuit: Circuit) -> None:
        circuit.enter()
        self.circuit = circuit

    def answered(self, status: int) -> None:
        self._status = status

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.circuit is None:
            return
        if fault := self._fault(error):
            self.circuit.failed(fault)
        elif error is None:
            self.circuit.succeeded()
        else:
            self.circuit.left()

    def _fault(self, error: BaseException | None) -> str:
        if self._status >= 500:
            return f"HTTP {self._status}"
        if isinstance(error, EgressFailed):
            return error.message
        if isinstance(error, asyncio.CancelledError) and self._limit.expired() and self._timely:
            return "no complete answer in time"
        return ""


class _Body(httpx2.AsyncByteStream):
    def __init__(self, parts: AsyncIterable[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part


class EgressGuard:
    """A pooled HTTP client that checks where every connection goes. One per colony; close it at the end.

    Args:
        settings: ports, limits and exceptions.
        resolver: `(host, port) -> addresses`; the system's resolver by default.
        user_agent: what servers are told.
        ssl_context: which certificates are trusted; the system's by default.
        circuits: the circuit `host:<host>:<port>` of every server that is asked.
    """

    def __init__(
        self,
        settings: EgressSettings,
        *,
        resolver: Resolver = resolve,
        user_agent: str = "cenoby",
        ssl_context: ssl.SSLContext | None = None,
        circuits: Circuits = unbroken,
    ) -> None:
        self._settings = settings
        self._policy = EgressPolicy(settings)
        self._user_agent = user_agent
        self._backend = GuardedBackend(resolver, self._policy.check_addresses)
        self._ssl_context = ssl_context
        self._circuits = circuits
        self._pool: httpcore2.AsyncConnectionPool | None = None
        self._pool_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    async def fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - one deadline over all hops, enforced inside
        max_bytes: int | None = None,
    ) -> Fetched:
        """Send a request, follow checked redirects, and return the complete answer.

        Args:
            timeout: seconds for everything, redirects included; the settings' by default.
            max_bytes: most bytes after decompression; the settings' by default.

        Raises:
            EgressRefused: the URL, an address, a port, a redirect or the size is not allowed.
            EgressFailed: no complete answer in time.
            Unavailable: circuit_open, circuit_held_open: the host is left alone.
        """
        seconds = timeout or self._settings.timeout
        async with _deadline(seconds) as limit:
            timely = seconds >= self._settings.timeout
            return await self._follow(_Hop(method.upper(), url, dict(headers or {}), body), max_bytes, limit, timely)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - one deadline over the whole stream, enforced inside
        max_bytes: int | None = None,
        circuit: Circuit | None = None,
        patience: float | None = None,
    ) -> AsyncGenerator[Answer]:
        """Send a request and read its answer as it arrives. Redirects are not followed: the caller sees their status.

        Args:
            circuit: one that the caller has entered, told at the end what became of it; that of the host where None.
            patience: a timeout is the server's fault where it had so many seconds; the settings' timeout by default.

        Raises:
            EgressRefused, EgressFailed, Unavailable: as `fetch`; also while the body is read.
        """
        hop = _Hop(method.upper(), url, dict(headers or {}), body)
        seconds = timeout or self._settings.timeout
        async with _deadline(seconds) as limit:
            passage = _Passage(limit, seconds >= (patience or self._settings.timeout), circuit)
            async with self._send(hop, passage) as response:
                yield Answer(response, max_bytes or self._settings.max_bytes)

    async def _follow(self, hop: _Hop, max_bytes: int | None, limit: asyncio.Timeout, timely: bool) -> Fetched:
        hops: list[str] = []
        while True:
            # Of the time that one host took, the host that it redirects to is not guilty.
            passage = _Passage(limit, timely and not hops)
            hops.append(hop.url)
            async with self._send(hop, passage) as response:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or location is None:
                    answer = Answer(response, max_bytes or self._settings.max_bytes)
                    return Fetched(hop.url, answer.status, answer.headers, await answer.read(), tuple(hops))
            if len(hops) > self._settings.max_redirects:
                raise EgressRefused("egress_redirects", f"More than {self._settings.max_redirects} redirects.")
            hop = self._redirected(hop, response.status_code, location)

    def _redirected(self, hop: _Hop, status: int, location: str) -> _Hop:
        try:
            url = str(httpx2.URL(hop.url).join(location))
        except httpx2.InvalidURL as error:
            raise EgressRefused("egress_url", f"The redirect's address is not a URL: {error}.") from None
        before, after = self._policy.check(hop.url), self._policy.check(url)
        drops_body = status == 303 or (status in (301, 302) and hop.method == "POST")
        method = "GET" if drops_body and hop.method != "HEAD" else hop.method
        body = None if drops_body else hop.body
        if before.origin == after.origin:
            return _Hop(method, url, hop.headers, body)
        if body is not None:
            raise EgressRefused(
                "egress_redirects", f"{before.host} asks to send the request's body on to {after.host}."
            )
        kept = {name: value for name, value in hop.headers.items() if name.lower() in _HARMLESS}
        return _Hop(method, url, kept, None)

    @asynccontextmanager
    async def _send(self, hop: _Hop, passage: _Passage) -> AsyncGenerator[httpx2.Response]:
        with passage, _as_egress_errors():
            target = self._policy.check(hop.url)
            request = self._request(hop, target)
            if passage.circuit is None:
                passage.enter(self._circuits(f"host:{target.place}"))
            pool = await self._connections()
            answer = await pool.handle_async_request(request)
            passage.answered(answer.status)
            try:
                assert isinstance(answer.stream, AsyncIterable), "an asynchronous pool answers with such a stream"
                yield httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer.stream))
            finally:
                await answer.aclose()

    def _request(self, hop: _Hop, target: Target) -> httpcore2.Request:
        given = {name.lower(): value for name, value in hop.headers.items()}
        headers = {"accept": "*/*", "user-agent": self._user_agent, "accept-encoding": "gzip, deflate"}
        headers |= {name: value for name, value in given.items() if name not in _FRAMING}
        try:
            built = httpx2.Request(hop.method, target.url, headers=headers, content=hop.body)
        except (ValueError, UnicodeEncodeError) as error:
            raise EgressRefused("egress_url", f"The request cannot be written: {error}.") from None
        return httpcore2.Request(
            method=hop.method,
            url=httpcore2.URL(
                scheme=target.url.raw_scheme,
                host=target.url.raw_host,
                port=target.url.port,
                target=target.url.raw_path,
            ),
            headers=built.headers.raw,
            content=hop.body,
        )

    async def _connections(self) -> httpcore2.AsyncConnectionPool:
        async with self._pool_lock:
            if self._pool is None:
                # Reading the certificates takes tens of milliseconds: once, and not on the loop.
                context = self._ssl_context or await asyncio.to_thread(httpcore2.default_ssl_context)
                self._pool = httpcore2.AsyncConnectionPool(
                    ssl_context=context,
                    max_connections=256,
                    max_keepalive_connections=32,
                    keepalive_expiry=30,
                    network_backend=self._backend,
                )
            return self._pool


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncGenerator[asyncio.Timeout]:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield limit
    except TimeoutError:
        if not limit.expired():
            raise
        raise EgressFailed("egress_timeout", f"No complete answer within {seconds:g} s.", retry_after=1.0) from None


@contextmanager
def _as_egress_errors() -> Generator[None]:
    try:
        yield
    except httpcore2.LocalProtocolError as error:
        raise EgressRefused("egress_url", f"The request cannot be written: {error}.") from None
    except httpcore2.TimeoutException:
        raise EgressFailed("egress_timeout", "The host did not answer in time.", retry_after=1.0) from None
    except (httpcore2.ProtocolError, httpx2.DecodingError) as error:
        raise EgressFailed("egress_answer", f"What came back is not a valid answer: {error}.") from None
    except httpcore2.NetworkError as error:
        raise EgressFailed("egress_unreachable", f"Nothing usable answers there: {error}.", retry_after=1.0) from None
