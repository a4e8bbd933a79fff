"""Grace's tools for evidence: how the log over the journal stands, signing it now, and sending that out now."""

from __future__ import annotations

from dataclasses import dataclass

from cenoby.colony.errors import CallInvalid
from cenoby.colony.home import require_home
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.kernel.envelope import Priority
from cenoby.protection.evidence.log import EvidenceLog
from cenoby.protection.evidence.publisher import Standing


@dataclass(frozen=True, slots=True)
class DestinationView:
    """How a place outside this machine stands: the last checkpoint that it took, and what keeps it from the newest."""

    name: str
    size: int
    published: str
    attempts: int
    problem: str


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """How the log stands: its leaves, those under the newest checkpoint, the keys that sign, where that went."""

    origin: str
    size: int
    signed: int
    made: str
    keys: list[str]
    checkpoint: str
    problem: str
    destinations: list[DestinationView]


class EvidenceTools:
    """The part of Grace that shows, signs and publishes the log."""

    _evidence: EvidenceLog | None

    @tool("journal:read", effect="reads", title="Status of the evidence")
    async def evidence_status(self, call: Call) -> EvidenceView:
        """Show the log of evidence: its size, the newest checkpoint, the keys that sign, where checkpoints went."""
        del call
        return await self._evidence_view()

    @tool("colony:admin", effect="writes", idempotent=True, title="Make a checkpoint", priority=Priority.SYSTEM)
    async def make_checkpoint(self, call: Call) -> EvidenceView:
        """Sign the log with every record that there is by now."""
        require_home(call)
        await self._log().checkpoint()
        return await self._evidence_view()

    @tool(
        "colony:admin",
        effect="writes",
        idempotent=True,
        title="Publish a checkpoint",
        priority=Priority.BULK,
        timeout=300,
    )
    async def publish_checkpoint(self, call: Call) -> EvidenceView:
        """Sign the log and send that to every destination now; the result says which took it."""
        require_home(call)
        await self._log().publish()
        return await self._evidence_view()

    def _log(self) -> EvidenceLog:
        if self._evidence is None:
            raise CallInvalid(
                "arguments_invalid", "This node keeps no log of evidence; ask at a gateway of the colony."
            )
        return self._evidence

    async def _evidence_view(self) -> EvidenceView:
        found = await self._log().view()
        return EvidenceView(
            origin=found.origin,
            size=found.size,
            signed=found.signed,
            made=iso_time(found.made_ns) if found.made_ns else "",
            keys=list(found.keys),
            checkpoint=found.note,
            problem=found.problem,
            destinations=[_destination(one) for one in found.destinations],
        )


def _destination(one: Standing) -> DestinationView:
    published = iso_time(one.published_ns) if one.published_ns else ""
    return DestinationView(one.name, one.size, published, one.attempts, one.problem)
