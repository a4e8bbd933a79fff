"""One signed question to another node, and its signed answer."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from cenoby.bus.contract import BusUnavailable, MessageBus
from cenoby.colony.nodes.seals import Seals
from cenoby.kernel.events import BusEvent

T = TypeVar("T")


async def ask(bus: MessageBus, seals: Seals, subject: str, question: BusEvent, as_type: type[T], seconds: float) -> T:
    """What whoever takes `subject` answers.

    The wait is counted here alone: a deadline in the envelope would be compared with the clock of the other machine.

    Raises:
        CenobyError: nobody answers within `seconds`, or refuses, or an answer is not signed.
    """
    request = seals.seal(subject, question)
    try:
        async with asyncio.timeout(seconds):
            answer = await bus.request(request)
    except TimeoutError:
        text = f"No answer from {subject} within {seconds:g} s; try again."
        raise BusUnavailable("bus_deadline", text, retry_after=1.0) from None
    return (await seals.open_answer(request, answer, as_type))[1]
