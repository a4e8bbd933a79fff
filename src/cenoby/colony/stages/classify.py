"""classify: which action type and risk tier the call has. Declared by the tool, never guessed, never by a model.

The operator's tiers file may say another tier for an action type."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Classify:
    """Settles the action type that every later stage decides on."""

    name = "classify"

    def __init__(self, ports: Ports) -> None:
        self._roles = ports.roles

    async def __call__(self, invocation: Invocation) -> None:
        says = invocation.target.says
        invocation.action, invocation.risk = says.action, self._roles.risk_of(says.action, says.risk)
