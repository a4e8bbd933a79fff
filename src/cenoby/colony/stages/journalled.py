"""How an invocation appears in the journal."""

from __future__ import annotations

from typing import Any

from cenoby.colony.invocation import Invocation
from cenoby.protection.redact import Redactor
from cenoby.store.journal import Entry

_LARGEST_ARGUMENTS = 64 * 1024
_DECISIONS = frozenset({"call", "decision"})
"""Kinds of records that say whether a call was allowed."""


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
        payload=_beside(invocation, kind) | (payload or {}),
    )


def _beside(invocation: Invocation, kind: str) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    if invocation.policy_set and kind in _DECISIONS:
        payload["policy"] = {"by": invocation.policy, "set": invocation.policy_set}
    if invocation.published:
        payload["published"] = invocation.published
    if invocation.asks:
        payload["asked_by"] = [ask.by for ask in invocation.asks]
    if invocation.rules:
        payload["rules"] = list(invocation.rules)
    return payload


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
