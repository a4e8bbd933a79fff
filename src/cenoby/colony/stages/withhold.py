"""withhold: whoever lost the right to call while the call ran is not told what came of it."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.stages import Ports


class Withhold:
    """Refuses the result of a call whose token was revoked, or whose caller was blocked, while the call was under way.

    What a tool had begun by then is not undone: its record says that it ran, and that nobody was answered.
    """

    name = "withhold"

    def __init__(self, ports: Ports) -> None:
        self._identities = ports.identities

    async def __call__(self, invocation: Invocation) -> None:
        principal = invocation.principal
        if principal is None or invocation.ends_seen == self._identities.ends:
            return
        problem = self._identities.ended(principal)
        if problem is not None:
            invocation.outcome = Outcome.failed(problem, began=invocation.began)
