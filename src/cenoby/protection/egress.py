"""The one way out: HTTP requests that never reach inside the machine or its network.

A name is resolved once per connection, every address of the answer is checked, and the connection goes to a checked
address while SNI and Host keep the name; so an answer that changes between check and use (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpcore2
import httpx2

from cenoby.kernel.settings_egress import EgressSettings
from cenoby.protection.circuits import Circuit, Circuits, unbroken
from cenoby.protection.dialling import GuardedBackend, Resolver, resolve
from cenoby.protection.egress_answer import Answer, EgressFailed, Fetched, as_egress_errors
from cenoby.protection.egress_policy import EgressPolicy, EgressRefused, Target
from cenoby.protection.egress_rules.rules import EgressDecisions, Leaving
from cenoby.protection.egress_rules.sender import COLONY, Sender
from cenoby.protection.passage import Passage

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# All that may follow a redirect to another origin: API keys travel under any name, so names are not guessed.
_HARMLESS = frozenset({"accept", "accept-language", "user-agent"})
_CODINGS = frozenset({"", "identity", "gzip", "deflate"})
# The library writes these itself; from a caller they would desynchronise the connection.
_FRAMING = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect",
     "accept-encoding", "proxy-authorization", "proxy-connection"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Hop:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    by: Sender


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
        decisions: who may reach what, and how much may leave; without rules by default.
    """

    def __init__(
        self,
        settings: EgressSettings,
        *,
        resolver: Resolver = resolve,
        user_agent: str = "cenoby",
        ssl_context: ssl.SSLContext | None = None,
        circuits: Circuits = unbroken,
        decisions: EgressDecisions | None = None,
    ) -> None:
        self._settings = settings
        self.decisions = decisions or EgressDecisions(settings)
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
        by: Sender = COLONY,
        timeout: float | None = None,  # noqa: ASYNC109 - one deadline over all hops, enforced inside
        max_bytes: int | None = None,
    ) -> Fetched:
        """Send a request, follow checked redirects, and return the complete answer.

        Args:
            by: on whose behalf.
            timeout: seconds for everything, redirects included; the settings' by default.
            max_bytes: most bytes after decompression; the settings' by default.

        Raises:
            EgressRefused: the URL, an address, a port, a rule, a redirect or the size is not allowed.
            EgressSpent: the agent has used up what may leave in an hour.
            EgressFailed: no complete answer in time.
            Unavailable: circuit_open, circuit_held_open: the host is left alone.
        """
        seconds = timeout or self._settings.timeout
        async with _deadline(seconds) as limit:
            timely = seconds >= self._settings.timeout
            return await self._follow(
                _Hop(method.upper(), url, dict(headers or {}), body, by), max_bytes, limit, timely
            )

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        by: Sender = COLONY,
        timeout: float | None = None,  # noqa: ASYNC109 - one deadline over the whole stream, enforced inside
        max_bytes: int | None = None,
        circuit: Circuit | None = None,
        patience: float | None = None,
    ) -> AsyncGenerator[Answer]:
        """Send a request and read its answer as it arrives. Redirects are not followed: the caller sees their status.

        Args:
            by: on whose behalf.
            circuit: one that the caller has entered, told at the end what became of it; that of the host where None.
            patience: a timeout is the server's fault where it had so many seconds; the settings' timeout by default.

        Raises:
            EgressRefused, EgressSpent, EgressFailed, Unavailable: as `fetch`; also while the body is read.
        """
        hop = _Hop(method.upper(), url, dict(headers or {}), body, by)
        seconds = timeout or self._settings.timeout
        async with _deadline(seconds) as limit:
            passage = Passage(limit, seconds >= (patience or self._settings.timeout), circuit)
            async with self._send(hop, passage) as response:
                yield Answer(response, max_bytes or self._settings.max_bytes)

    async def _follow(self, hop: _Hop, max_bytes: int | None, limit: asyncio.Timeout, timely: bool) -> Fetched:
        hops: list[str] = []
        while True:
            # Of the time that one host took, the host that it redirects to is not guilty.
            passage = Passage(limit, timely and not hops)
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
            return _Hop(method, url, hop.headers, body, hop.by)
        if body is not None:
            raise EgressRefused(
                "egress_redirects", f"{before.host} asks to send the request's body on to {after.host}."
            )
        kept = {name: value for name, value in hop.headers.items() if name.lower() in _HARMLESS}
        return _Hop(method, url, kept, None, hop.by)

    @asynccontextmanager
    async def _send(self, hop: _Hop, passage: Passage) -> AsyncGenerator[httpx2.Response]:
        with passage, as_egress_errors():
            target = self._policy.check(hop.url)
            request = self._request(hop, target)
            size = len(hop.url.encode(errors="replace")) + len(hop.body or b"")
            self.decisions.check(Leaving(hop.by, hop.method, target, len(target.url.query), size))
            if passage.circuit is None:
                passage.enter(self._circuits(f"host:{target.place}"))
            pool = await self._connections()
            answer = await pool.handle_async_request(request)
            passage.answered(answer.status)
            try:
                _check_coding(answer.headers)
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


def _check_coding(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse what is compressed in a way that was not asked for: of those asked for, each piece unpacks bounded."""
    said = b",".join(value for name, value in headers if name.lower() == b"content-encoding")
    for coding in said.decode("latin-1").lower().split(","):
        if coding.strip() not in _CODINGS:
            raise EgressFailed("egress_answer", f"The answer is compressed by {coding.strip()[:20]!r}, unasked.")


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
