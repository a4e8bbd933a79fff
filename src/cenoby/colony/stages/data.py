"""How a call's data meets the rules of `dlp`; no stage, but what two of them do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.kernel.settings_dlp import Direction
from cenoby.protection.dlp.canaries import Canary
from cenoby.protection.dlp.guard import DataRefused, Judged
from cenoby.protection.dlp.token_store import TokenMaker
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
    """What may go on of arguments or a result; None where all of it may. Values for which it put tokens are kept.

    Raises:
        DataRefused, DataWithheld: as `DataGuard.judge`. That a canary was seen is journalled first.
        StoreUnavailable: a value could not be kept.
    """
    caller = invocation.caller
    maker: TokenMaker | None = None
    if ports.tokens is not None and ports.data.tokenises(direction, caller.tenant, places):
        maker = await ports.tokens.maker(caller.tenant, invocation.conversation or invocation.correlation)
    try:
        judged = ports.data.judge(direction, caller.tenant, places, value, maker)
    except DataRefused as error:
        if error.code == "canary_seen":
            await ports.journal.append(*_sightings(invocation, direction, error.canaries))
        raise
    if maker is not None and maker.made and ports.tokens is not None:
        await ports.tokens.keep(caller.tenant, maker.made.values(), made_by=caller.agent)
        if direction != "out":
            # The caller has these values, so that an answer may tell them to the caller again.
            invocation.tokens.update({token: one.value for token, one in maker.made.items()})
    return judged


def _sightings(invocation: Invocation, direction: Direction, canaries: Sequence[Canary]) -> list[Entry]:
    caller, tool, made = invocation.caller, invocation.target.name, list[Entry]()
    own = [one.label for one in canaries if one.tenant in ("", caller.tenant)]
    for label in own or [""]:
        seen = CanarySeen(tool=tool, direction=direction, invocation=invocation.id, canary=label)
        made.append(Entry.event(seen, tenant=caller.tenant, agent=caller.agent))
    for one in canaries:
        if one.tenant not in ("", caller.tenant):
            # Who of another tenant had it is nothing that the owner may know.
            seen = CanarySeen(tool=tool, direction=direction, invocation="", canary=one.label)
            made.append(Entry.event(seen, tenant=one.tenant))
    return made
