"""Running one tool: the border between a MAD's code and the colony."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import msgspec

from cenoby.colony.errors import ToolFault
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.tool import Tool, ToolContent, ToolReply
from cenoby.kernel.errors import CenobyError
from cenoby.telemetry.logs import get_logger

_log = get_logger("colony.running")

serving: ContextVar[str] = ContextVar("serving", default="")
"""Canonical name of the tool that the current task serves: what a MAD uses meanwhile, it uses for that."""


async def run_tool(tool: Tool, call: Call, invocation: Invocation) -> ToolReply:
    """What the tool gives back, in plain form.

    Raises:
        CenobyError: what the tool raised; ToolFault `tool_failed` for anything that is not one of ours.
    """
    outer = serving.set(tool.name)
    try:
        result = await tool.run(call, **invocation.parsed)
    except CenobyError:
        raise
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        # Whatever a MAD's code raises becomes a fault of this call.
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        _log.exception("tool_failed", tool=tool.name, correlation=invocation.correlation)
        raise ToolFault(
            "tool_failed", f"{tool.name} failed; the log has the cause under correlation {invocation.correlation}."
        ) from error
    finally:
        serving.reset(outer)
    if isinstance(result, ToolContent):
        return ToolReply(blocks=result.blocks, is_error=result.is_error)
    return ToolReply(value=msgspec.to_builtins(result, enc_hook=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"a tool's result holds a {type(value).__name__}, which has no JSON form")
