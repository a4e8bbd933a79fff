"""Moving a MAD from one node to another while calls go on.

A MAD may run on several nodes at once, so a move is an overlap: the new place takes calls before the old one stops
taking them, and the old one ends what it has. Nothing waits for a move, and nothing is lost by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from cenoby.colony.errors import CallInvalid, ColonyUnavailable
from cenoby.colony.events import MadMerged, MadSplit, NodeDrained
from cenoby.colony.host import Host
from cenoby.colony.mad import Mad
from cenoby.colony.nodes.answers import OrderTaken
from cenoby.colony.nodes.events import NodeOrder
from cenoby.colony.nodes.incoming import IncomingCalls
from cenoby.colony.nodes.members import Members
from cenoby.colony.supervisor import MadState, Supervisor
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.telemetry.logs import get_logger

_START_SECONDS = 60.0
_LEAVE_SECONDS = 30.0
_MARGIN_SECONDS = 1.0
_HEARD_SECONDS = 3.0
_log = get_logger("colony.handover")
T = TypeVar("T")


class Child(Protocol):
    """A node process that this one started."""

    @property
    def node(self) -> str:
        """Its name."""
        ...

    async def ended(self) -> int:
        """Wait until it ends; its exit code."""
        ...

    async def stop(self) -> None:
        """Have it end in good order, and make it end where it does not."""
        ...

    async def forget(self) -> None:
        """Believe its signature no more, and remove what it kept; it has ended."""
        ...


class Handover:
    """The moves of MADs that begin or end at this node.

    Args:
        node: this node's name.
        host, supervisor, members, incoming: what moves are made of.
        make: how a MAD of a name is made here.
        spawn: starts a process that hosts one MAD.
        note: journals an event.
        end: ends this process in good order; None for one that is more than a host of MADs.
    """

    def __init__(
        self,
        *,
        node: str,
        host: Host,
        supervisor: Supervisor,
        members: Members,
        incoming: IncomingCalls,
        make: Callable[[str], Callable[[], Mad]],
        spawn: Callable[[str], Awaitable[Child]],
        note: Callable[[Event], None],
        end: Callable[[], None] | None = None,
    ) -> None:
        self._node = node
        self._host = host
        self._supervisor = supervisor
        self._members = members
        self._incoming = incoming
        self._make = make
        self._spawn = spawn
        self._note = note
        self._end = end
        self._children: dict[str, tuple[Child, str]] = {}
        self._starting: set[Child] = set()
        self._hosted_once: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._moving = asyncio.Lock()
        self._stopping = False

    async def host(self, make: Callable[[], Mad]) -> str:
        """Host a MAD here, for this node's calls and those of others; its name.

        Raises:
            Exception: whatever making or starting it raised; nothing is hosted then.
        """
        name = await self._supervisor.start(make)
        self._hosted_once.add(name)
        await self._incoming.offer(name)
        self._members.tell()
        return name

    async def split(self, mad: str, by: str) -> str:
        """Move a MAD that runs here into a new process; the name of its node.

        Raises:
            CallInvalid: it does not run here, or must not move.
            ColonyUnavailable: `node_not_started`: its process did not come up; the MAD stayed.
        """
        if mad == "grace":
            raise CallInvalid("arguments_invalid", "Grace stays where she is: she is what moves the others.")
        return await self._to_its_end(self._split(mad, by))

    async def _split(self, mad: str, by: str) -> str:
        async with self._moving:
            if not self._host.hosts(mad) or self._supervisor.state(mad)[0] is not MadState.RUNNING:
                raise CallInvalid("arguments_invalid", f"{mad} does not run on {self._node}; see `cenoby status`.")
            child = await self._spawn(mad)
            self._starting.add(child)
            try:
                if not await self._comes_up(child, mad):
                    await child.stop()
                    await child.forget()
                    text = f"The process for {mad} did not come up; its log has the reason. {mad} stays here."
                    raise ColonyUnavailable("node_not_started", text)
            finally:
                self._starting.discard(child)
            self._watch(child, mad)
            await self._leave(mad)
            self._note(MadSplit(mad=mad, node=child.node, by=by))
        return child.node

    async def merge(self, mad: str, by: str) -> Sequence[str]:
        """Take a MAD back to this node from all others; their names.

        Raises:
            CallInvalid: no other node has it, or it runs here already.
            Exception: whatever making or starting it here raised; it stays where it is then.
        """
        return await self._to_its_end(self._merge(mad, by))

    async def _merge(self, mad: str, by: str) -> Sequence[str]:
        async with self._moving:
            nodes = self._members.hosts(mad)
            if self._host.hosts(mad):
                raise CallInvalid("arguments_invalid", f"{mad} runs on {self._node} already.")
            if mad not in self._host and mad not in self._hosted_once:
                raise CallInvalid("arguments_invalid", f"No node hosts {mad}; see `cenoby status`.")
            await self.host(self._make(mad))
            for node in nodes:
                await self._relieve(node, mad, by)
            self._note(MadMerged(mad=mad, nodes=tuple(nodes), by=by))
        return nodes

    async def drain(self, node: str, by: str) -> Sequence[str]:
        """Have another node leave all its MADs to others and end; those it had.

        Raises:
            CallInvalid: there is no such node, or nobody else has one of its MADs.
        """
        if node == self._node:
            raise CallInvalid("arguments_invalid", f"{node} is the node that serves this; stop it with SIGTERM.")
        member = next((one for one in self._members.members if one.name == node), None)
        if member is None:
            names = ", ".join(one.name for one in self._members.members) or "none"
            raise CallInvalid("arguments_invalid", f"There is no node {node!r} just now; others: {names}.")
        alone = [mad for mad in member.alive.mads if not self._host.hosts(mad) and self._members.hosts(mad) == [node]]
        if alone:
            raise CallInvalid(
                "arguments_invalid",
                f"Only {node} hosts {', '.join(alone)}; start another node with them first, or take them here with "
                f"`cenoby merge {alone[0]}`.",
            )
        taken = await self._members.order(node, [], by)
        self._note(NodeDrained(node=node, mads=tuple(taken), by=by))
        await self._members.wait_for(lambda: not self._members.lives(node), _LEAVE_SECONDS)
        return taken

    async def take(self, order: NodeOrder) -> OrderTaken:
        """Begin what another node ordered: leave some MADs, or all and end."""
        mads = [name for name in self._host.own_mads if not order.mads or name in order.mads]
        self._keep(self._obey(mads, ends=not order.mads))
        return OrderTaken(mads)

    async def stop(self) -> None:
        """End the processes that were started here."""
        self._stopping = True
        await asyncio.gather(
            *(child.stop() for child in [*self._starting, *(one for one, _ in self._children.values())])
        )
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=_MARGIN_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _comes_up(self, child: Child, mad: str) -> bool:
        died = asyncio.ensure_future(child.ended())
        up = asyncio.ensure_future(
            self._members.wait_for(
                lambda: child.node in self._members.hosts(mad) and mad in self._members.mads, _START_SECONDS
            )
        )
        await asyncio.wait({died, up}, return_when=asyncio.FIRST_COMPLETED)
        came = up.done() and up.result()
        for task in (died, up):
            task.cancel()
        return came

    async def _leave(self, mad: str) -> None:
        self._host.leave(mad)
        self._members.tell()
        # They would be waited for as long as their clients like.
        await self._host.end_watches(mad)
        longest = max((tool.says.timeout for tool in self._host.own_tools(mad)), default=0.0)
        await self._incoming.withdraw(mad)
        await self._host.empty(mad, longest + _MARGIN_SECONDS)
        await self._supervisor.dismiss(mad)
        self._members.tell()

    async def _relieve(self, node: str, mad: str, by: str) -> None:
        others = any(one.alive.mads.keys() - {mad} for one in self._members.members if one.name == node)
        try:
            await self._members.order(node, [mad] if others else [], by)
        except CenobyError as error:
            # It is shared with that node then, until somebody drains it; no call suffers.
            _log.warning("node_not_relieved", node=node, mad=mad, reason=error.message)
        if not others:
            await self._members.wait_for(lambda: not self._members.lives(node), _LEAVE_SECONDS)

    async def _obey(self, mads: Sequence[str], *, ends: bool) -> None:
        for mad in mads:
            await self._leave(mad)
        if ends and self._end is not None:
            self._end()

    def _watch(self, child: Child, mad: str) -> None:
        self._children[child.node] = child, mad
        self._keep(self._after(child, mad))

    async def _after(self, child: Child, mad: str) -> None:
        code = await child.ended()
        del self._children[child.node]
        if not self._stopping:
            await self._members.lost(child.node)
            async with self._moving:
                await self._take_back(mad, child.node, f"its process ended with code {code}")
        await child.forget()

    async def _take_back(self, mad: str, node: str, why: str) -> None:
        if self._host.hosts(mad) or set(self._members.hosts(mad)) - {node}:
            # That is why it ended.
            return
        _log.error("child_node_ended", node=node, mad=mad, reason=why)
        await self.host(self._make(mad))
        self._note(MadMerged(mad=mad, nodes=(node,), notes=why))

    async def _to_its_end(self, move: Coroutine[Any, Any, T]) -> T:
        """Nobody is helped by half a move, so it goes on where its caller gives up."""
        return await asyncio.shield(self._keep(move))

    def clear_up(self, leftovers: Sequence[Child]) -> None:
        """See to what an earlier run of this node left when it was killed: processes, their keys, their files."""
        for child in leftovers:
            self._keep(self._end_leftover(child))

    async def _end_leftover(self, child: Child) -> None:
        """Take over from a process whose parent was killed: its MADs run here again, so it is told to leave them."""
        if await self._members.wait_for(lambda: self._members.lives(child.node), _HEARD_SECONDS):
            await self._members.order(child.node, [], self._node)
            _log.warning("orphan_drained", node=child.node)
        await child.ended()
        await child.forget()

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, CallInvalid):
            _log.error("move_failed", exc_info=error)
