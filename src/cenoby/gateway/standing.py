"""Requests that stand: they wait for news, for as long as their client likes and their token holds."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from cenoby.access.principals import Principal
from cenoby.access.tokens import Identities
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.pipeline import Pipeline
from cenoby.gateway.call_requests import METHOD
from cenoby.gateway.catalogue import Catalogue
from cenoby.gateway.intake import BodyInvalid
from cenoby.kernel.errors import CenobyError

MOST_BYTES = 64 * 1024
"""Largest body of a request that opens something that stays, because what it says stays in memory as long."""

LISTEN = "subscriptions/listen"
INITIALIZE = "initialize"


class Standing:
    """Knows which requests stand, and ends those whose token lapses.

    Args:
        pipeline: what every call passes.
        identities: tell when a token lapses.
        catalogue: knows which tools wait for news.
    """

    def __init__(self, pipeline: Pipeline, identities: Identities, catalogue: Catalogue) -> None:
        self._pipeline = pipeline
        self._identities = identities
        self._catalogue = catalogue

    def stands(self, method: str, tool: str) -> bool:
        """Whether a request is one: a listener, or a call of a tool that waits for news."""
        return method == LISTEN or (method == METHOD and self._catalogue.waits(tool))

    async def run(self, principal: Principal, tool: str, invocation: Invocation) -> Outcome:
        """Take a call through the pipeline. One that waits for news is cancelled and refused when its token lapses.

        Args:
            principal: who calls.
            tool: name of the tool, in either spelling.
            invocation: the call.
        """
        if not self._catalogue.waits(tool):
            return await self._pipeline.run(invocation)
        task, problems = asyncio.current_task(), list[CenobyError]()
        assert task is not None, "requests are served in tasks"

        def lapsed(problem: CenobyError) -> None:
            problems.append(problem)
            task.cancel()

        with self._identities.hold(principal, lapsed):
            try:
                return await self._pipeline.run(invocation)
            except asyncio.CancelledError:
                if not problems or task.uncancel():
                    raise
                return Outcome.failed(problems[0], began=True)


def named_by(document: Any) -> tuple[str, str]:
    """Method and tool that a JSON-RPC request names; empty where it names none, or is none."""
    if not isinstance(document, dict):
        return "", ""
    request = cast(dict[str, Any], document)
    method, params = request.get("method"), request.get("params")
    tool = cast(dict[str, Any], params).get("name") if isinstance(params, dict) else None
    return method if isinstance(method, str) else "", tool if isinstance(tool, str) else ""


def check_opening(method: str, size: int) -> None:
    """Pass if a request that opens something that stays is small.

    Args:
        method: its method.
        size: bytes of its body.

    Raises:
        BodyInvalid: `opening_too_large`.
    """
    if size > MOST_BYTES:
        raise BodyInvalid(
            "opening_too_large",
            f"A {method} that opens a session, a stream or a watch may have {MOST_BYTES} bytes; this one has {size}.",
        )
