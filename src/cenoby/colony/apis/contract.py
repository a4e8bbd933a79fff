"""Whether an API as it is now keeps what a document of it promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cenoby.colony.apis.document import ApiDocument, ApiTool
from cenoby.colony.apis.schemas import beyond


def broken_promises(promised: ApiDocument, now: ApiDocument) -> list[str]:
    """What was promised and does not hold, each with its place; empty where all that was built on it goes on working.

    Whoever uses a part alone leaves the other tools and events out of `promised`.

    Args:
        promised: the document that a consumer, or the provider's own repository, keeps.
        now: what is published now.
    """
    if (promised.api, promised.version) != (now.api, now.version):
        return [f"the document is of {promised.api} v{promised.version}, and not of {now.api} v{now.version}"]
    return list(_broken(promised, now))


def _broken(promised: ApiDocument, now: ApiDocument) -> Iterator[str]:
    if promised.until is not None and now.until is not None and now.until < promised.until:
        yield f"it ends on {now.until}, and {promised.until} was promised"
    for name, tool in sorted(promised.tools.items()):
        if name not in now.tools:
            yield f"tool {name}: is gone"
        else:
            yield from (f"tool {name}: {problem}" for problem in _broken_tool(tool, now.tools[name]))
    for tag, shape in sorted(promised.events.items()):
        if tag not in now.events:
            yield f"event {tag}: is gone"
        else:
            yield from (f"event {tag} as it is now: {problem}" for problem in beyond(now.events[tag], shape))


def _broken_tool(promised: ApiTool, now: ApiTool) -> Iterator[str]:
    yield from (f"input as promised: {problem}" for problem in beyond(promised.input, now.input))
    yield from _broken_output(promised.output, now.output)
    if promised.effect == "reads" and now.effect != "reads":
        yield f"only read, and {now.effect} now"
    if promised.idempotent and not now.idempotent:
        yield "could be repeated without harm, and cannot any more"
    if now.priced and not promised.priced:
        yield "was free, and has a price now"
    if now.waits and not promised.waits:
        yield "answered at once, and waits for news now"


def _broken_output(promised: dict[str, Any] | None, now: dict[str, Any] | None) -> Iterator[str]:
    if promised is not None and now is not None:
        yield from (f"output as it is now: {problem}" for problem in beyond(now, promised))
    elif promised is not None or now is not None:
        was, is_now = ("structured", "content blocks") if now is None else ("content blocks", "structured")
        yield f"the output was {was}, and is {is_now} now"
