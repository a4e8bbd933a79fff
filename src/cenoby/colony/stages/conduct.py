"""conduct: may this agent act at all just now."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Conduct:
    """Asks the injected conduct gate."""

    name = "conduct"

    def __init__(self, ports: Ports) -> None:
        self._gate = ports.conduct

    async def __call__(self, invocation: Invocation) -> None:
        await self._gate(invocation)
