"""approve: must a person decide first, and has one."""

from __future__ import annotations

import asyncio
import hashlib

from cenoby.access.approvals.claims import Wanted
from cenoby.access.approvals.parked_calls import KeptResult, ParkedCall
from cenoby.access.verdicts import Ask
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.stages import Ports
from cenoby.colony.stages.journalled import shown_arguments
from cenoby.kernel.errors import error_from_wire


class Approve:
    """Parks a call that a check wants a person to decide, until an approval for these exact arguments is there.

    Where the engine has run this very call since, it is answered with what that gave back.
    """

    name = "approve"

    def __init__(self, ports: Ports) -> None:
        self._approvals = ports.approvals
        self._redactor = ports.redactor

    async def __call__(self, invocation: Invocation) -> Outcome | None:
        if (ask := self._approvals.asks(invocation.action, invocation.risk)) is not None:
            invocation.ask(ask)
        if (people := invocation.target.says.people) > 0:
            tool = invocation.target.name
            invocation.ask(Ask(f"tool:{tool}", f"every single call of {tool} needs {people} people who agree"))
        # What the engine resumes spends its approval also where nobody asks any more: that keeps it from running twice.
        if not invocation.asks and not invocation.resumes:
            return None
        invocation.allowed = False
        try:
            passed = await self._approvals.check(self._wanted(invocation))
        except asyncio.CancelledError:
            # The check may have used an approval up already, and nobody will hear of it.
            await asyncio.shield(self._approvals.give_back(invocation.id))
            raise
        invocation.approval = passed.approval
        invocation.allowed = True
        if passed.kept is not None:
            return _outcome(passed.kept)
        invocation.spends = not passed.granted
        return None

    def _wanted(self, invocation: Invocation) -> Wanted:
        call = ParkedCall(
            tool=invocation.target.name,
            arguments=invocation.arguments,
            principal=invocation.caller,
            invocation=invocation.id,
            correlation=invocation.correlation,
            causation=invocation.causation,
            published=invocation.published,
            conversation=invocation.conversation,
            metadata=invocation.metadata,
        )
        return Wanted(
            call=call,
            action=invocation.action,
            risk=invocation.risk,
            digest=hashlib.sha256(invocation.canonical).hexdigest(),
            summary=shown_arguments(invocation, self._redactor),
            asks=invocation.asks,
            resumes=invocation.resumes,
            people=invocation.target.says.people,
        )


def _outcome(kept: KeptResult) -> Outcome:
    if kept.error is not None:
        raise error_from_wire(kept.error)
    return Outcome("ok" if kept.outcome == "ok" else "error", value=kept.value, blocks=kept.blocks)
