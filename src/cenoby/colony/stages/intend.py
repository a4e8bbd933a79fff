"""intend: a call with side effects is decided and intended in the journal before anything happens."""

from __future__ import annotations

from functools import partial

from cenoby.access.roles import AccessRefused
from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.colony.stages.journalled import entry, shown_arguments
from cenoby.store.database import StoreUnavailable
from cenoby.store.engine import Connection


class Intend:
    """Writes decision and intent; both are durable before the tool is dispatched."""

    name = "intend"

    def __init__(self, ports: Ports) -> None:
        self._journal = ports.journal
        self._redactor = ports.redactor
        self._approvals = ports.approvals

    async def __call__(self, invocation: Invocation) -> None:
        if invocation.target.says.effect == "reads":
            return
        payload = {"arguments": shown_arguments(invocation, self._redactor)}
        if invocation.approval:
            payload["approval"] = invocation.approval
        # A caller that gives up meanwhile does not stop the write: the intent will be there and needs its outcome.
        invocation.intended = True
        entries = entry(invocation, "decision", decision="allowed"), entry(invocation, "intent", payload=payload)
        try:
            if invocation.spends:
                # In one transaction: whoever took the approval over meanwhile keeps this call from its side effects.
                await self._journal.write(partial(self._begin, invocation), *entries)
            else:
                await self._journal.append(*entries)
        except (StoreUnavailable, AccessRefused):
            invocation.intended = False
            raise

    def _begin(self, invocation: Invocation, connection: Connection) -> None:
        self._approvals.begin_in(connection, invocation.approval, invocation.id)
