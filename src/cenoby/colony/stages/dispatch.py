"""dispatch: to the MAD's mailbox, and wait for the result."""

from __future__ import annotations

from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.stages import Ports


class Dispatch:
    """Sends the call over the bus to its MAD."""

    name = "dispatch"

    def __init__(self, ports: Ports) -> None:
        self._host = ports.host
        self._journal = ports.journal
        self._redactor = ports.redactor
        self._clock = ports.clock

    async def __call__(self, invocation: Invocation) -> Outcome:
        deadline_ns = self._clock.now_ns() + round(invocation.target.says.timeout * 1e9)
        invocation.call = Call(invocation, self._journal.append, self._redactor, deadline_ns)
        reply = await self._host.deliver(invocation, deadline_ns)
        return Outcome("error" if reply.is_error else "ok", value=reply.value, blocks=reply.blocks)
