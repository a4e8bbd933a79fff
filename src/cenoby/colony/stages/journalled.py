"""How an invocation appears in the journal."""

from __future__ import annotations

from typing import Any

from cenoby.colony.invocation import Invocation
from cenoby.protection.redact import Redactor
from cenoby.store.journal import Entry

_LARGEST_ARGUMENTS = 64 * 1024


def entry(
    invocation: Invocation,
    kind: str,
    *,
    decision: str = "",
    status: str = "",
    code: str = "",
    payload: dict[str, Any] | None = None,
) -> Entry:
    """A journal entry of `kind` about this invocation."""
    principal, tool = invocation.principal, invocation.tool
    return Entry(
        kind=kind,
        tenant=principal.tenant if principal else "",
        agent=principal.agent if principal else "",
        correlation=invocation.correlation,
        mad=tool.mad if tool else "",
        tool=tool.name if tool else invocation.tool_name[:64],
        action=invocation.action,
        decision=decision,
        status=status,
        code=code,
        causation=invocation.causation,
        invocation=invocation.id,
        payload=payload or {},
    )


def shown_arguments(invocation: Invocation, redactor: Redactor) -> Any:
    """The arguments as the journal and an approver see them: sensitive ones withheld, the rest redacted."""
    if invocation.tool is None or invocation.canonical == b"":
        return "[not read]"
    if len(invocation.canonical) > _LARGEST_ARGUMENTS:
        return {"bytes": len(invocation.canonical)}
    sensitive = invocation.tool.says.sensitive
    if not sensitive:
        return redactor.value(invocation.arguments)[0]
    # What the tool does not know may be a sensitive argument under a wrong name.
    known = invocation.tool.arguments_model.model_fields.keys() - sensitive
    open_ones = {key: value for key, value in invocation.arguments.items() if key in known}
    withheld = dict.fromkeys(invocation.arguments.keys() - known, "[not journalled]")
    return redactor.value(open_ones)[0] | withheld
