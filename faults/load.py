"""Calls through the gateway at a steady rate, each with a number of its own, and what became of each."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from bench.load_client import Connection, Job, request

ANSWER_SECONDS = 30.0
Say = Callable[[int], tuple[str, dict[str, Any]]]
"""The tool and the arguments of the call with a number."""


@dataclass
class Heard:
    """What the callers heard.

    Attributes:
        offered: calls that were sent.
        acknowledged: the calls that were answered with a result, and after how many seconds.
        refused: the other answers, by code; also `no_answer` and `connection`.
        surplus: answers that nobody waited for, or to another call.
        answered_at: when results came, monotonic seconds.
        fault_s: how long the fault lasted, seconds.
        sending: when sending began and ended, monotonic seconds, where somebody sent.
        waits: seconds that any call waited for its answer, whatever it was.
    """

    offered: int = 0
    acknowledged: dict[int, float] = field(default_factory=dict[int, float])
    refused: Counter[str] = field(default_factory=Counter[str])
    surplus: int = 0
    answered_at: list[float] = field(default_factory=list[float])
    fault_s: float = 0.0
    sending: list[float] = field(default_factory=list[float])
    waits: list[float] = field(default_factory=list[float])

    @property
    def outage(self) -> float:
        """Longest time without a result while calls were sent, seconds."""
        at = sorted([*self.sending, *self.answered_at])
        return max((later - earlier for earlier, later in pairwise(at)), default=0.0)


class _Counting(Connection):
    def __init__(self, heard: Heard) -> None:
        super().__init__()
        self._heard = heard

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self._heard.surplus += 1
        else:
            super().data_received(data)


class Load:
    """Callers that do not wait for one another: each call is sent when its time has come, on a free connection.

    Args:
        url: of the gateway.
        token: whose calls these are.
        rate: calls a second.
        say: what is called.
    """

    def __init__(self, url: str, token: str, rate: float, say: Say) -> None:
        host, port = url.split("/")[2].split(":")
        self._job = Job(host, int(port), "/mcp", [], 0, 0, token=token)
        self._rate = rate
        self._say = say
        self._free: list[_Counting] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self.heard = Heard()

    def start(self) -> None:
        """Begin to send."""
        self._sender = asyncio.create_task(self._send())

    async def stop(self) -> Heard:
        """Send no more, and wait for the answers to what was sent."""
        self._stopped.set()
        assert self._sender is not None
        await self._sender
        await asyncio.gather(*self._calls)
        await asyncio.sleep(0.2)  # for an answer that should not come
        for connection in self._free:
            connection.close()
        return self.heard

    async def _send(self) -> None:
        begun = time.monotonic()
        self.heard.sending.append(begun)
        while not self._stopped.is_set():
            self.heard.offered += 1
            task = asyncio.create_task(self._call(self.heard.offered))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            await asyncio.sleep(max(begun + self.heard.offered / self._rate - time.monotonic(), 0))
        self.heard.sending.append(time.monotonic())

    async def _call(self, number: int) -> None:
        tool, arguments = self._say(number)
        sent = time.monotonic()
        try:
            code = await asyncio.wait_for(self._ask(number, tool, arguments), ANSWER_SECONDS)
        except TimeoutError:
            code = "no_answer"
        except OSError:
            code = "connection"
        now = time.monotonic()
        self.heard.waits.append(now - sent)
        if code:
            self.heard.refused[code] += 1
        else:
            self.heard.acknowledged[number] = now - sent
            self.heard.answered_at.append(now)

    async def _ask(self, number: int, tool: str, arguments: dict[str, Any]) -> str:
        connection = self._free.pop() if self._free else await self._connect()
        body = request(self._job, "tools/call", {"name": tool, "arguments": arguments}, number=number)
        answered = False
        try:
            status, text = await connection.send(body)
            answered = True
        finally:
            if answered:
                self._free.append(connection)
            else:
                connection.close()
        return self._code(number, status, json.loads(text or b"{}"))

    async def _connect(self) -> _Counting:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: _Counting(self.heard), self._job.host, self._job.port))[1]

    def _code(self, number: int, status: int, answer: dict[str, Any]) -> str:
        if "id" in answer and answer["id"] not in (number, None):
            self.heard.surplus += 1
        result = answer.get("result")
        if result is not None and not result.get("isError"):
            return ""
        about: dict[str, Any] = result.get("_meta", {}) if result else answer.get("error", {}).get("data") or {}
        return str(about.get("cenoby/error", answer).get("code") or f"http_{status}")
