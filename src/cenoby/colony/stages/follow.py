"""follow: what a call adds to the flow of data is there before it runs."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Follow:
    """The last look before a call runs: its labels are in its contexts, and durable, before anything happens."""

    name = "follow"

    def __init__(self, ports: Ports) -> None:
        self._flows = ports.flows

    async def __call__(self, invocation: Invocation) -> None:
        if invocation.flow is not None:
            await self._flows.follow(invocation.flow)
