"""dispatch: to the MAD's mailbox, and wait for the result."""

from __future__ import annotations

from cenoby.colony.breaker import Breaker
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.last_look import LastLook
from cenoby.colony.stages import Ports
from cenoby.colony.tool import ToolReply
from cenoby.colony.under_way import UnderWay
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
        self._under_way = UnderWay(ports.kills)
        self._last_look = LastLook(ports)

    async def __call__(self, invocation: Invocation) -> Outcome:
        deadline_ns = self._clock.now_ns() + round(invocation.target.says.timeout * 1e9)
        call = Call(invocation, self._journal.append, self._redactor, deadline_ns)
        invocation.last_look = self._last_look
        self._under_way.enter(invocation)
        try:
            reply = await self._reply(invocation, call)
        finally:
            self._under_way.leave(invocation)
        return Outcome("error" if reply.is_error else "ok", value=reply.value, blocks=reply.blocks)

    async def _reply(self, invocation: Invocation, call: Call) -> ToolReply:
        if invocation.target.says.priority is Priority.SYSTEM:
            # What shows and mends the colony is never kept away.
            return await self._host.deliver(invocation, call)
        breaker = self._breakers.of(f"mad:{invocation.target.mad}")
        breaker.enter()
        return await self._deliver(invocation, call, breaker)

    async def _deliver(self, invocation: Invocation, call: Call, breaker: Breaker) -> ToolReply:
        try:
            reply = await self._host.deliver(invocation, call)
        except Fault as fault:
            if fault.code == "node_lost":
                # It says nothing about the MAD, which other nodes serve, or its next process does.
                breaker.left()
            else:
                breaker.failed(f"{invocation.target.name}: {fault.code}")
            raise
        except BaseException:
            # A refusal, or a caller that gave up, says nothing about the MAD.
            breaker.left()
            raise
        breaker.succeeded()
        return reply
