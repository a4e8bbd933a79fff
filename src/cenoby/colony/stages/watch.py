"""watch: what gives reason to lower the caller's autonomy does so before the caller is answered."""

from __future__ import annotations

from cenoby.access.autonomy.watch import AutonomyWatch
from cenoby.colony.invocation import Invocation


class Watch:
    """Tells the watch over autonomy how the call ended."""

    name = "watch"

    def __init__(self, watch: AutonomyWatch) -> None:
        self._watch = watch

    async def __call__(self, invocation: Invocation) -> None:
        outcome = invocation.outcome
        if outcome is not None and invocation.principal is not None:
            await self._watch.ended(invocation.principal, outcome.error, invocation.began)
