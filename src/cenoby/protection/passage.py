"""One request on its way through the circuit of the server that it goes to."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from cenoby.protection.circuits import Circuit
from cenoby.protection.egress_answer import EgressFailed


class Passage:
    """One request on its way through a circuit, which is told at the end whether the server is at fault.

    Args:
        limit: the caller's deadline.
        timely: the caller gave the server so much time that a timeout is the server's fault.
        circuit: entered already; None where `enter` comes later, or never.
    """

    def __init__(self, limit: asyncio.Timeout, timely: bool, circuit: Circuit | None = None) -> None:
        self._limit = limit
        self._timely = timely
        self.circuit = circuit
        self._status = 0

    def __enter__(self) -> Self:
        return self

    def enter(self, circuit: Circuit) -> None:
        circuit.enter()
        self.circuit = circuit

    def answered(self, status: int) -> None:
        self._status = status

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.circuit is None:
            return
        if fault := self._fault(error):
            self.circuit.failed(fault)
        elif error is None:
            self.circuit.succeeded()
        else:
            self.circuit.left()

    def _fault(self, error: BaseException | None) -> str:
        if self._status >= 500:
            return f"HTTP {self._status}"
        if isinstance(error, EgressFailed):
            return error.message
        if isinstance(error, asyncio.CancelledError) and self._limit.expired() and self._timely:
            return "no complete answer in time"
        return ""
