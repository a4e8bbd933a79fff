"""What the flow of data has to say of a call, as `authorise` asks it."""

from __future__ import annotations

import re

from cenoby.access.flows.flows import Flows
from cenoby.access.flows.labels import ToolFlow
from cenoby.colony.invocation import Invocation
from cenoby.colony.tool import Tool

_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class FlowCheck:
    """Asks the flows about one call after the other; what a tool means to them is looked up once."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._known: dict[str, tuple[Tool, ToolFlow, tuple[str, ...]]] = {}

    def __call__(self, invocation: Invocation) -> None:
        tool = invocation.target
        known = self._known.get(tool.name)
        if known is None or known[0] is not tool:
            known = self._known[tool.name] = (tool, tool.flow, self._flows.watched(tool.flow))
        step, asks = self._flows.check(invocation.caller, known[1], known[2], invocation.arguments, _task(invocation))
        invocation.flow = step
        for ask in asks:
            invocation.ask(ask)


def _task(invocation: Invocation) -> str:
    """What calls of one task share: a correlation that is not the call's own, or the trace (W3C) that led to it."""
    if invocation.correlation != invocation.id:
        return invocation.correlation
    return invocation.causation[3:35] if _TRACE.fullmatch(invocation.causation) else ""
