"""Running a parked call once it is approved: through the whole pipeline, as of now.

The policy in force at this moment decides, for the caller as it is at this moment. What was approved are exactly these
arguments, by their digest; the approval is spent in the `approve` stage and marked as begun with the call's intent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cenoby.access.approvals.parked_calls import Announce, Ended, KeptResult, ParkedCall
from cenoby.access.approvals.sql import Approval
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.codec import from_json
from cenoby.kernel.errors import CenobyError

CAUSE = "parked"
_LONGEST_WAIT = 60.0
"""Seconds: what says that it may go later than that is not waited for."""
_SOON = 5.0
_COMES_BACK = frozenset({"tool_unknown", "node_lost", "approval_running"})
"""Codes of what may just be starting, besides what says that it is not available now."""


class ParkedRuns:
    """Takes parked calls through the pipeline.

    Args:
        run: the pipeline.
    """

    def __init__(self, run: Callable[[Invocation], Awaitable[Outcome]]) -> None:
        self._run = run

    async def __call__(self, call: ParkedCall, approval: Approval, announce: Announce) -> Ended:
        """What came of one run.

        Raises:
            StoreUnavailable: it could not be announced, and did not run.
            asyncio.CancelledError: the process stops; what had happened by then is recorded.
        """
        invocation = Invocation(
            call.tool,
            call.arguments,
            call.principal,
            correlation=call.correlation,
            causation=call.invocation or CAUSE,
            conversation=call.conversation,
            resumes=approval.id,
        )
        invocation.metadata = call.metadata
        await announce(invocation.id)
        outcome = await self._run(invocation)
        return Ended(kept_result(outcome), invocation.id, _again(invocation, outcome.error))


def kept_result(outcome: Outcome) -> KeptResult:
    """What is kept of the end of a call for its caller."""
    record = outcome.record.id if outcome.record is not None else ""
    if outcome.error is not None:
        kind = "error" if outcome.status == "error" else "refused"
        return KeptResult(kind, error=outcome.error.to_wire(), record=record)
    content = from_json(outcome.json)
    kind = "ok" if outcome.status == "ok" else "error"
    if outcome.blocks is None:
        return KeptResult(kind, value=content, record=record)
    return KeptResult(kind, blocks=content, record=record)


def _again(invocation: Invocation, error: CenobyError | None) -> float | None:
    """After how many seconds a run that did not reach its tool is made again; None where this was its end."""
    if error is None or invocation.began:
        return None
    if error.code == "approval_lost":
        return 0.1  # it is looked at again who has it
    if error.family != "unavailable" and error.code not in _COMES_BACK:
        return None
    seconds = error.retry_after or _SOON
    return seconds if seconds <= _LONGEST_WAIT else None
