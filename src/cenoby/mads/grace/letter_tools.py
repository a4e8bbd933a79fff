"""Grace's tools for dead letters: work that was tried and given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from pydantic import Field

from cenoby.bus.work import DeadLetter, WorkQueue
from cenoby.colony.errors import CallInvalid
from cenoby.colony.home import require_home
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time

LetterId = Annotated[str, Field(description="Id of the letter, from list_dead_letters.", min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True)
class LetterView:
    id: str
    queue: str
    event: str
    sender: str
    payload: Any
    deliveries: int
    """How often it was tried."""
    error: str
    """What the last try met, with its traceback."""
    died: str


@dataclass(frozen=True, slots=True)
class LetterList:
    letters: list[LetterView]


@dataclass(frozen=True, slots=True)
class LetterDone:
    id: str


class LetterTools:
    """The part of Grace that handles dead letters."""

    _work: WorkQueue

    @tool("colony:admin", effect="reads", title="List dead letters")
    async def list_dead_letters(
        self,
        call: Call,
        queue: Annotated[str, Field(description="Only of this queue.", max_length=200)] = "",
        limit: Annotated[int, Field(ge=1, le=1000, description="Most letters to return.")] = 100,
    ) -> LetterList:
        """Show work that was tried and given up, newest first, with what the last try met."""
        require_home(call)
        found = await self._work.dead_letters(queue, limit=limit)
        return LetterList([_view(one) for one in found if one.envelope.tenant in ("", call.principal.tenant)])

    @tool("colony:admin", effect="writes", title="Retry a dead letter")
    async def retry_dead_letter(self, call: Call, letter: LetterId) -> LetterDone:
        """Put a dead letter back into its queue with all its tries."""
        require_home(call)
        if not await self._work.retry(letter):
            raise _unknown(letter)
        return LetterDone(letter)

    @tool("colony:admin", effect="writes", title="Drop a dead letter")
    async def drop_dead_letter(self, call: Call, letter: LetterId) -> LetterDone:
        """Forget a dead letter; its work is never done."""
        require_home(call)
        if not await self._work.drop(letter):
            raise _unknown(letter)
        return LetterDone(letter)


def _unknown(letter: str) -> CallInvalid:
    return CallInvalid("arguments_invalid", f"There is no dead letter {letter!r}; list_dead_letters shows them.")


def _view(one: DeadLetter) -> LetterView:
    return LetterView(
        id=one.id,
        queue=one.queue,
        event=one.envelope.event,
        sender=one.envelope.sender,
        payload=msgspec.to_builtins(one.envelope.payload),
        deliveries=one.deliveries,
        error=one.error,
        died=iso_time(one.died_ns),
    )
