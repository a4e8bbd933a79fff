"""settle: give back what was reserved and not spent, and the approval of a call that never ran."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Settle:
    """Closes the call's reservation. A tool that did not say what it spent is charged what was reserved for it."""

    name = "settle"

    def __init__(self, ports: Ports) -> None:
        self._approvals = ports.approvals
        self._ledger = ports.ledger

    async def __call__(self, invocation: Invocation) -> None:
        if invocation.approval and not _ran(invocation):
            await self._approvals.give_back(invocation.id)
        if not invocation.reservation:
            return
        if not invocation.began:
            await self._ledger.settle(invocation.reservation, 0)
        elif invocation.spent is not None:
            await self._ledger.settle(invocation.reservation, invocation.spent)
        # Otherwise the reservation stands: the ledger counts it as spent.


def _ran(invocation: Invocation) -> bool:
    # A tool that asks its client something runs again, from its beginning, once the answers are there.
    error = invocation.outcome.error if invocation.outcome else None
    return invocation.began and (error is None or error.code != "input_required")
