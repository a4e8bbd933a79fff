"""redact: secrets and personal data do not leave in a result, nor do instructions to a model come in by one."""

from __future__ import annotations

from cenoby.colony.errors import ToolFault
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.stages import Ports
from cenoby.colony.stages.data import judge
from cenoby.colony.stages.files import check_files
from cenoby.kernel.codec import to_json
from cenoby.protection.files.attached import may_hold_files


class Redact:
    """Blacks out what must not leave, and writes the result as JSON once for everybody after."""

    name = "redact"

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._redactor = ports.redactor
        self._rules = ports.rules
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
            if invocation.began:
                self._rules.look_at_error(invocation, error)
            return
        if not invocation.target.says.sensitive_result:
            await self._black_out(invocation, outcome)
        outcome.json = to_json(outcome.content)
        self._rules.look(invocation, outcome)
        if may_hold_files(outcome.json):
            await check_files(self._ports, invocation, "results", outcome.content)
        if len(outcome.json) > self._max_bytes:
            raise ToolFault(
                "result_too_large",
                f"{invocation.target.name} returned {len(outcome.json)} bytes; the limit is {self._max_bytes}.",
            )

    async def _black_out(self, invocation: Invocation, outcome: Outcome) -> None:
        judged = await judge(self._ports, invocation, "out", (invocation.target.name,), outcome.content)
        value, redacted = self._redactor.value(outcome.content) if judged is None else judged[:2]
        outcome.redacted = redacted
        if outcome.blocks is None:
            outcome.value = value
        else:
            outcome.blocks = value
