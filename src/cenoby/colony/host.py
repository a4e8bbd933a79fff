"""Hosting MADs on this node: their life cycle, their tools by name, and the subjects on which they answer.

What is hosted here is called here, over a bus that never leaves the process. What is not may be on another node
(`colony/nodes`); nobody above can tell the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from cenoby.bus.contract import BusUnavailable, MessageBus, Subscription, payload_as
from cenoby.colony.directory import Directory
from cenoby.colony.errors import ColonyUnavailable, ToolFault
from cenoby.colony.events import ALL_LISTS, ListName, ToolCall, ToolsChanged
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.mad import Mad
from cenoby.colony.mailbox import Mailbox, MailboxState
from cenoby.colony.nodes.offers import RemoteMad, RemoteTool
from cenoby.colony.nodes.outgoing import RemoteCalls
from cenoby.colony.running import run_tool
from cenoby.colony.scheduler import Scheduler
from cenoby.colony.tool import Tool, ToolReply, tools_of
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import Envelope, Priority
from cenoby.kernel.events import tag_of
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import MailboxSettings
from cenoby.telemetry.logs import get_logger

_log = get_logger("colony.host")
_DRAIN_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_TOOL_CALL = tag_of(ToolCall)


class Host(Directory):
    """The MADs of one node.

    Args:
        bus: the colony's.
        colony: the colony's name, first part of every subject.
        mailbox: limits of each mailbox.
        clock: the time.
        local: how calls reach the MADs of this process, where that is not the colony's bus.
    """

    def __init__(
        self, bus: MessageBus, colony: str, mailbox: MailboxSettings, clock: Clock, local: MessageBus | None = None
    ) -> None:
        super().__init__()
        self._bus = bus
        self._local = local or bus
        self._colony = colony
        self._mailbox_settings = mailbox
        self._clock = clock
        self._mailboxes: dict[str, Mailbox] = {}
        self._watchers: dict[str, Mailbox] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._live: dict[str, tuple[Invocation, Call]] = {}
        self._started: set[str] = set()
        self._scheduler = Scheduler(mailbox.running)
        self._remote: RemoteCalls | None = None

    def join(self, elsewhere: Mapping[str, RemoteMad], calls: RemoteCalls) -> None:
        """Offer the MADs of other nodes as well.

        Args:
            elsewhere: those MADs by name; always the current ones.
            calls: how they are called.
        """
        self._elsewhere, self._remote = elsewhere, calls
        self.relist()

    async def add(self, mad: Mad) -> None:
        """Start a MAD and take calls for it; listeners of `<colony>.tools` hear of it.

        Raises:
            ValueError: a MAD of that name is hosted already.
            TypeError: one of its tools cannot be published.
        """
        if mad.name in self._mads:
            raise ValueError(f"a MAD named {mad.name!r} is hosted already")
        tools = _verified_tools(mad)
        await mad.start()
        self._started.add(mad.name)
        self._mads[mad.name] = mad
        self._mailboxes[mad.name] = Mailbox(mad.name, self._mailbox_settings, self._clock, self._scheduler)
        watchers = self._mailbox_settings.model_copy(update={"concurrency": self._mailbox_settings.watchers})
        self._watchers[mad.name] = Mailbox(mad.name, watchers, self._clock)
        self._tools.update({tool.name: tool for tool in tools})
        self._subscriptions[mad.name] = await self._local.subscribe(self.subject(mad.name), self._take, group="host")
        await self.lists_changed(mad.name)

    async def remove(self, name: str) -> None:
        """Take no more calls for a MAD and stop it."""
        self._leaving.discard(name)
        mad = self._mads.pop(name)
        await self._subscriptions.pop(name).close()
        self._tools = {key: tool for key, tool in self._tools.items() if tool.mad != name}
        for mailbox in (self._mailboxes.pop(name), self._watchers.pop(name)):
            mailbox.take_down(f"{name} is hosted here no more")
            mailbox.close()
        if name in self._started:
            self._started.discard(name)
            await mad.along.stop()
            await mad.stop()
        await self.lists_changed(name)

    def leave(self, name: str) -> None:
        """Send new calls of a MAD to the other nodes that have it; those that are here are served to their end."""
        self._leaving.add(name)
        self.relist()

    async def end_watches(self, name: str) -> None:
        """Cut off the calls of a MAD that only wait for news; they are made again where it is hosted then."""
        await self._watchers[name].empty(0)

    async def empty(self, name: str, seconds: float) -> None:
        """Wait until no call of a MAD is at work or waits; after `seconds`, those at work are cut off."""
        mailbox, deadline_ns = self._mailboxes[name], self._clock.monotonic_ns() + seconds * 1e9
        # A move is rare and takes a while; a mailbox need not tell that nobody waits in it any more.
        while mailbox.state().waiting and self._clock.monotonic_ns() < deadline_ns:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        await mailbox.empty(max((deadline_ns - self._clock.monotonic_ns()) / 1e9, 0))

    def hold(self, name: str) -> None:
        """Let the calls of a MAD wait in its mailbox; those at work go on."""
        self._mailboxes[name].hold()
        self._watchers[name].hold()

    def release(self, name: str) -> None:
        """Serve a MAD's calls again, those that waited first."""
        self._mailboxes[name].release()
        self._watchers[name].release()

    async def replace(self, mad: Mad) -> None:
        """Put a new instance in the place of the hosted one, whose mailbox it takes over; the mailbox is held.

        Raises:
            TypeError: one of its tools cannot be published.
            Exception: what starting it raised; then no instance runs.
        """
        tools = _verified_tools(mad)
        await self._watchers[mad.name].empty(0)
        await self._mailboxes[mad.name].empty(_DRAIN_SECONDS)
        await self._end(mad.name)
        await mad.start()
        self._started.add(mad.name)
        self._mads[mad.name] = mad
        others = {key: tool for key, tool in self._tools.items() if tool.mad != mad.name}
        self._tools = others | {tool.name: tool for tool in tools}
        await self.lists_changed(mad.name)

    async def take_down(self, name: str, reason: str) -> None:
        """Stop a MAD at once: its calls end as `mad_stopped`, and all others are refused with the reason."""
        for mailbox in (self._watchers[name], self._mailboxes[name]):
            mailbox.take_down(reason)
            await mailbox.empty(0)
        await self._end(name)

    async def lists_changed(self, mad: str, *lists: ListName) -> None:
        """Tell listening clients that what a MAD offers changed: these lists, or all where none is named."""
        self._offers.pop(mad, None)
        self.relist()
        await self._bus.publish(
            Envelope(
                id=new_id(),
                tenant="",
                correlation="",
                sender=mad,
                recipient=f"{self._colony}.tools",
                event=tag_of(ToolsChanged),
                payload=ToolsChanged(mad=mad, lists=lists or ALL_LISTS),
            )
        )

    async def _end(self, name: str) -> None:
        if name not in self._started:
            return
        self._started.discard(name)
        mad = self._mads[name]
        await mad.along.stop()
        try:
            await asyncio.wait_for(mad.stop(), _DRAIN_SECONDS)
        except Exception:  # noqa: BLE001 - the border to a MAD's code: what is broken may not stop cleanly either
            _log.exception("mad_stop_failed", mad=name)

    async def stop(self) -> None:
        """Stop all MADs, the last started first."""
        for name in reversed(list(self._mads)):
            await self.remove(name)

    def subject(self, mad: str) -> str:
        """The subject within this process on which a MAD takes calls."""
        return f"{self._colony}.mad.{mad}"

    @property
    def calls_under_way(self) -> int:
        """Calls that were sent to a MAD and have not come back."""
        return len(self._live) + (self._remote.under_way if self._remote else 0)

    def mailbox_states(self) -> dict[str, MailboxState]:
        """The state of each MAD's mailbox, by name; calls that wait for news have one of their own, not shown here."""
        return {name: mailbox.state() for name, mailbox in self._mailboxes.items()}

    async def deliver(self, invocation: Invocation, call: Call) -> ToolReply:
        """Send an invocation to its MAD's mailbox, here or on another node, and wait for the reply.

        Args:
            invocation: what to send.
            call: what the tool is to see of it.

        Raises:
            CenobyError: what the tool raised, or that it could not be reached.
        """
        remote = self._remote
        if remote is None or not self._is_elsewhere(invocation.target.mad):
            try:
                return await self._deliver_here(invocation, call)
            except ColonyUnavailable:
                again = not invocation.began or invocation.target.says.idempotent
                if remote is None or not again or not self._is_elsewhere(invocation.target.mad):
                    raise
                # It was turned away, or cut off where that does no harm, because the MAD went from here.
        return await remote.deliver(invocation, call)

    def _is_elsewhere(self, mad: str) -> bool:
        return not self.hosts(mad) and mad in self._elsewhere

    async def _deliver_here(self, invocation: Invocation, call: Call) -> ToolReply:
        envelope = Envelope(
            id=new_id(),
            tenant=invocation.caller.tenant,
            correlation=invocation.correlation,
            causation=invocation.id,
            sender=invocation.caller.agent,
            recipient=self.subject(invocation.target.mad),
            event=_TOOL_CALL,
            payload=ToolCall(invocation=invocation.id, tool=invocation.target.name),
            priority=invocation.target.says.priority,
            deadline_ns=call.deadline_ns,
        )
        self._live[invocation.id] = invocation, call
        try:
            reply = await self._local.request(envelope)
        except BusUnavailable as error:
            if error.code == "bus_deadline" and invocation.began:
                raise ToolFault(
                    "tool_timeout",
                    f"{invocation.target.name} did not end within {invocation.target.says.timeout:g} s; its work may "
                    "be done in part.",
                ) from None
            raise
        finally:
            del self._live[invocation.id]
        return reply if isinstance(reply, ToolReply) else msgspec.convert(reply, ToolReply)

    async def serve(
        self,
        invocation: Invocation,
        call: Call,
        priority: Priority,
        told: Callable[[], Awaitable[None]] | None = None,
    ) -> ToolReply:
        """Do an invocation of a tool that is hosted here, when its turn in the mailbox comes.

        Args:
            invocation: with its arguments parsed.
            call: what the tool is to see of it.
            priority: the mailbox lane it waits in.
            told: called when its turn has come, before the work begins; what it raises ends the call.

        Raises:
            CenobyError: what the tool raised, or why the mailbox does not take it.
        """
        name, says = invocation.target.name, invocation.target.says

        async def work() -> ToolReply:
            if told is not None:
                await told()
            if invocation.last_look is not None:
                invocation.last_look(invocation)
            invocation.began = True
            # Looked up again: while the call waited, the MAD may have been made anew.
            return await run_tool(self._own_tool(name), call, invocation)

        mailbox = (self._watchers if says.waits else self._mailboxes)[invocation.target.mad]
        return await mailbox.run(priority, work, size=len(invocation.canonical), again=says.idempotent)

    async def _take(self, envelope: Envelope) -> ToolReply:
        order = payload_as(envelope, ToolCall)
        invocation, call = self._live[order.invocation]
        if isinstance(invocation.target, RemoteTool):
            # It came here between the look-up and now.
            invocation.tool = self._own_tool(order.tool)
            invocation.parsed = invocation.target.parse(invocation.canonical)
        return await self.serve(invocation, call, envelope.priority)


def _verified_tools(mad: Mad) -> list[Tool]:
    tools = [*tools_of(mad, mad.name), *mad.further_tools()]
    for tool in tools:
        tool.verify()
    return tools
