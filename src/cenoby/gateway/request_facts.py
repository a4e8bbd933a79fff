"""What the gateway knows of a request, carried in its ASGI scope through the SDK to whoever serves it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp.server.context import ServerRequestContext
from starlette.types import Scope

from cenoby.access.principals import Credential, Principal

if TYPE_CHECKING:
    from cenoby.gateway.answers import Headers
    from cenoby.gateway.places import Place
    from cenoby.gateway.protocol import BoundedProtocol
    from cenoby.gateway.session import Session

Context = ServerRequestContext[Any, Any]

FACTS = "cenoby.facts"
"""The key of the scope."""

CALLER: ContextVar[Principal | None] = ContextVar("cenoby_caller", default=None)
"""Who sent the request being served, for the one SDK hook that is given no context."""


@dataclass(slots=True)
class RequestFacts:
    """One request; the connection makes it, and the application adds what it learns.

    Attributes:
        connection: on which it came.
        principal, token: who sent it, once that is known.
        place: where it is served; released early by what only waits.
        session: the caller's own session that it names or opens, if any.
        overload: what its answer says besides where the colony proved to be full.
    """

    connection: BoundedProtocol
    principal: Principal = field(init=False)
    token: Credential = field(init=False)
    place: Place = field(init=False)
    session: Session | None = None
    overload: Headers = ()


def facts_of(scope: Scope) -> RequestFacts:
    """The facts of the request with that scope."""
    facts: RequestFacts = scope[FACTS]
    return facts


def facts_in(context: Context) -> RequestFacts:
    """The facts of the request that the SDK is serving."""
    assert context.request is not None, "every request comes over HTTP"
    return facts_of(context.request.scope)


def principal_of(context: Context) -> Principal:
    """Who sent the request that the SDK is serving; the application authenticated it before."""
    return facts_in(context).principal
