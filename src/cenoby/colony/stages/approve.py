"""approve: must a person decide first, and has one."""

from __future__ import annotations

import asyncio
import hashlib

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.colony.stages.journalled import shown_arguments


class Approve:
    """Parks a call whose action type needs a person, until an approval for these exact arguments is there."""

    name = "approve"

    def __init__(self, ports: Ports) -> None:
        self._approvals = ports.approvals
        self._redactor = ports.redactor

    async def __call__(self, invocation: Invocation) -> None:
        if not self._approvals.needs(invocation.action, invocation.risk):
            return
        invocation.allowed = False
        try:
            invocation.approval = await self._approvals.check(
                invocation.caller,
                invocation.target.name,
                invocation.action,
                hashlib.sha256(invocation.canonical).hexdigest(),
                shown_arguments(invocation, self._redactor),
                invocation.id,
            )
        except asyncio.CancelledError:
            # The check may have used an approval up already, and nobody will hear of it.
            await asyncio.shield(self._approvals.give_back(invocation.id))
            raise
        invocation.allowed = True
