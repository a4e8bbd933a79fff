"""Calls of tools that other nodes host: sent, followed, sent again where that does no harm, and given back.

A request goes to all nodes that host the MAD as one queue group. The node that takes it says so, does the work once,
and keeps the answer for a while under the call's id; so whoever hears nothing for some time asks again. Work that must
not be done twice begins only with leave from here, and leave is given once for a call: until then it may be sent to
whomever, afterwards only the node that has it is asked. Where that one is lost, nobody knows what was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cenoby.access.budgets.accounts import Cost
from cenoby.bus.contract import BusFault, BusInvalid, BusUnavailable, MessageBus, Subscription
from cenoby.colony.errors import CallInvalid, ToolFault
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.nodes.answers import Answer, Leave, Price, RemoteReply
from cenoby.colony.nodes.events import CallNews, CallQuestion, CallWaits, LeaveWanted, PriceWanted, RemoteCall
from cenoby.colony.nodes.questions import ask
from cenoby.colony.nodes.seals import Seals
from cenoby.colony.tool import ToolReply
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import canonical_json
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError, error_from_wire
from cenoby.kernel.events import tag_of
from cenoby.telemetry.logs import get_logger

_ASK_AGAIN_SECONDS = 1.0
_NO_HOST_SECONDS = 5.0
"""So long a MAD that cannot be reached is waited for: it may be on its way from one node to another."""
_PRICE_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_MOST_TRIES = 4
_log = get_logger("colony.outgoing")


class _Pending:
    """A call that is elsewhere: the node that has it, where that is known, and the requests that are out for it."""

    def __init__(self, invocation: Invocation, deadline_ns: int) -> None:
        self.invocation = invocation
        self.deadline_ns = deadline_ns
        self.idempotent = invocation.target.says.idempotent
        self.node = ""
        self.work = ""
        self.tries: set[asyncio.Task[RemoteReply]] = set()
        self.patience = _ASK_AGAIN_SECONDS
        self.unreached_ns = 0
        self.sent = 0
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def is_given_away(self) -> bool:
        """Whether one piece of work has leave to do what must not be done twice."""
        return bool(self.work)

    def give_leave(self, node: str, work: str) -> bool:
        """Whether that piece of work may begin; the first that asks may, and no other ever."""
        if not self.work:
            self.node, self.work, self.invocation.began = node, work, True
        return self.work == work


class RemoteCalls:
    """The calls of this node that are elsewhere.

    Args:
        bus: how they travel.
        colony: the colony's name.
        seals: signs and opens.
        clock: the time.
        hosts: the living nodes that host a MAD.
    """

    def __init__(
        self,
        bus: MessageBus,
        colony: str,
        seals: Seals,
        clock: Clock,
        hosts: Callable[[str], Sequence[str]] = lambda mad: (),
    ) -> None:
        self._bus = bus
        self._colony = colony
        self._seals = seals
        self._clock = clock
        self._hosts = hosts
        self._here = f"{colony}.node.{seals.node}.calls"
        self._pending: dict[str, _Pending] = {}
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Hear what becomes of calls.

        Raises:
            BusUnavailable: the bus cannot be reached.
        """
        self._subscription = await self._bus.subscribe(self._here, self._hear, group="node", depth=8192)

    async def stop(self) -> None:
        """Hear no more."""
        if self._subscription is not None:
            await self._subscription.close()

    @property
    def under_way(self) -> int:
        """Calls that are elsewhere just now."""
        return len(self._pending)

    def node_lost(self, node: str, mads: Sequence[str]) -> None:
        """Tell the calls that a node had, or may have had, that it is gone."""
        for pending in self._pending.values():
            had_it = pending.node == node or (not pending.node and pending.invocation.target.mad in mads)
            if had_it and not pending.lost.done():
                pending.lost.set_result(node)

    async def price(self, tool: str, arguments: Mapping[str, Any]) -> Cost:
        """What a call with these arguments may cost at most.

        Raises:
            CenobyError: nobody says, or the arguments do not fit.
        """
        wanted = PriceWanted(tool=tool, arguments=canonical_json(arguments))
        subject = self._mad(tool.split(".")[1])
        price = await ask(self._bus, self._seals, subject, wanted, Price, _PRICE_SECONDS)
        return Cost(price.micro_usd, price.tokens)

    async def deliver(self, invocation: Invocation, call: Call) -> ToolReply:
        """What the tool gave back, wherever it is.

        Raises:
            CenobyError: what it raised; or ToolFault `node_lost`, `tool_timeout`: nobody knows what became of it.
        """
        pending = self._pending[invocation.id] = _Pending(invocation, call.deadline_ns)
        try:
            reply = await self._follow(pending)
        except asyncio.CancelledError:
            await self._cancel_there(pending)
            raise
        finally:
            del self._pending[invocation.id]
            for task in pending.tries:
                task.cancel()
        invocation.began = invocation.began or reply.began
        if reply.spent is not None:
            call.spend(reply.spent, reply.spent_tokens)
        if reply.error is not None:
            raise error_from_wire(reply.error)
        return ToolReply(reply.value, reply.blocks, reply.is_error)

    async def _follow(self, pending: _Pending) -> RemoteReply:
        self._send(pending)
        while True:
            done, _ = await asyncio.wait(
                {*pending.tries, pending.lost}, timeout=pending.patience, return_when=asyncio.FIRST_COMPLETED
            )
            for one in pending.tries & done:
                pending.tries.discard(one)
                if (reply := self._reply_of(pending, one)) is not None:
                    return reply
            if pending.lost.done():
                self._give_up_node(pending)
                self._send(pending)
            elif not pending.tries:
                await asyncio.sleep(_PAUSE_SECONDS)
                self._send(pending)
            elif not done:
                pending.unreached_ns = 0
                pending.patience *= 2
                if len(pending.tries) < _MOST_TRIES:
                    self._send(pending)

    def _reply_of(self, pending: _Pending, one: asyncio.Task[RemoteReply]) -> RemoteReply | None:
        """The answer that ends the call; None where it is to be asked for again."""
        error = one.exception()
        if error is None:
            reply = one.result()
            if reply.not_ours:
                return None
            if not (pending.idempotent and reply.error and reply.error["code"] == "mad_stopped"):
                return reply
            # It was cut off because its MAD went from there, and may be done anew where that is now.
            error = error_from_wire(reply.error)
        elif not isinstance(error, BusUnavailable) or error.code == "bus_closed":
            raise error
        elif error.code == "bus_deadline":
            raise self._too_late(pending, error)
        if not pending.is_given_away:
            pending.node = ""
            now_ns = self._clock.monotonic_ns()
            pending.unreached_ns = pending.unreached_ns or now_ns
            if not pending.tries and now_ns - pending.unreached_ns > _NO_HOST_SECONDS * 1e9:
                raise error
        return None

    def _give_up_node(self, pending: _Pending) -> None:
        node, pending.lost = pending.lost.result(), asyncio.get_running_loop().create_future()
        if pending.is_given_away:
            raise ToolFault(
                "node_lost",
                f"Nobody knows what became of {pending.invocation.target.name}: the node {node!r} that had it is gone. "
                "Look before you call it again.",
            )
        pending.node = ""

    def _send(self, pending: _Pending) -> None:
        pending.tries.add(asyncio.create_task(self._request(pending)))

    def _where(self, pending: _Pending) -> str:
        """The node that has the call; else any that hosts its MAD, and in the end a living one by name.

        A broker goes on giving calls to a node whose network is cut, as long as its connection stands.
        """
        mad, pending.sent = pending.invocation.target.mad, pending.sent + 1
        living = self._hosts(mad) if pending.sent > 1 else ()
        node = pending.node or (living[pending.sent % len(living)] if living else "")
        return f"{self._colony}.node.{node}.serve" if node else self._mad(mad)

    async def _request(self, pending: _Pending) -> RemoteReply:
        invocation = pending.invocation
        tool, client = invocation.target, invocation.client
        where = self._where(pending)
        body = RemoteCall(
            invocation=invocation.id,
            tool=tool.name,
            arguments=invocation.canonical,
            principal=invocation.caller,
            causation=invocation.causation,
            has_client=client is not None,
        )
        request = self._seals.seal(
            where,
            body,
            deadline_ns=pending.deadline_ns,
            tenant=invocation.caller.tenant,
            correlation=invocation.correlation,
            sender=invocation.caller.agent,
            priority=tool.says.priority,
        )
        try:
            answer = await self._bus.request(request)
            return (await self._seals.open_answer(request, answer, RemoteReply))[1]
        except (BusUnavailable, BusFault):
            raise
        except BusInvalid as error:
            if not invocation.began:
                raise
            text = f"The result of {tool.name} does not fit through the bus: {error.message} Ask for less."
            raise ToolFault("result_too_large", text) from error
        except CenobyError as error:
            # Nobody signed it, so it ends no call: it is asked for again, and told where that does not help.
            text = f"No node took {tool.name}: {error.message[:300]}"
            raise BusUnavailable("bus_no_responder", text, retry_after=1.0) from error

    def _too_late(self, pending: _Pending, error: BusUnavailable) -> CenobyError:
        if not pending.invocation.began:
            return error
        tool = pending.invocation.target
        text = f"{tool.name} did not end within {tool.says.timeout:g} s; its work may be done in part."
        return ToolFault("tool_timeout", text)

    async def _cancel_there(self, pending: _Pending) -> None:
        if pending.node:
            try:
                await self._tell(pending.node, CallNews(invocation=pending.invocation.id, kind="cancelled"))
            except CenobyError as error:
                # Its deadline ends it there.
                _log.info("cancel_untold", node=pending.node, reason=error.message)

    async def _tell(self, node: str, news: CallNews) -> None:
        await self._bus.publish(self._seals.seal(f"{self._colony}.node.{node}.served", news))

    async def _hear(self, envelope: Envelope) -> Any:
        if envelope.event == tag_of(LeaveWanted):
            wanted = await self._seals.open(envelope, LeaveWanted, at=self._here)
            pending = self._pending.get(wanted.invocation)
            given = pending is not None and pending.give_leave(envelope.node, wanted.work)
            return self._seals.answer(envelope, Leave(given))
        if envelope.event == tag_of(CallQuestion):
            question = await self._seals.open(envelope, CallQuestion, at=self._here)
            return self._seals.answer(envelope, await self._ask_client(question, envelope.node))
        kind = CallWaits if envelope.event == tag_of(CallWaits) else CallNews
        news = await self._seals.open(envelope, kind, at=self._here)
        pending = self._pending.get(news.invocation)
        if pending is not None:
            await self._pass_on(pending, news, envelope.node)
        return None

    async def _pass_on(self, pending: _Pending, news: CallNews | CallWaits, node: str) -> None:
        client = pending.invocation.client
        if isinstance(news, CallWaits) or news.kind == "began":
            pending.node = pending.node or node
            pending.invocation.began |= isinstance(news, CallNews)
        elif client is None or pending.node not in ("", node):
            return
        elif news.kind == "progress":
            await client.progress(news.done, news.total, news.text)
        elif news.kind == "log":
            await client.log(news.level, news.text or "")

    async def _ask_client(self, question: CallQuestion, node: str) -> Answer:
        pending = self._pending.get(question.invocation)
        try:
            if pending is None or pending.invocation.client is None or pending.node not in ("", node):
                raise CallInvalid("client_feature_missing", "This call has no client that could be asked.")
            client = pending.invocation.client
            if question.kind == "elicit":
                return Answer(await client.elicit(question.message, question.content))
            return Answer(await client.sample(question.content))
        except CenobyError as error:
            return Answer(error=error.to_wire())

    def _mad(self, mad: str) -> str:
        return f"{self._colony}.mad.{mad}"
