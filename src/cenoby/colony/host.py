"""Hosting MADs on this node: their life cycle, their tools by name, and the bus subjects on which they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from cenoby.bus.contract import BusUnavailable, MessageBus, Subscription
from cenoby.colony.errors import CallInvalid, ToolFault
from cenoby.colony.invocation import Invocation
from cenoby.colony.mad import ListName, Mad, ResourceKind
from cenoby.colony.mailbox import Mailbox, MailboxState
from cenoby.colony.prompts import HostedPrompt, hosted_prompts, prompt_tool
from cenoby.colony.scheduler import Scheduler
from cenoby.colony.tool import Tool, ToolContent, tools_of
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import MailboxSettings
from cenoby.telemetry.logs import get_logger

_log = get_logger("colony.host")
_DRAIN_SECONDS = 5.0

EVENTS = {
    "tool_call.v1": "On `<colony>.mad.<mad>`: run one tool for an invocation that is under way on this node.",
    "tools_changed.v1": "On `<colony>.tools`: the lists of the MAD `mad` changed; `lists` says which, if not all.",
}


class ToolCall(msgspec.Struct, frozen=True):
    """Bus event `tool_call.v1`: run one tool for an invocation that is under way on this node."""

    invocation: str
    tool: str


class ToolReply(msgspec.Struct, frozen=True):
    """The reply to it: what the tool gave back, as plain JSON types or content blocks."""

    value: Any = None
    blocks: list[dict[str, Any]] | None = None
    is_error: bool = False


class Host:
    """The MADs of one node.

    Args:
        bus: where their calls arrive.
        colony: the colony's name, first part of every subject.
        mailbox: limits of each mailbox.
        clock: the time.
    """

    def __init__(self, bus: MessageBus, colony: str, mailbox: MailboxSettings, clock: Clock) -> None:
        self._bus = bus
        self._colony = colony
        self._mailbox_settings = mailbox
        self._clock = clock
        self._mads: dict[str, Mad] = {}
        self._tools: dict[str, Tool] = {}
        self._mailboxes: dict[str, Mailbox] = {}
        self._watchers: dict[str, Mailbox] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._live: dict[str, Invocation] = {}
        self._started: set[str] = set()
        self._scheduler = Scheduler(mailbox.running)

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
        self._subscriptions[mad.name] = await self._bus.subscribe(self.subject(mad.name), self._serve, group="host")
        await self.lists_changed(mad.name)

    async def remove(self, name: str) -> None:
        """Take no more calls for a MAD and stop it."""
        mad = self._mads.pop(name)
        await self._subscriptions.pop(name).close()
        self._tools = {key: tool for key, tool in self._tools.items() if tool.mad != name}
        self._mailboxes.pop(name).close()
        del self._watchers[name]
        if name in self._started:
            self._started.discard(name)
            await mad.along.stop()
            await mad.stop()
        await self.lists_changed(name)

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
        await self._bus.publish(
            Envelope(
                id=new_id(),
                tenant="",
                correlation="",
                sender=mad,
                recipient=f"{self._colony}.tools",
                event="tools_changed.v1",
                payload={"mad": mad, "lists": lists} if lists else {"mad": mad},
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
        """The bus subject on which a MAD takes calls."""
        return f"{self._colony}.mad.{mad}"

    @property
    def mads(self) -> Iterable[Mad]:
        """The hosted MADs, in the order in which they started."""
        return self._mads.values()

    @property
    def mad_names(self) -> Collection[str]:
        """The names of the hosted MADs; always the current ones."""
        return self._mads.keys()

    @property
    def tools(self) -> Iterable[Tool]:
        """All declared tools of all hosted MADs; those of their prompts are not among them."""
        return self._tools.values()

    @property
    def resources(self) -> list[ResourceKind]:
        """All kinds of resources that hosted MADs publish."""
        return [kind for mad in self._mads.values() for kind in mad.resources()]

    @property
    def prompts(self) -> list[HostedPrompt]:
        """All prompts that hosted MADs offer."""
        return hosted_prompts(self._mads.values())

    @property
    def calls_under_way(self) -> int:
        """Calls that were sent to a MAD and have not come back."""
        return len(self._live)

    def mailbox_states(self) -> dict[str, MailboxState]:
        """The state of each MAD's mailbox, by name; calls that wait for news have one of their own, not shown here."""
        return {name: mailbox.state() for name, mailbox in self._mailboxes.items()}

    def find(self, name: str) -> Tool | None:
        """The declared tool of that canonical name, or None."""
        return self._tools.get(name)

    def tool(self, name: str) -> Tool:
        """The tool of that canonical name, be it a declared one or a prompt's.

        Raises:
            CallInvalid: there is none.
        """
        found = self._tools.get(name) or prompt_tool(self._mads.values(), name)
        if found is None:
            # Near names are not offered: the caller may not be allowed to know them, and to find them takes long.
            raise CallInvalid("tool_unknown", f"No tool is named {name[:64]!r}; list the tools to see what there is.")
        return found

    async def deliver(self, invocation: Invocation, deadline_ns: int) -> ToolReply:
        """Send an invocation over the bus to its MAD's mailbox on this node, and wait for the reply.

        Raises:
            CenobyError: what the tool raised, or that it could not be reached.
        """
        tool = invocation.target
        envelope = Envelope(
            id=new_id(),
            tenant=invocation.caller.tenant,
            correlation=invocation.correlation,
            causation=invocation.id,
            sender=invocation.caller.agent,
            recipient=self.subject(tool.mad),
            event="tool_call.v1",
            payload=ToolCall(invocation.id, tool.name),
            priority=tool.says.priority,
            deadline_ns=deadline_ns,
        )
        self._live[invocation.id] = invocation
        try:
            reply = await self._bus.request(envelope)
        except BusUnavailable as error:
            if error.code == "bus_deadline" and invocation.began:
                raise ToolFault(
                    "tool_timeout",
                    f"{tool.name} did not end within {tool.says.timeout:g} s; its work may be done in part.",
                ) from None
            raise
        finally:
            del self._live[invocation.id]
        return reply if isinstance(reply, ToolReply) else msgspec.convert(reply, ToolReply)

    async def _serve(self, envelope: Envelope) -> ToolReply:
        payload = envelope.payload
        order = payload if isinstance(payload, ToolCall) else msgspec.convert(payload, ToolCall)
        tool = self.tool(order.tool)
        invocation = self._live[order.invocation]

        async def work() -> ToolReply:
            invocation.began = True
            # Looked up again: while the call waited, the MAD may have been made anew.
            return await _run(self.tool(order.tool), invocation)

        mailbox = (self._watchers if tool.says.waits else self._mailboxes)[tool.mad]
        says, size = tool.says, len(invocation.canonical)
        return await mailbox.run(envelope.priority, work, size=size, again=says.idempotent)


def _verified_tools(mad: Mad) -> list[Tool]:
    tools = tools_of(mad, mad.name)
    for tool in tools:
        tool.verify()
    return tools


async def _run(tool: Tool, invocation: Invocation) -> ToolReply:
    try:
        result = await tool.run(invocation.call, **invocation.parsed)
    except CenobyError:
        raise
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        # The border between a MAD's code and the colony: whatever it raises becomes a fault of this call.
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        _log.exception("tool_failed", tool=tool.name, correlation=invocation.correlation)
        raise ToolFault(
            "tool_failed", f"{tool.name} failed; the log has the cause under correlation {invocation.correlation}."
        ) from error
    if isinstance(result, ToolContent):
        return ToolReply(blocks=result.blocks, is_error=result.is_error)
    return ToolReply(value=msgspec.to_builtins(result, enc_hook=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"a tool's result holds a {type(value).__name__}, which has no JSON form")
