"""The task that a client is given in place of the pending answer, where it declares the extension (`tasks.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cenoby.gateway.outcomes import RECORD_META_KEY
from cenoby.kernel.errors import CenobyError

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_MS = 2000
"""How often, in milliseconds, a client is asked to look."""
_PENDING = frozenset({"approval_pending", "approval_running"})


def declares_tasks(extensions: Mapping[str, Any] | None) -> bool:
    """Whether a client that sent these extensions among its capabilities takes tasks."""
    return extensions is not None and EXTENSION in extensions


def created_task(error: CenobyError | None) -> dict[str, Any] | None:
    """The result that gives a client a task for a call that was parked; None where the call was not."""
    if error is None or error.code not in _PENDING or "approval_id" not in error.details:
        return None
    created = error.details["created"]
    return {
        "resultType": "task",
        "taskId": error.details["approval_id"],
        "status": "working",
        "statusMessage": error.message,
        "createdAt": created,
        "lastUpdatedAt": created,
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
        "_meta": {RECORD_META_KEY: error.record} if error.record else {},
    }
