"""How a call's data meets the rules of `dlp`; no stage, but what two of them do."""

from __future__ import annotations

from typing import Any

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.kernel.settings_dlp import Direction
from cenoby.protection.dlp.guard import DataRefused, Judged
from cenoby.protection.events import CanarySeen
from cenoby.store.journal import Entry

_TO_MODELS = "model:call"


def direction_of(invocation: Invocation) -> tuple[Direction, tuple[str, ...]]:
    """Where the arguments go, and by which names a rule may call the place."""
    tool = invocation.target
    if tool.says.action != _TO_MODELS:
        return "in", (tool.name,)
    model = invocation.arguments.get("model")
    return "model", (tool.name, f"model:{model}") if isinstance(model, str) else (tool.name,)


async def judge(
    ports: Ports, invocation: Invocation, direction: Direction, places: tuple[str, ...], value: Any
) -> Judged | None:
    """What may go on of arguments or a result; None where all of it may.

    Raises:
        DataRefused, DataWithheld: as `DataGuard.judge`. That a canary was seen is journalled first.
    """
    caller = invocation.caller
    try:
        return ports.data.judge(direction, caller.tenant, places, value)
    except DataRefused as error:
        if error.code == "canary_seen":
            seen = CanarySeen(tool=invocation.target.name, direction=direction, invocation=invocation.id)
            await ports.journal.append(Entry.event(seen, tenant=caller.tenant, agent=caller.agent))
        raise
