"""settle: give back what was reserved and not spent."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Settle:
    """Closes the call's reservation. A tool that did not say what it spent is charged what was reserved for it."""

    name = "settle"

    def __init__(self, ports: Ports) -> None:
        self._ledger = ports.ledger

    async def __call__(self, invocation: Invocation) -> None:
        if not invocation.reservation:
            return
        if not invocation.began:
            await self._ledger.settle(invocation.reservation, 0)
        elif invocation.spent is not None:
            await self._ledger.settle(invocation.reservation, invocation.spent)
        # Otherwise the reservation stands: the ledger counts it as spent.
