"""record: decision and outcome are durable before anybody is answered."""

from __future__ import annotations

import hashlib
from typing import Any

from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.stages import Ports
from cenoby.colony.stages.journalled import entry, shown_arguments

_LARGEST_RESULT = 16 * 1024
"""Bytes of a result that the journal keeps whole; of a larger one it keeps size and SHA-256."""


class Record:
    """Writes the one record of a reading, refused or parked call, or the outcome of one with side effects."""

    name = "record"

    def __init__(self, ports: Ports) -> None:
        self._journal = ports.journal
        self._redactor = ports.redactor

    async def __call__(self, invocation: Invocation) -> None:
        outcome = invocation.outcome
        assert outcome is not None, "the way in always ends in an outcome"
        code = outcome.error.code if outcome.error else ""
        status = outcome.status
        payload = self._payload(invocation, outcome)
        if invocation.intended:
            record = entry(invocation, "outcome", status=status, code=code, payload=payload)
        else:
            payload["arguments"] = shown_arguments(invocation, self._redactor)
            if invocation.approval:
                payload["approval"] = invocation.approval
            decision = "allowed" if invocation.allowed else "parked" if status == "parked" else "refused"
            record = entry(invocation, "call", decision=decision, status=status, code=code, payload=payload)
        outcome.record = await self._journal.append(record)
        if outcome.error is not None:
            outcome.error.record = outcome.record.id

    def _payload(self, invocation: Invocation, outcome: Outcome) -> dict[str, Any]:
        payload: dict[str, Any] = {}
        if outcome.error is not None:
            payload["error"] = outcome.error.to_wire()
        elif outcome.status in ("ok", "error"):
            payload["result"] = _shown_result(invocation, outcome)
        if invocation.removed:
            payload["characters_removed"] = invocation.removed
        if outcome.redacted:
            payload["redacted"] = outcome.redacted
        if invocation.restored:
            payload["restored"] = invocation.restored
        if invocation.spent is not None:
            payload["spent_micro_usd"] = invocation.spent
        if invocation.spent_tokens is not None:
            payload["spent_tokens"] = invocation.spent_tokens
        return payload


def _shown_result(invocation: Invocation, outcome: Outcome) -> Any:
    if invocation.target.says.sensitive_result:
        return "[not journalled]"
    if len(outcome.json) > _LARGEST_RESULT:
        return {"bytes": len(outcome.json), "sha256": hashlib.sha256(outcome.json).hexdigest()}
    return outcome.content
