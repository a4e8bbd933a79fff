"""Serving an ASGI application with uvicorn inside a running asyncio program, and stopping in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from cenoby.gateway.errors import GatewayUnavailable
from cenoby.gateway.protocol import BoundedProtocol
from cenoby.kernel.settings import GatewaySettings

_KEEP_ALIVE_SECONDS = 75
_LAST_WORDS_SECONDS = 2.0
"""After the drain timeout calls are cancelled; this long they may take to be recorded as such."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a gateway listens; `port` is the real one where 0 was asked for."""

    host: str
    port: int

    @property
    def origin(self) -> str:
        """`http://host:port`, with brackets around an IPv6 address."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


@asynccontextmanager
async def serve(
    app: ASGIApp, host: str, port: int, settings: GatewaySettings, *, drain: Callable[[], None] = lambda: None
) -> AsyncGenerator[Bound]:
    """Serve `app` while the block runs. Leaving it stops within `drain_timeout` and a few seconds.

    Args:
        app: the ASGI application.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        settings: limits and timeouts.
        drain: called when stopping begins, so that the application ends its open streams.

    Raises:
        GatewayUnavailable: the address is taken or not ours.
    """
    state = ServerState()
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(partial(_protocol, _config(app), state, settings), host, port, backlog=2048)
    except OSError as error:
        raise GatewayUnavailable(
            "address_unusable",
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another address with --listen, or stop "
            "what holds this one.",
        ) from None
    sweeper = asyncio.create_task(_sweep(state), name="gateway-sweep")
    try:
        yield Bound(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        drain()
        await _stop(state, settings.drain_timeout)
        sweeper.cancel()


def _config(app: ASGIApp) -> Config:
    config = Config(
        cast(Any, app),
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    config.load()
    return config


def _protocol(config: Config, state: ServerState, settings: GatewaySettings) -> BoundedProtocol:
    return BoundedProtocol(config, state, {}, settings=settings)


def _connections(state: ServerState) -> list[BoundedProtocol]:
    return cast(list[BoundedProtocol], list(state.connections))


async def _sweep(state: ServerState) -> None:
    loop = asyncio.get_running_loop()
    while True:
        # RFC 9110, 6.6.1: a server with a clock dates its answers.
        state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        now = loop.time()
        for connection in _connections(state):
            connection.close_if_overdue(now)
        await asyncio.sleep(1)


async def _stop(state: ServerState, drain_timeout: float) -> None:
    for connection in _connections(state):
        connection.shutdown()
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=drain_timeout)
    for task in list(state.tasks):
        task.cancel("the gateway stops")
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=_LAST_WORDS_SECONDS)
    for connection in _connections(state):
        connection.abort()
    # One turn of the loop for the transports to report that they are closed.
    await asyncio.sleep(0)
