"""A subscriber that is slow costs itself: what it did not get is counted, and nobody else lost anything."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack

from cenoby.bus.connect import connect_bus
from cenoby.kernel.envelope import DEFAULT_TENANT, Envelope
from cenoby.kernel.ids import new_id
from faults.load import Heard
from faults.outcome import Outcome
from faults.process_cases import broker
from faults.stage import Room, enter, judged

SUBJECT = "faults.default.told"
PUBLISHED = 3000
RATE = 1500.0
SLOW_DEPTH = 64
SLOW_SECONDS = 0.02
_SETTLE_SECONDS = 20.0


async def slow_consumer(room: Room, kind: str) -> Outcome:
    """One subscriber takes 50 a second of 1,500, another keeps up; they are on connections of their own."""
    async with AsyncExitStack() as stack:
        url = "memory://" if kind == "memory" else (await enter(stack, broker(room, kind))).url
        sending = await connect_bus(url)
        stack.push_async_callback(sending.close)
        # In memory there is one bus, as there is one process.
        taking, slow_bus = (sending, sending) if kind == "memory" else (await connect_bus(url), await connect_bus(url))
        if kind != "memory":
            stack.push_async_callback(taking.close)
            stack.push_async_callback(slow_bus.close)
        heard, quick, slow = Heard(), Counter[int](), Counter[int]()

        async def keep_up(envelope: Envelope) -> None:
            quick[int(envelope.payload)] += 1
            heard.answered_at.append(time.monotonic())

        async def dawdle(envelope: Envelope) -> None:
            await asyncio.sleep(SLOW_SECONDS)
            slow[int(envelope.payload)] += 1

        await taking.subscribe(SUBJECT, keep_up, depth=PUBLISHED)
        slow_place = await slow_bus.subscribe(SUBJECT, dawdle, depth=SLOW_DEPTH)
        await asyncio.sleep(0.2)  # until the broker knows of both
        begun = time.monotonic()
        for number in range(PUBLISHED):
            await sending.publish(_envelope(number))
            heard.offered += 1
            heard.acknowledged[number] = 0.0
            await asyncio.sleep(max(begun + number / RATE - time.monotonic(), 0))
        deadline = time.monotonic() + _SETTLE_SECONDS
        while slow.total() + slow_place.dropped < PUBLISHED and time.monotonic() < deadline:  # noqa: ASYNC110 - a count
            await asyncio.sleep(0.05)
        problem = "" if slow_place.dropped else "the slow one lost nothing, so there was no fault"
        if slow.total() + slow_place.dropped != PUBLISHED:
            problem = f"the slow one got {slow.total()} and counted {slow_place.dropped} of {PUBLISHED} as dropped"
        heard.refused["dropped by the slow one"] = slow_place.dropped
        return judged(heard, quick, problem)


def _envelope(number: int) -> Envelope:
    return Envelope(
        id=new_id(),
        tenant=DEFAULT_TENANT,
        correlation="",
        sender="faults",
        recipient=SUBJECT,
        event="faults.told",
        payload=number,
    )
