"""settle: give back what was reserved and not spent, and the approval of a call that never ran."""

from __future__ import annotations

from cenoby.access.budgets.accounts import Cost
from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Settle:
    """Closes the call's reservation. A tool that did not say what it spent is charged what was reserved for it."""

    name = "settle"

    def __init__(self, ports: Ports) -> None:
        self._approvals = ports.approvals
        self._ledger = ports.ledger

    async def __call__(self, invocation: Invocation) -> None:
        if invocation.spends and not _ran(invocation):
            await self._approvals.give_back(invocation.id)
        if not invocation.reservation:
            if invocation.spent or invocation.spent_tokens:
                await self._ledger.charge(invocation.payer, Cost(invocation.spent or 0, invocation.spent_tokens or 0))
        elif not invocation.began:
            await self._ledger.settle(invocation.reservation, 0, 0)
        elif invocation.spent is not None:
            await self._ledger.settle(invocation.reservation, invocation.spent, invocation.spent_tokens)
        else:
            self._ledger.let_stand(invocation.reservation)


def _ran(invocation: Invocation) -> bool:
    # A tool that asks its client something runs again, from its beginning, once the answers are there; the engine has
    # no client that could be asked, and leaves the approval to the caller.
    error = invocation.outcome.error if invocation.outcome else None
    asks = {"input_required", "client_feature_missing"} if invocation.resumes else {"input_required"}
    return invocation.began and (error is None or error.code not in asks)
