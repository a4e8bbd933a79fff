"""authorise: do the caller's roles allow the action. Deny by default."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Authorise:
    """Checks the action type against the capabilities of the caller's roles."""

    name = "authorise"

    def __init__(self, ports: Ports) -> None:
        self._roles = ports.roles

    async def __call__(self, invocation: Invocation) -> None:
        self._roles.authorise(invocation.caller, invocation.action, invocation.target.name)
        invocation.allowed = True
