"""budget: reserve what the call may cost, before it runs."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Budget:
    """Reserves the tool's own upper bound in the ledger; a tool without one costs nothing and touches no ledger."""

    name = "budget"

    def __init__(self, ports: Ports) -> None:
        self._ledger = ports.ledger

    async def __call__(self, invocation: Invocation) -> None:
        estimate = invocation.target.estimate
        if estimate is None:
            return
        bound = estimate(invocation.parsed)
        if bound > 0:
            invocation.reservation = await self._ledger.reserve(
                invocation.caller.agent, invocation.caller.tenant, bound
            )
