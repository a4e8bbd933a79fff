"""An internet for the colony's way out: names answered and connections counted here, and none leaves the machine."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import httpcore2

OUTSIDE = "93.184.215.14"
"""The one address outside that answers."""
MARK = "the-inside-of-the-house"
"""What anything inside would answer."""

_INSIDE = {
    "localhost": ["127.0.0.1"],
    "inside.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "both.example": [OUTSIDE, "10.0.0.5"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:169.254.169.254"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::1"],
    "scoped.example": ["fe80::1"],
    "local.example": ["fd00:ec2::254"],
    "metadata.google.internal": ["169.254.169.254"],
}


class Internet:
    """What resolvers and sockets did.

    Attributes:
        reached: every address that a connection was opened to, in order.
    """

    def __init__(self) -> None:
        self.reached: list[str] = []
        self._port = 0
        self._asked: dict[str, int] = {}

    @property
    def inside(self) -> list[str]:
        """Connections that went anywhere but to the one address outside."""
        return [address for address in self.reached if address != OUTSIDE]

    def addresses(self, host: str) -> list[str]:
        """What a resolver answers: names as above, `rebind-*` outside first and inside later, numbers as C does."""
        name = host.rstrip(".").lower()
        if name.startswith("rebind-"):
            self._asked[name] = self._asked.get(name, 0) + 1
            return [OUTSIDE if self._asked[name] == 1 else "127.0.0.1"]
        if name in _INSIDE:
            return _INSIDE[name]
        if name.endswith(".outside.example") or name == "outside.example":
            return [OUTSIDE]
        if name.endswith((".localhost", ".nip.example")):
            return ["127.0.0.1"]
        return [socket.inet_ntoa(socket.inet_aton(name))]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A page, or a redirect to whatever follows `/to/`."""
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode("latin-1")
        if re.fullmatch("/to/(?:[0-9a-f]{2})+", path):
            head = f"302 Found\r\nlocation: {bytes.fromhex(path[4:]).decode()}"
        else:
            head = "200 OK\r\ncontent-type: text/plain"
        # Closed, so that every request asks the resolver again.
        writer.write(f"HTTP/1.1 {head}\r\ncontent-length: 7\r\nconnection: close\r\n\r\nwelcome".encode())
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def there(self) -> AsyncIterator[Internet]:
        """In force for this process while the block runs."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        resolve, connect = socket.getaddrinfo, httpcore2.AnyIOBackend.connect_tcp

        def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
            if host in (None, "127.0.0.1", b"127.0.0.1"):
                return resolve(host, port, *rest, **more)
            try:
                found = self.addresses(host.decode() if isinstance(host, bytes) else host)
            except (OSError, UnicodeError):
                raise socket.gaierror(socket.EAI_NONAME, "no such name") from None
            return [
                (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
                for one in found
            ]

        async def connect_tcp(backend: Any, host: str, port: int, *rest: Any, **more: Any) -> Any:
            self.reached.append(host)
            if host != OUTSIDE:
                raise httpcore2.ConnectError(f"{MARK} at {host}")
            return await connect(backend, "127.0.0.1", self._port, *rest, **more)

        with (
            patch("socket.getaddrinfo", getaddrinfo),
            patch.object(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp),
        ):
            try:
                yield self
            finally:
                server.close()
                await server.wait_closed()
