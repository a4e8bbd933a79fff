"""admit: is the caller within its rate and quota, is there such a tool, is it stopped, or not on for the caller.

Behind a published name is another tool: from here on, the call is one of that tool.
"""

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
        self._kills = ports.kills
        self._publications = ports.publications

    async def __call__(self, invocation: Invocation) -> None:
        entry = self._publications.entry(invocation.tool_name)
        name = entry.behind.tool if entry else invocation.tool_name
        # The allowance is taken first, so that asking for tools that do not exist is not free.
        namespace = name.split(".", 2)[1] if name.count(".") == 2 else ""
        caller = invocation.caller
        while (wait := self._limits.take(caller.agent, namespace, name, caller.tenant)) is not None:
            await wait
        if entry is not None:
            invocation.arguments = self._publications.admit(entry, invocation.arguments)
            invocation.published = entry.name
        invocation.tool = tool = self._host.tool(name)
        self._kills.check(invocation.caller, tool.mad, tool.name, tool.says.action)
        self._flags.check(invocation.caller, tool.mad, tool.name)
