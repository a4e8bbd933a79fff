"""The faces of a colony: the gateway, and the status page behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from cenoby import __version__
from cenoby.app.provider import sign_in_provider
from cenoby.app.readiness import Readiness
from cenoby.app.shipped_mads import Parts
from cenoby.colony.invocation import Invocation
from cenoby.dashboard.page import CAUSE, StatusPage
from cenoby.gateway.app import MCP_PATH, Gateway, GatewayPorts
from cenoby.gateway.server import serve
from cenoby.kernel.settings_section import host_and_port


@asynccontextmanager
async def serve_gateway(parts: Parts) -> AsyncGenerator[str]:
    """Serve while the block runs; yields the URL of the MCP endpoint.

    Raises:
        GatewayUnavailable: the address cannot be listened on.
    """
    settings = parts.settings
    host, port = host_and_port(settings.listen)
    gateway = Gateway(
        GatewayPorts(
            host=parts.ports.host,
            publications=parts.ports.publications,
            pipeline=parts.pipeline,
            identities=parts.ports.identities,
            roles=parts.ports.roles,
            bus=parts.bus,
            metrics=parts.ports.metrics,
            settings=settings.gateway,
            colony=settings.colony,
            listen_host=host,
            clock=parts.ports.clock,
            ready=Readiness(parts.database, lambda: parts.cache.cold, lambda: _sealed(parts)).problem,
            oauth=settings.oauth,
            proof_nonces=settings.tokens.proof_nonces,
            dashboard=_status_page(parts),
        )
    )
    async with gateway.running(), serve(gateway, host, port, settings.gateway, drain=gateway.drain) as bound:
        yield bound.origin + MCP_PATH


def _sealed(parts: Parts) -> bool:
    return parts.seal is not None and not parts.seal.opened.is_set()


def _status_page(parts: Parts) -> StatusPage:
    async def call_tool(token: str, name: str, arguments: Mapping[str, Any]) -> Any:
        return (await parts.pipeline.run(Invocation(name, dict(arguments), token, causation=CAUSE))).unwrap()

    return StatusPage(
        colony=parts.settings.colony,
        version=__version__,
        authenticate=lambda token: parts.ports.identities.authenticate(token).agent,
        call_tool=call_tool,
        clock=parts.ports.clock,
        provider=sign_in_provider(parts),
        signed_out=parts.ports.identities.sign_out,
    )
