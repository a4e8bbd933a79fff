"""Calls for later: durable work that is one tool call each, made by the MAD that put it, through the pipeline.

What is put outlasts this process. A call that fails is made again, later each time, and at last lies among the dead
letters with what it met; so only tools declared idempotent may be called this way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cenoby.access.principals import Principal
from cenoby.bus.contract import payload_as
from cenoby.bus.work import Worker, WorkQueue
from cenoby.colony.errors import CallInvalid
from cenoby.colony.events import DeferredCall
from cenoby.colony.host import Host
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.envelope import Envelope, Priority
from cenoby.kernel.events import tag_of
from cenoby.kernel.ids import new_id

_AT_ONCE = 4


class Deferred:
    """Takes calls for later, and makes them.

    Args:
        work: where they last.
        host: which tools there are.
        colony: the colony's name.
        run: the pipeline.
        principal: as whom a MAD calls.
    """

    def __init__(
        self,
        work: WorkQueue,
        host: Host,
        colony: str,
        run: Callable[[Invocation], Awaitable[Outcome]],
        principal: Callable[[str], Principal],
    ) -> None:
        self._work = work
        self._host = host
        self._queue = f"{colony}.deferred"
        self._run = run
        self._principal = principal
        self._worker: Worker | None = None

    async def start(self) -> None:
        """Begin to make what was put, also before this process began.

        Raises:
            BusUnavailable: the queue cannot be reached.
        """
        self._worker = await self._work.work(self._queue, self._make, concurrency=_AT_ONCE)

    async def stop(self) -> None:
        """Begin no more; what is under way and does not end in time is made again after the next start."""
        if self._worker is not None:
            await self._worker.close()

    async def put(self, mad: str, tool: str, arguments: Mapping[str, Any], *, key: str = "") -> str:
        """Have `tool` called by `mad`; durable when it returns. The call's id, under which a dead letter is found.

        Args:
            mad: who wants it.
            tool: canonical name of a tool that is declared idempotent.
            arguments: plain JSON types.
            key: an id of the caller's own; a second putting under it, within the queue's window, is not queued again.

        Raises:
            CallInvalid: there is no such tool, or doing it twice would not be the same as doing it once.
            BusUnavailable: it could not be made durable.
        """
        if not self._host.tool(tool).says.idempotent:
            raise CallInvalid("arguments_invalid", f"{tool} is not declared idempotent, so it cannot be called later.")
        identifier = key or new_id()
        envelope = Envelope(
            id=identifier,
            tenant=self._principal(mad).tenant,
            correlation=identifier,
            sender=mad,
            recipient=self._queue,
            event=tag_of(DeferredCall),
            payload=DeferredCall(tool, dict(arguments)),
            priority=Priority.BULK,
        )
        await self._work.put(envelope)
        return identifier

    async def _make(self, envelope: Envelope) -> None:
        wanted = payload_as(envelope, DeferredCall)
        principal = self._principal(envelope.sender)
        invocation = Invocation(
            wanted.tool, wanted.arguments, principal, correlation=envelope.correlation, causation=envelope.id
        )
        (await self._run(invocation)).unwrap()
