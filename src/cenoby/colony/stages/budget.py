"""budget: reserve what the call may cost in money and tokens, before it runs."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Budget:
    """Reserves the tool's own upper bound in the ledger; a tool without one costs nothing and touches no ledger."""

    name = "budget"

    def __init__(self, ports: Ports) -> None:
        self._ledger = ports.ledger

    async def __call__(self, invocation: Invocation) -> None:
        if invocation.target.estimate is None:
            return
        bound = await invocation.target.bound(invocation.parsed)
        if bound.micro_usd > 0 or bound.tokens > 0:
            agent, tenant, mad, task = invocation.payer
            invocation.reservation = await self._ledger.reserve(
                agent, tenant, bound.micro_usd, tokens=bound.tokens, mad=mad, task=task
            )
