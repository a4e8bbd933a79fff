"""classify: which action type and risk tier the call has. Declared by the tool, never guessed, never by a model."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Classify:
    """Settles the action type that every later stage decides on."""

    name = "classify"

    def __init__(self, ports: Ports) -> None:
        del ports

    async def __call__(self, invocation: Invocation) -> None:
        says = invocation.target.says
        invocation.action, invocation.risk = says.action, says.risk
