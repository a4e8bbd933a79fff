"""Opening connections to checked addresses only: the network backend under the egress guard's pool."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import cast

import httpcore2

from cenoby.protection.addresses import Address, parse_address

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""`(host, port)` to the addresses of that name, in the order in which they should be tried; raises OSError."""

CheckAddresses = Callable[[str, int, list[Address]], None]
"""`(host, port, all its addresses)`; raises where any of them must not be reached."""

_SECONDS_PER_ADDRESS = 5.0


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of `host` from the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves a name once, has all its addresses checked, and connects to one of exactly those."""

    def __init__(
        self, resolver: Resolver, check: CheckAddresses, sockets: httpcore2.AsyncNetworkBackend | None = None
    ) -> None:
        self._resolver = resolver
        self._check = check
        # The library types its optional backends loosely.
        self._sockets = sockets or cast(httpcore2.AsyncNetworkBackend, httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of the library's backend
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        self._check(host, port, addresses)
        limit = min(timeout or _SECONDS_PER_ADDRESS, _SECONDS_PER_ADDRESS)
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._sockets.connect_tcp(str(address), port, limit, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of the library's backend
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("egress never reaches local sockets")

    async def sleep(self, seconds: float) -> None:
        await self._sockets.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        literal = parse_address(host)
        if literal is not None:
            return [literal]
        try:
            found = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} has no address: {error}") from None
        addresses = [parse_address(text) for text in found]
        if None in addresses:
            raise httpcore2.ConnectError(f"the resolver's answer for {host} is not a list of addresses")
        return [address for address in addresses if address is not None]
