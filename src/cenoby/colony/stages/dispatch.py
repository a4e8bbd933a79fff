"""dispatch: to the MAD's mailbox, and wait for the result."""

from __future__ import annotations

from cenoby.colony.breaker import Breaker
from cenoby.colony.host import ToolReply
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.stages import Ports
from cenoby.kernel.envelope import Priority
from cenoby.kernel.errors import Fault


class Dispatch:
    """Sends the call over the bus to its MAD, unless that MAD fails again and again."""

    name = "dispatch"

    def __init__(self, ports: Ports) -> None:
        self._host = ports.host
        self._journal = ports.journal
        self._redactor = ports.redactor
        self._clock = ports.clock
        self._breakers = ports.breakers

    async def __call__(self, invocation: Invocation) -> Outcome:
        deadline_ns = self._clock.now_ns() + round(invocation.target.says.timeout * 1e9)
        invocation.call = Call(invocation, self._journal.append, self._redactor, deadline_ns)
        if invocation.target.says.priority is Priority.SYSTEM:
            # What shows and mends the colony is never kept away.
            reply = await self._host.deliver(invocation, deadline_ns)
        else:
            breaker = self._breakers.of(f"mad:{invocation.target.mad}")
            breaker.enter()
            reply = await self._deliver(invocation, deadline_ns, breaker)
        return Outcome("error" if reply.is_error else "ok", value=reply.value, blocks=reply.blocks)

    async def _deliver(self, invocation: Invocation, deadline_ns: int, breaker: Breaker) -> ToolReply:
        try:
            reply = await self._host.deliver(invocation, deadline_ns)
        except Fault as fault:
            breaker.failed(f"{invocation.target.name}: {fault.code}")
            raise
        except BaseException:
            # A refusal, or a caller that gave up, says nothing about the MAD.
            breaker.left()
            raise
        breaker.succeeded()
        return reply
