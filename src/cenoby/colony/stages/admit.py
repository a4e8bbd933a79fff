"""admit: is the caller within its rate and quota, is there such a tool, and is it switched on for the caller."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Admit:
    """Finds the tool and takes one call from the caller's allowance in the tool's namespace."""

    name = "admit"

    def __init__(self, ports: Ports) -> None:
        self._host = ports.host
        self._limits = ports.limits
        self._flags = ports.flags

    async def __call__(self, invocation: Invocation) -> None:
        # The allowance is taken first, so that asking for tools that do not exist is not free.
        namespace = invocation.tool_name.split(".", 2)[1] if invocation.tool_name.count(".") == 2 else ""
        self._limits.take(invocation.caller.agent, namespace)
        invocation.tool = tool = self._host.tool(invocation.tool_name)
        self._flags.check(invocation.caller, tool.mad, tool.name)
