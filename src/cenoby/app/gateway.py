"""The faces of a colony: the gateway, and the status page behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cenoby.app.shipped_mads import Parts
from cenoby.gateway.app import MCP_PATH, Gateway, GatewayPorts
from cenoby.gateway.server import serve


@asynccontextmanager
async def serve_gateway(parts: Parts) -> AsyncGenerator[str]:
    """Serve while the block runs; yields the URL of the MCP endpoint.

    Raises:
        GatewayUnavailable: the address cannot be listened on.
    """
    settings = parts.settings
    host, _, port = settings.listen.rpartition(":")
    host = host.strip("[]")
    gateway = Gateway(
        GatewayPorts(
            host=parts.ports.host,
            pipeline=parts.pipeline,
            identities=parts.ports.identities,
            roles=parts.ports.roles,
            bus=parts.bus,
            metrics=parts.ports.metrics,
            settings=settings.gateway,
            colony=settings.colony,
            listen_host=host,
        )
    )
    async with gateway.running(), serve(gateway, host, int(port), settings.gateway, drain=gateway.drain) as bound:
        yield bound.origin + MCP_PATH
