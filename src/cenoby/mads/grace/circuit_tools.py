"""Grace's tools for circuit breakers: what is left alone, and a person's hand on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.colony.breaker import Breaker, Breakers, BreakerView, CircuitState
from cenoby.colony.errors import CallInvalid
from cenoby.colony.home import is_home, require_home
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.kernel.envelope import Priority

CircuitName = Annotated[
    str, Field(description="What it guards: `mad:<name>` for a MAD, or a name from list_circuits.", max_length=2100)
]


@dataclass(frozen=True, slots=True)
class CircuitView:
    name: str
    state: str
    """closed, open or half_open."""
    reason: str
    failures: int
    """Faults in a row."""
    since: str
    retry_after: float | None
    """Seconds until the next probe; null where it is closed, or held open by a person."""


@dataclass(frozen=True, slots=True)
class CircuitList:
    circuits: list[CircuitView]


class CircuitTools:
    """The part of Grace that shows and moves circuit breakers."""

    _breakers: Breakers
    _host: Host

    def circuits(self, call: Call | None = None) -> list[CircuitView]:
        """Those that are not closed; those that a caller may see, where there is one."""
        views = [one for one in self._breakers.views() if one.state is not CircuitState.CLOSED]
        return [_view(one) for one in views if call is None or _shows(call, one)]

    def circuit_count(self) -> int:
        """How many there are."""
        return len(self._breakers.views())

    @tool("colony:read", effect="reads", title="List circuits", priority=Priority.SYSTEM)
    async def list_circuits(self, call: Call) -> CircuitList:
        """Show every circuit breaker: which MADs and servers are left alone because they keep failing, and why."""
        return CircuitList([_view(one) for one in self._breakers.views() if _shows(call, one)])

    @tool("colony:admin", effect="writes", idempotent=True, title="Open a circuit", priority=Priority.SYSTEM)
    async def open_circuit(
        self,
        call: Call,
        circuit: CircuitName,
        reason: Annotated[str, Field(description="Why; callers are told.", min_length=1, max_length=500)],
    ) -> CircuitView:
        """Keep all calls away from a MAD or a server until somebody closes the circuit again."""
        require_home(call)
        breaker = self._known(circuit)
        breaker.hold_open(f"{reason} ({call.principal.agent})")
        return _view(breaker.view())

    @tool("colony:admin", effect="writes", idempotent=True, title="Close a circuit", priority=Priority.SYSTEM)
    async def close_circuit(self, call: Call, circuit: CircuitName) -> CircuitView:
        """Let calls through again, whatever happened before."""
        require_home(call)
        breaker = self._known(circuit)
        breaker.reset()
        return _view(breaker.view())

    def _known(self, circuit: str) -> Breaker:
        names = {one.name for one in self._breakers.views()} | {f"mad:{name}" for name in self._host.mad_names}
        if circuit not in names:
            raise CallInvalid("arguments_invalid", f"There is no circuit {circuit!r}; there are {sorted(names)}.")
        return self._breakers.of(circuit)


def _view(one: BreakerView) -> CircuitView:
    return CircuitView(one.name, str(one.state), one.reason, one.failures, iso_time(one.since_ns), one.retry_after)


def _shows(call: Call, one: BreakerView) -> bool:
    # A host's name says whom somebody asked; a MAD is everybody's.
    return is_home(call) or one.name.startswith("mad:")
