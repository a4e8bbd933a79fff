"""Grace's tools for kill switches: stop an agent, a MAD, a tool, a tenant or all of it, on every node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.access.kills import SWITCH, Kills, KillSwitch, Scope
from cenoby.access.tokens import Identities
from cenoby.colony.errors import CallInvalid
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.kernel.envelope import Priority
from cenoby.mads.grace.events import KillSwitchLifted, KillSwitchThrown

What = Annotated[Scope, Field(description="What is stopped.")]
Name = Annotated[
    str, Field(description="Of the agent, MAD, tool (canonical name) or tenant; empty for all.", max_length=64)
]


@dataclass(frozen=True, slots=True)
class KillView:
    scope: str
    name: str
    """Empty for all."""
    tenant: str
    """For whose callers it holds; empty for all tenants."""
    reason: str
    set_by: str
    set: str


@dataclass(frozen=True, slots=True)
class KillList:
    switches: list[KillView]


class KillTools:
    """The part of Grace that throws and lifts kill switches; people may always reach these tools."""

    _kills: Kills
    _host: Host
    _identities: Identities

    @tool("colony:read", effect="reads", title="List kill switches", priority=Priority.SYSTEM)
    async def list_kill_switches(self, call: Call) -> KillList:
        """Show what is stopped, by whom and why, the newest first."""
        return KillList([_view(one) for one in self._kills.list(call.principal.tenant)])

    @tool(SWITCH, effect="writes", idempotent=True, title="Throw a kill switch", priority=Priority.SYSTEM)
    async def throw_kill_switch(
        self,
        call: Call,
        scope: What,
        reason: Annotated[str, Field(description="Why; who is refused is told.", min_length=1, max_length=500)],
        name: Name = "",
    ) -> KillView:
        """Stop an agent, a MAD, a tool, a tenant or all of it, on every node; calls at work are cut off."""
        self._require_name(call, scope, name)
        thrown = await self._kills.throw(call.principal, scope, name, reason)
        await call.note(KillSwitchThrown(scope=scope, name=name, notes=reason))
        return _view(thrown)

    @tool(SWITCH, effect="writes", idempotent=True, title="Lift a kill switch", priority=Priority.SYSTEM)
    async def lift_kill_switch(self, call: Call, scope: What, name: Name = "") -> KillList:
        """Let what a kill switch stopped go on; only a person may. Returns the switches that are left."""
        if not await self._kills.lift(call.principal, scope, name):
            raise CallInvalid(
                "arguments_invalid", f"No kill switch of yours stops {f'{scope} {name}'.strip()}; list them first."
            )
        await call.note(KillSwitchLifted(scope=scope, name=name))
        return await self.list_kill_switches(call)

    def _require_name(self, call: Call, scope: Scope, name: str) -> None:
        own = {one.name for one in self._identities.list_agents() if one.tenant == call.principal.tenant}
        tenants = {one.tenant for one in self._identities.list_agents()} | {call.principal.tenant}
        known = {
            # Every MAD acts under its own name.
            "agent": own | set(self._host.mad_names),
            "mad": set(self._host.mad_names),
            "tool": {one.name for one in self._host.tools},
            "tenant": tenants,
            "all": {""},
        }[scope]
        if name not in known:
            raise CallInvalid("arguments_invalid", f"There is no {scope} {name!r} here to stop; check its name.")


def _view(switch: KillSwitch) -> KillView:
    scope = "tenant" if switch.scope == "all" and switch.tenant else switch.scope
    name = switch.tenant if scope == "tenant" else switch.name
    return KillView(scope, name, switch.tenant, switch.reason, switch.set_by, iso_time(switch.set_ns))
