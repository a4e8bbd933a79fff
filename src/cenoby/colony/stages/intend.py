"""intend: a call with side effects is decided and intended in the journal before anything happens."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.colony.stages.journalled import entry, shown_arguments
from cenoby.store.database import StoreUnavailable


class Intend:
    """Writes decision and intent; both are durable before the tool is dispatched."""

    name = "intend"

    def __init__(self, ports: Ports) -> None:
        self._journal = ports.journal
        self._redactor = ports.redactor

    async def __call__(self, invocation: Invocation) -> None:
        if invocation.target.says.effect == "reads":
            return
        payload = {"arguments": shown_arguments(invocation, self._redactor)}
        if invocation.approval:
            payload["approval"] = invocation.approval
        # A caller that gives up meanwhile does not stop the write: the intent will be there and needs its outcome.
        invocation.intended = True
        try:
            await self._journal.append(
                entry(invocation, "decision", decision="allowed"), entry(invocation, "intent", payload=payload)
            )
        except StoreUnavailable:
            invocation.intended = False
            raise
