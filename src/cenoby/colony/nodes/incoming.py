"""Calls that other nodes send here: believed only when signed, checked again, and done once however often sent."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any, NamedTuple

from cenoby.access.principals import Principal
from cenoby.access.recheck import Recheck
from cenoby.bus.contract import BusUnavailable, MessageBus, Subscription
from cenoby.colony.errors import ColonyUnavailable, ToolFault
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.nodes.answers import Price, RemoteReply
from cenoby.colony.nodes.events import CallNews, CallWaits, PriceWanted, RemoteCall
from cenoby.colony.nodes.relayed_client import RelayedClient
from cenoby.colony.nodes.seals import Seals
from cenoby.colony.tool import ToolReply
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import from_json, pack
from cenoby.kernel.envelope import Envelope, Priority
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import tag_of
from cenoby.kernel.ids import new_id
from cenoby.protection.redact import Redactor
from cenoby.store.journal import Journal
from cenoby.telemetry.logs import get_logger

_KEPT_SECONDS = 60.0
_KEPT_BYTES = 32 * 1024 * 1024
_ENTRY_BYTES = 2048
"""Answers that were given are kept so long, and so many bytes of them, for a caller that did not hear them."""
_LONGEST_CLOSE = 600.0
_CUT_OFF_SECONDS = 2.0
_WAITS_AFTER_SECONDS = 0.5
"""A call that has not begun by then is reported as waiting, or its caller would soon give it to another node, too."""
_log = get_logger("colony.incoming")


_Key = tuple[str, str]
"""Of a call that is served: the node that it came from, and its id there."""


class _NotOurs(Exception):
    """The caller's node gave no leave."""


class _Served(NamedTuple):
    """A call of another node: of which MAD, and the work, whose result is the packed answer."""

    mad: str
    work: asyncio.Task[bytes]


