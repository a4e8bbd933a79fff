"""MCP tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663, revision 2026-07-28): calls that wait for a person.

A client that declares the extension gets a task in place of the pending answer, and asks with `tasks/get`. The task is
the parked call itself: its id is the approval's, and it outlasts restarts because that does. It is `working` while it
waits, never `input_required`: what the client could answer is no approval. The experimental tasks of revision
2025-11-25 are not served; its clients get the pending answer with the id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from cenoby.gateway.calls import Calls
from cenoby.gateway.created_tasks import EXTENSION, POLL_MS, declares_tasks
from cenoby.gateway.errors import protocol_error
from cenoby.gateway.outcomes import RECORD_META_KEY, error_result
from cenoby.gateway.request_facts import Context
from cenoby.kernel.codec import to_json
from cenoby.kernel.errors import error_from_wire

_GET, _CANCEL = "mads.grace.get_parked", "mads.grace.cancel_parked"
_WAITING = {
    "pending": "Waits for a person's approval.",
    "approved": "Approved; it is about to run.",
    "running": "Approved; it runs.",
    "used": "Approved; it runs.",
}


class TaskParams(RequestParams):
    """The parameters of `tasks/get`, `tasks/cancel` and `tasks/update`."""

    task_id: str = Field(alias="taskId", max_length=64)


class Tasks:
    """The requests of the extension; each is a call of one of Grace's tools, through the pipeline.

    Args:
        calls: tool calls of MCP clients.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get(self, context: Context, params: TaskParams) -> dict[str, Any]:
        """`tasks/get`: the state of a task, and its result once it has ended.

        Raises:
            MCPError: the client declares no tasks, or has none of that id.
        """
        return _detailed(await self._asked(context, _GET, params.task_id))

    async def cancel(self, context: Context, params: TaskParams) -> dict[str, Any]:
        """`tasks/cancel`: let go of a call that waits; what was decided goes on, which `tasks/get` shows.

        Raises:
            MCPError: the client declares no tasks, or has none of that id.
        """
        await self._asked(context, _GET, params.task_id)
        outcome = await self._calls.run(context, _CANCEL, {"approval_id": params.task_id})
        if outcome.error is not None and outcome.error.code != "approval_decided":
            raise protocol_error(outcome.error)
        return {}

    async def update(self, context: Context, params: TaskParams) -> dict[str, Any]:
        """`tasks/update`: no task of ours waits for its client, so whatever it answers is acknowledged and not used.

        Raises:
            MCPError: the client declares no tasks, or has none of that id.
        """
        await self._asked(context, _GET, params.task_id)
        return {}

    async def _asked(self, context: Context, tool: str, task_id: str) -> dict[str, Any]:
        if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            raise MCPError(METHOD_NOT_FOUND, "Tasks are an extension of revision 2026-07-28.")
        capabilities = context.session.client_capabilities
        if capabilities is None or not declares_tasks(capabilities.extensions):
            needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, f"Declare the extension {EXTENSION}.", needed)
        outcome = await self._calls.run(context, tool, {"approval_id": task_id})
        if outcome.error is not None:
            if outcome.error.code == "approval_unknown":
                raise MCPError(INVALID_PARAMS, f"There is no task {task_id!r} for this caller.")
            raise protocol_error(outcome.error)
        view: dict[str, Any] = outcome.value
        return view


def _detailed(view: Mapping[str, Any]) -> dict[str, Any]:
    state = str(view["state"])
    task: dict[str, Any] = {
        "resultType": "complete",
        "taskId": view["approval_id"],
        "createdAt": view["created"],
        "lastUpdatedAt": view["ended"] or view["created"],
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }
    if state in _WAITING:
        return task | {"status": "working", "statusMessage": _WAITING[state]}
    if state == "cancelled":
        return task | {"status": "cancelled", "statusMessage": "Its caller let go of it."}
    return task | {"status": "completed", "statusMessage": f"Ended: {state}.", "result": _call_result(state, view)}


def _call_result(state: str, view: Mapping[str, Any]) -> dict[str, Any]:
    """The result that `tools/call` would have had."""
    record = {RECORD_META_KEY: view["record"]} if view["record"] else {}
    if view["error"] is not None:
        return error_result(error_from_wire(view["error"]))
    if view["blocks"] is not None:
        return {"content": view["blocks"], "isError": state == "error", "_meta": record}
    if state not in ("ok", "error"):
        text = f"{state}: the call was approved for another run, or nobody decided in time."
        return {"content": [{"type": "text", "text": text}], "isError": True, "_meta": record}
    value = view["result"]
    content = [{"type": "text", "text": to_json(value).decode()}]
    result = {"content": content, "isError": state == "error", "_meta": record}
    return result | {"structuredContent": value} if isinstance(value, dict) else result
