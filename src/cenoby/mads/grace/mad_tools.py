"""Grace's tools for the life of MADs: pause, resume, restart, kill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypedDict

from pydantic import Field

from cenoby.colony.errors import CallInvalid
from cenoby.colony.home import require_home
from cenoby.colony.invocation import Call
from cenoby.colony.supervisor import MadState, Supervisor
from cenoby.colony.tool import tool
from cenoby.kernel.envelope import Priority

MadName = Annotated[str, Field(description="Name of the MAD.", min_length=1, max_length=63)]
Why = Annotated[str, Field(description="Why; the journal and refused callers get it.", min_length=1, max_length=500)]


class Standing(TypedDict):
    """How a MAD stands, for `status`."""

    state: str
    reason: str
    restarts: int


@dataclass(frozen=True, slots=True)
class MadLifeView:
    mad: str
    state: str
    """running, paused, restarting, killed or failed."""
    reason: str
    restarts: int
    """How often it was made anew since the colony started."""


class MadTools:
    """The part of Grace that moves MADs; she never stops herself, or nobody could start anything again."""

    _supervisor: Supervisor

    def standing(self, mad: str) -> Standing:
        """How a MAD stands."""
        state, reason, restarts = self._supervisor.state(mad)
        return {"state": str(state), "reason": reason, "restarts": restarts}

    @tool("colony:admin", effect="writes", idempotent=True, title="Pause a MAD", priority=Priority.SYSTEM)
    async def pause_mad(self, call: Call, mad: MadName, reason: Why) -> MadLifeView:
        """Let the calls of a MAD wait in its mailbox until it is resumed; those under way go on."""
        require_home(call)
        await self._supervisor.pause(_other(mad), f"{reason} ({call.principal.agent})")
        return self._view(mad)

    @tool("colony:admin", effect="writes", idempotent=True, title="Resume a MAD", priority=Priority.SYSTEM)
    async def resume_mad(self, call: Call, mad: MadName) -> MadLifeView:
        """Serve the calls of a paused MAD again, those that waited first."""
        require_home(call)
        if self._supervisor.state(_other(mad))[0] is not MadState.RUNNING:
            await self._supervisor.resume(mad)
        return self._view(mad)

    @tool("colony:admin", effect="writes", title="Restart a MAD", timeout=60, priority=Priority.SYSTEM)
    async def restart_mad(self, call: Call, mad: MadName, reason: Why) -> MadLifeView:
        """Make a MAD anew, also one that was killed or failed; its calls wait meanwhile and are served then."""
        require_home(call)
        await self._supervisor.restart(_other(mad), f"{reason} ({call.principal.agent})")
        return self._view(mad)

    @tool("colony:admin", effect="writes", idempotent=True, title="Kill a MAD", timeout=60, priority=Priority.SYSTEM)
    async def kill_mad(self, call: Call, mad: MadName, reason: Why) -> MadLifeView:
        """Stop a MAD at once: its calls end, and its tools refuse with the reason until it is restarted."""
        require_home(call)
        await self._supervisor.kill(_other(mad), f"{reason} ({call.principal.agent})")
        return self._view(mad)

    def _view(self, mad: str) -> MadLifeView:
        return MadLifeView(mad, **self.standing(mad))


def _other(mad: str) -> str:
    if mad == "grace":
        raise CallInvalid("arguments_invalid", "Grace does not stop herself; stop the colony, or restart other MADs.")
    return mad