class IncomingCalls:
    """Serves this node's MADs to the other nodes.

    Args:
        bus: how calls arrive.
        colony: the colony's name.
        seals: signs and opens.
        host: the MADs.
        recheck: whether the caller may still do it.
        journal: where tools note events.
        redactor: blacks out what tools note and tell.
        clock: the time.
    """

    def __init__(
        self,
        *,
        bus: MessageBus,
        colony: str,
        seals: Seals,
        host: Host,
        recheck: Recheck,
        journal: Journal,
        redactor: Redactor,
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._colony = colony
        self._seals = seals
        self._host = host
        self._recheck = recheck
        self._journal = journal
        self._redactor = redactor
        self._clock = clock
        self._served: dict[_Key, _Served] = {}
        self._kept: deque[tuple[int, _Key, int]] = deque()
        self._kept_bytes = 0
        self._own: list[Subscription] = []
        self._by_mad: dict[str, Subscription] = {}

    async def start(self) -> None:
        """Take what is sent to this node by name.

        Raises:
            BusUnavailable: the bus cannot be reached.
        """
        mine = f"{self._colony}.node.{self._seals.node}"
        self._own = [
            await self._bus.subscribe(f"{mine}.serve", partial(self._take, f"{mine}.serve"), group="node"),
            await self._bus.subscribe(f"{mine}.served", self._hear),
        ]

    async def stop(self, seconds: float) -> None:
        """Take nothing more; what is under way may end in `seconds`, then it is cut off, and its callers hear so."""
        closing = [asyncio.ensure_future(self.withdraw(mad)) for mad in list(self._by_mad)]
        if closing:
            await asyncio.wait(closing, timeout=seconds)
        for served in self._served.values():
            served.work.cancel()
        if closing:
            await asyncio.wait(closing, timeout=_CUT_OFF_SECONDS)
        for subscription in self._own:
            await subscription.close()

    async def offer(self, mad: str) -> None:
        """Take calls of a MAD, with all other nodes that host it."""
        if mad not in self._by_mad:
            subject = f"{self._colony}.mad.{mad}"
            self._by_mad[mad] = await self._bus.subscribe(subject, partial(self._take, subject), group="host")

    async def withdraw(self, mad: str) -> None:
        """Take no more calls of a MAD. Those that are under way, or on their way, are served first."""
        subscription = self._by_mad.pop(mad, None)
        if subscription is None:
            return
        await subscription.close(seconds=_LONGEST_CLOSE)
        under_way = [served.work for served in self._served.values() if served.mad == mad and not served.work.done()]
        if under_way:
            await asyncio.wait(under_way)

    async def _take(self, subject: str, envelope: Envelope) -> Any:
        if envelope.event == tag_of(PriceWanted):
            wanted = await self._seals.open(envelope, PriceWanted, at=subject)
            return self._seals.answer(envelope, await self._price(wanted))
        order = await self._seals.open(envelope, RemoteCall, at=subject)
        served = self._served.get((envelope.node, order.invocation))
        if served is None:
            self._refuse_strange(order)
            served = self._begin(envelope, order)
        # The bus may give the request up; the work goes on, and a request that comes later finds its answer.
        return self._seals.answer_packed(envelope, await asyncio.shield(served.work))

    def _refuse_strange(self, order: RemoteCall) -> None:
        if not self._host.hosts(order.tool.split(".")[1]):
            # It was sent while the MAD went from here; the caller sends it again, to who has it now.
            raise BusUnavailable("bus_no_responder", f"{order.tool} is not here any more; try again shortly.")

    def _begin(self, envelope: Envelope, order: RemoteCall) -> _Served:
        key = envelope.node, order.invocation
        work = asyncio.create_task(self._work(envelope, order), name=f"serve:{order.tool}")
        work.add_done_callback(partial(self._keep, key))
        served = self._served[key] = _Served(order.tool.split(".")[1], work)
        return served

    async def _work(self, envelope: Envelope, order: RemoteCall) -> bytes:
        invocation: Invocation | None = None
        try:
            invocation = self._invocation(envelope, order)
            # By the caller's own clock: ours may differ from it.
            seconds = self._seals.seconds_given(envelope)
            deadline_ns = self._clock.now_ns() + round(seconds * 1e9)
            relay = self._relay(envelope, order, deadline_ns)
            invocation.client = relay if order.has_client else None
            call = Call(invocation, self._journal.append, self._redactor, deadline_ns)
            async with asyncio.timeout(seconds):
                await self._confirm(order.principal, invocation)
                reply = await self._serve(invocation, call, envelope.priority, relay)
        except _NotOurs:
            return pack(RemoteReply(not_ours=True))
        except TimeoutError:
            if invocation is None or not invocation.began:
                late = BusUnavailable("bus_deadline", f"{order.tool} did not begin in time; try again.", retry_after=1)
                return self._failed(late, invocation)
            text = f"{order.tool} did not end in time; its work may be done in part."
            return self._failed(ToolFault("tool_timeout", text), invocation)
        except asyncio.CancelledError:
            # Its caller gave up, or this node stops.
            return self._failed(ColonyUnavailable("mad_stopped", f"{order.tool} was cut off."), invocation)
        except CenobyError as error:
            if error.code == "mad_stopped" and invocation is not None and invocation.target.says.idempotent:
                # Its caller asks again, and then it is done anew, here or where its MAD is by then.
                self._served.pop((envelope.node, order.invocation), None)
            return self._failed(error, invocation)
        except Exception:  # noqa: BLE001 - whatever is wrong with one call is answered, and the next one is served
            _log.exception("call_not_served", tool=order.tool, node=envelope.node)
            return self._failed(ToolFault("tool_failed", f"{order.tool} failed; the node's log has why."), invocation)
        spent, tokens = invocation.spent, invocation.spent_tokens
        return pack(
            RemoteReply(reply.value, reply.blocks, reply.is_error, spent=spent, spent_tokens=tokens, began=True)
        )

    async def _confirm(self, principal: Principal, invocation: Invocation) -> None:
        says, tool = invocation.target.says, invocation.target.name
        arguments, parsed = invocation.arguments, invocation.parsed
        await self._recheck.confirm(principal, says.action, tool, says.effect, says.risk, arguments, parsed)

    async def _serve(self, invocation: Invocation, call: Call, priority: Priority, relay: RelayedClient) -> ToolReply:
        waits = asyncio.create_task(self._say_that_it_waits(invocation, relay))
        work = new_id()

        async def turn_came() -> None:
            waits.cancel()
            # It may have waited for long since it was confirmed.
            await self._confirm(invocation.caller, invocation)
            if invocation.target.says.idempotent:
                await relay.tell(CallNews(invocation=invocation.id, kind="began"))
            elif not await relay.may_begin(work):
                raise _NotOurs

        try:
            return await self._host.serve(invocation, call, priority, turn_came)
        finally:
            waits.cancel()

    async def _say_that_it_waits(self, invocation: Invocation, relay: RelayedClient) -> None:
        await asyncio.sleep(_WAITS_AFTER_SECONDS)
        await relay.tell(CallWaits(invocation.id))

    def _invocation(self, envelope: Envelope, order: RemoteCall) -> Invocation:
        tool = self._host.tool(order.tool)
        invocation = Invocation(
            order.tool,
            from_json(order.arguments),
            order.principal,
            correlation=envelope.correlation,
            causation=order.causation,
        )
        invocation.id = order.invocation
        invocation.principal, invocation.tool = order.principal, tool
        invocation.canonical = order.arguments
        invocation.parsed = tool.parse(order.arguments)
        return invocation

    def _relay(self, envelope: Envelope, order: RemoteCall, deadline_ns: int) -> RelayedClient:
        origin = f"{self._colony}.node.{envelope.node}.calls"
        return RelayedClient(self._bus, self._seals, origin, order.invocation, deadline_ns)

    def _failed(self, error: CenobyError, invocation: Invocation | None) -> bytes:
        if invocation is None:
            return pack(RemoteReply(error=error.to_wire()))
        spent, tokens = invocation.spent, invocation.spent_tokens
        return pack(RemoteReply(error=error.to_wire(), spent=spent, spent_tokens=tokens, began=invocation.began))

    async def _price(self, wanted: PriceWanted) -> Price:
        tool = self._host.tool(wanted.tool)
        return Price(*await tool.bound(tool.parse(wanted.arguments)))

    def _keep(self, key: _Key, work: asyncio.Task[bytes]) -> None:
        if work.cancelled() or work.exception():
            # It was cancelled before it could begin; nobody waits for it.
            self._served.pop(key, None)
            return
        now_ns, size = self._clock.monotonic_ns(), len(work.result()) + _ENTRY_BYTES
        self._kept.append((now_ns, key, size))
        self._kept_bytes += size
        while self._kept_bytes > _KEPT_BYTES or self._kept[0][0] < now_ns - _KEPT_SECONDS * 1e9:
            _, oldest, freed = self._kept.popleft()
            self._served.pop(oldest, None)
            self._kept_bytes -= freed

    async def _hear(self, envelope: Envelope) -> None:
        here = f"{self._colony}.node.{self._seals.node}.served"
        news = await self._seals.open(envelope, CallNews, at=here)
        served = self._served.get((envelope.node, news.invocation))
        if news.kind == "cancelled" and served is not None:
            served.work.cancel()
