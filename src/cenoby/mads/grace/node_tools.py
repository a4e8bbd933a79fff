"""Grace's tools for nodes: who is enrolled, who is there, and moving MADs between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from cenoby.access.enrolment import Enrolment, NodeInfo
from cenoby.colony.errors import CallInvalid
from cenoby.colony.home import require_home
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.nodes.handover import Handover
from cenoby.colony.nodes.members import Member, Members
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.kernel.envelope import Priority
from cenoby.mads.grace.events import NodeEnrolled, NodeRevoked
from cenoby.mads.grace.mad_tools import MadName
from cenoby.mads.grace.views import About

NodeName = Annotated[str, Field(description="Name of the node.", min_length=1, max_length=63)]
PublicKey = Annotated[str, Field(description="Its public key, `ed25519:` and base64.", max_length=100)]


@dataclass(frozen=True, slots=True)
class Nodes:
    """What Grace needs for nodes: who is enrolled; and, where there can be several, who is there and how MADs move."""

    enrolment: Enrolment
    members: Members | None
    handover: Handover | None
    one_process: Callable[[], CallInvalid]


@dataclass(frozen=True, slots=True)
class NodeMad:
    name: str
    state: str
    running: int
    waiting: int
    refused: int


@dataclass(frozen=True, slots=True)
class NodeView:
    name: str
    state: str
    """here, there, away (enrolled, and not there), revoked, or unknown (there, and not enrolled)."""
    version: str
    enrolled: str
    enrolled_by: str
    public_key: str
    mads: list[str]
    mailboxes: list[NodeMad]
    open_circuits: list[str]
    lag_ms: float
    silent_seconds: float
    """Seconds since its last heartbeat; 0 where it is not there."""


@dataclass(frozen=True, slots=True)
class NodeList:
    nodes: list[NodeView]


@dataclass(frozen=True, slots=True)
class Moved:
    mad: str
    node: str
    """Where it runs now."""
    taken_from: list[str]


@dataclass(frozen=True, slots=True)
class Drained:
    node: str
    mads: list[str]


class NodeTools:
    """The part of Grace that knows of nodes."""

    _about: About
    _host: Host
    _nodes: Nodes

    async def node_views(self) -> list[NodeView]:
        """All nodes that are enrolled or there, by name."""
        enrolled = {one.name: one for one in await self._nodes.enrolment.list_nodes()}
        members = {one.name: one for one in self._nodes.members.members} if self._nodes.members else {}
        names = sorted({*enrolled, *members, self._about.node})
        return [self._node_view(name, enrolled.get(name), members.get(name)) for name in names]

    @tool("colony:read", effect="reads", title="List nodes", priority=Priority.SYSTEM)
    async def list_nodes(self, call: Call) -> NodeList:
        """List the colony's nodes: enrolled or not, there or not, what each hosts and how busy it is."""
        del call
        return NodeList(await self.node_views())

    @tool("colony:admin", effect="writes", idempotent=True, title="Enroll a node", priority=Priority.SYSTEM)
    async def enroll_node(self, call: Call, node: NodeName, public_key: PublicKey) -> NodeView:
        """Believe what a node signs from now on, so that it may host MADs and serve calls."""
        require_home(call)
        info = await self._nodes.enrolment.enroll(node, public_key, call.principal.agent)
        await call.note(NodeEnrolled(node=node, public_key=info.public_key))
        return self._node_view(node, info, None)

    @tool("colony:admin", effect="writes", idempotent=True, title="Revoke a node", priority=Priority.SYSTEM)
    async def revoke_node(self, call: Call, node: NodeName) -> NodeView:
        """Believe a node no more; every other node refuses it within a second."""
        require_home(call)
        info = await self._nodes.enrolment.revoke(node)
        await call.note(NodeRevoked(node=node, public_key=info.public_key))
        return self._node_view(node, info, None)

    @tool("colony:admin", effect="writes", title="Split a MAD off", timeout=120, priority=Priority.SYSTEM)
    async def split_mad(self, call: Call, mad: MadName) -> Moved:
        """Move a MAD into a process of its own on this machine, while its calls go on."""
        require_home(call)
        return Moved(mad, await self._handover().split(mad, call.principal.agent), [self._about.node])

    @tool("colony:admin", effect="writes", title="Merge a MAD back", timeout=120, priority=Priority.SYSTEM)
    async def merge_mad(self, call: Call, mad: MadName) -> Moved:
        """Take a MAD back from other nodes into this process, while its calls go on."""
        require_home(call)
        return Moved(mad, self._about.node, [*await self._handover().merge(mad, call.principal.agent)])

    @tool("colony:admin", effect="writes", title="Drain a node", timeout=120, priority=Priority.SYSTEM)
    async def drain_node(self, call: Call, node: NodeName) -> Drained:
        """Have another node leave its MADs to the others and end, once what it has under way is done."""
        require_home(call)
        return Drained(node, [*await self._handover().drain(node, call.principal.agent)])

    def _handover(self) -> Handover:
        if self._nodes.handover is None:
            raise self._nodes.one_process()
        return self._nodes.handover

    def _node_view(self, name: str, info: NodeInfo | None, member: Member | None) -> NodeView:
        view = NodeView(
            name=name,
            state="here" if name == self._about.node else _state(info, member),
            version=self._about.version if name == self._about.node else "",
            enrolled=iso_time(info.enrolled_ns) if info is not None else "",
            enrolled_by=info.enrolled_by if info is not None else "",
            public_key=info.public_key if info is not None else "",
            mads=self._host.own_mads if name == self._about.node else [],
            mailboxes=[],
            open_circuits=[],
            lag_ms=0.0,
            silent_seconds=0.0,
        )
        if member is None or self._nodes.members is None:
            return view
        alive, silent = member.alive, self._nodes.members.silent_seconds(member)
        loads = sorted(alive.mads.items())
        return replace(
            view,
            version=alive.version,
            mads=[mad for mad, _ in loads],
            mailboxes=[NodeMad(mad, load.state, load.running, load.waiting, load.refused) for mad, load in loads],
            open_circuits=[*alive.open_circuits],
            lag_ms=alive.lag_ms,
            silent_seconds=round(silent, 1),
        )


def _state(info: NodeInfo | None, member: Member | None) -> str:
    if info is None:
        return "unknown"
    return "revoked" if info.revoked_ns is not None else "away" if member is None else "there"
