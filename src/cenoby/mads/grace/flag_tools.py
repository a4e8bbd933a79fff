"""Grace's tools for feature flags: for whom a MAD or a tool is switched on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.access.flags import Flag, Flags
from cenoby.colony.errors import CallInvalid
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.mads.grace.events import FlagRemoved, FlagSet

FlagName = Annotated[
    str, Field(description="`mads.<mad>` for all its tools, or a tool's canonical name.", min_length=1, max_length=64)
]


@dataclass(frozen=True, slots=True)
class FlagView:
    name: str
    percentage: int
    agents: list[str]
    reason: str
    set_by: str
    set: str


@dataclass(frozen=True, slots=True)
class FlagList:
    flags: list[FlagView]


class FlagTools:
    """The part of Grace that shows and sets feature flags; her own tools have none, or nobody could mend a mistake."""

    _flags: Flags
    _host: Host

    @tool("colony:read", effect="reads", title="List feature flags")
    async def list_flags(self, call: Call) -> FlagList:
        """Show which MADs and tools are switched on for whom; what has no flag is on for everybody."""
        return FlagList([_view(flag) for flag in self._flags.list(call.principal.tenant)])

    @tool("colony:admin", effect="writes", idempotent=True, title="Set a feature flag")
    async def set_flag(
        self,
        call: Call,
        flag: FlagName,
        percentage: Annotated[int, Field(ge=0, le=100, description="Share of the agents for which it is on.")],
        reason: Annotated[str, Field(description="Why; who is refused is told.", min_length=1, max_length=500)],
        agents: Annotated[
            list[Annotated[str, Field(pattern=r"^\S{1,63}$")]],
            Field(description="Agents for which it is on in any case.", max_length=200),
        ] = [],  # noqa: B006 - only read
    ) -> FlagView:
        """Switch a MAD or a tool on for a share of the agents, and for some of them by name."""
        names = {f"mads.{mad}" for mad in self._host.mad_names} | {one.name for one in self._host.tools}
        if flag not in names:
            raise CallInvalid("arguments_invalid", f"{flag!r} is neither mads.<mad> nor a tool; list the tools.")
        if flag == "mads.grace" or flag.startswith("mads.grace."):
            raise CallInvalid("arguments_invalid", "Grace's tools have no flags, or nobody could take one back.")
        put = await self._flags.put(flag, call.principal, percentage=percentage, agents=agents, reason=reason)
        await call.note(FlagSet(flag=flag, percentage=percentage, agents=tuple(agents), notes=reason))
        return _view(put)

    @tool("colony:admin", effect="writes", title="Remove a feature flag")
    async def remove_flag(self, call: Call, flag: FlagName) -> FlagList:
        """Switch it on for everybody again; returns the flags that are left."""
        if not await self._flags.remove(flag, call.principal):
            raise CallInvalid("arguments_invalid", f"There is no flag {flag!r}; list_flags shows them.")
        await call.note(FlagRemoved(flag=flag))
        return await self.list_flags(call)


def _view(flag: Flag) -> FlagView:
    return FlagView(flag.name, flag.percentage, list(flag.agents), flag.reason, flag.set_by, iso_time(flag.set_ns))
