"""learn: what a result brings with it is known to the flow of data before anybody is answered."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Learn:
    """Takes the labels and the words that a result brings with it; without that the result is not answered."""

    name = "learn"

    def __init__(self, ports: Ports) -> None:
        self._flows = ports.flows

    async def __call__(self, invocation: Invocation) -> None:
        outcome = invocation.outcome
        if invocation.flow is None or outcome is None or not invocation.began:
            return
        if outcome.error is None:
            await self._flows.learn(invocation.flow, outcome.content, len(outcome.json))
        else:
            # What an error says may be a text from outside, too.
            await self._flows.learn(invocation.flow, outcome.error.to_wire(), 0)
