"""redact: secrets and personal data do not leave in a result."""

from __future__ import annotations

from cenoby.colony.errors import ToolFault
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.stages import Ports
from cenoby.kernel.codec import to_json


class Redact:
    """Blacks out what must not leave, and writes the result as JSON once for everybody after."""

    name = "redact"

    def __init__(self, ports: Ports) -> None:
        self._redactor = ports.redactor
        self._max_bytes = ports.limit_settings.max_result_bytes

    async def __call__(self, invocation: Invocation) -> None:
        outcome = invocation.outcome
        if invocation.tool is None:
            # No tool of ours has that name: it is the caller's text.
            invocation.tool_name = self._redactor.text(invocation.tool_name)
        if outcome is None:
            return
        if outcome.error is not None:
            error = outcome.error
            error.message = self._redactor.text(error.message)
            error.details = self._redactor.value(error.details)[0]
            return
        if not invocation.target.says.sensitive_result:
            self._black_out(outcome)
        outcome.json = to_json(outcome.content)
        if len(outcome.json) > self._max_bytes:
            raise ToolFault(
                "result_too_large",
                f"{invocation.target.name} returned {len(outcome.json)} bytes; the limit is {self._max_bytes}.",
            )

    def _black_out(self, outcome: Outcome) -> None:
        if outcome.blocks is None:
            outcome.value, outcome.redacted = self._redactor.value(outcome.value)
        else:
            outcome.blocks, outcome.redacted = self._redactor.value(outcome.blocks)
