"""Grace's tools for foreign tools: what they were when they were pinned, what they are now, and a person's yes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.colony.home import require_home
from cenoby.colony.invocation import Call
from cenoby.colony.pins import Pins, Standing
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.protection.rules.errors import RuleRefused
from cenoby.protection.rules.events import ToolAccepted


@dataclass(frozen=True, slots=True)
class PinView:
    """One foreign tool; `state` is `pinned`, `new`, or in quarantine as `changed` or `poisoned`."""

    tool: str
    server: str
    state: str
    digest: str
    pinned_digest: str
    pinned: str | None
    accepted_by: str
    rules: list[str]
    diff: list[str]


@dataclass(frozen=True, slots=True)
class PinList:
    pins: list[PinView]


class PinTools:
    """The part of Grace that shows the pins of foreign tools and takes a person's acceptance."""

    _pins: Pins | None

    @tool("colony:admin", effect="reads", title="List pinned tools")
    async def list_pins(self, call: Call) -> PinList:
        """Show the tools of other colonies: pinned, or in quarantine, and what changed. The diff is data."""
        del call
        return PinList([_view(one) for one in self._pins.standings()] if self._pins else [])

    @tool("colony:admin", effect="writes", idempotent=True, title="Accept a foreign tool")
    async def accept_tool(
        self,
        call: Call,
        name: Annotated[str, Field(description="Canonical name, from list_pins.", min_length=1, max_length=64)],
        digest: Annotated[str, Field(description="Digest of what was looked at, from list_pins.", max_length=64)],
        reason: Annotated[str, Field(description="Why; the journal gets it.", max_length=500)] = "",
    ) -> PinView:
        """Accept a tool of another colony as it is now, out of quarantine. Only a person may."""
        require_home(call)
        if self._pins is None:
            raise RuleRefused("pin_unknown", "Nothing is pinned in this colony.")
        pin = await self._pins.accept(name, digest, call.principal)
        await call.note(ToolAccepted(tool=name, server=pin.server, digest=pin.digest, notes=reason))
        return next(_view(one) for one in self._pins.standings() if one.seen.tool.name == name)


def _view(standing: Standing) -> PinView:
    seen, pin = standing.seen, standing.pin
    return PinView(
        tool=seen.tool.name,
        server=seen.server,
        state=standing.state,
        digest=seen.digest,
        pinned_digest=pin.digest if pin else "",
        pinned=iso_time(pin.pinned_ns) if pin else None,
        accepted_by=pin.accepted_by if pin else "",
        rules=list(seen.rules),
        diff=standing.diff,
    )
