"""Nodes of one colony in this process: real hosts, seals and stores, and a bus that loses what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from cenoby.access.enrolment import Enrolment
from cenoby.access.kills import Kills
from cenoby.access.recheck import Recheck
from cenoby.access.roles import RoleTable
from cenoby.app.shipped_mads import mad_principal
from cenoby.bus.contract import BusUnavailable, Handler, MessageBus, Subscription
from cenoby.bus.memory import MemoryBus
from cenoby.colony.events import MessageRefused
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call, ClientChannel, Invocation
from cenoby.colony.mad import Mad
from cenoby.colony.nodes.incoming import IncomingCalls
from cenoby.colony.nodes.offers import RemoteMad
from cenoby.colony.nodes.outgoing import RemoteCalls
from cenoby.colony.nodes.seals import Seals
from cenoby.colony.tool import ToolReply
from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.codec import canonical_json
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.settings import MailboxSettings, RedactionSettings
from cenoby.kernel.signing import SigningKey
from cenoby.protection.redact import Redactor
from cenoby.store.database import Database
from cenoby.store.journal import Journal
from tests.stores import cache_of


class LossyBus(MemoryBus):
    """A bus between processes that loses envelopes, or the answers to them, where a test says so."""

    def __init__(self) -> None:
        super().__init__(clock=SystemClock())
        self.loses: Callable[[Envelope], bool] = lambda _: False
        self.loses_answer: Callable[[Envelope], bool] = lambda _: False
        self.sent: list[Envelope] = []

    async def publish(self, envelope: Envelope) -> None:
        self.sent.append(envelope)
        if not self.loses(envelope):
            await super().publish(envelope)

    async def request(self, envelope: Envelope) -> Any:
        self.sent.append(envelope)
        if self.loses(envelope):
            await _until_deadline(envelope)
        answer = await super().request(envelope)
        if self.loses_answer(envelope):
            await _until_deadline(envelope)
        return answer


async def _until_deadline(envelope: Envelope) -> None:
    await asyncio.sleep((envelope.deadline_ns - SystemClock().now_ns()) / 1e9 if envelope.deadline_ns else 3600)
    raise BusUnavailable("bus_deadline", "lost")


class NodeBus:
    """The bus as one node has it, until that is killed: then it hears nothing, and nothing that it says is heard."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._subscriptions: list[Subscription] = []
        self._dead = asyncio.Event()

    async def kill(self) -> None:
        self._dead.set()
        for one in self._subscriptions:
            await one.close(seconds=0)

    async def subscribe(self, subject: str, handler: Handler, *, group: str = "", depth: int = 1024) -> Subscription:
        self._subscriptions.append(await self._bus.subscribe(subject, handler, group=group, depth=depth))
        return self._subscriptions[-1]

    async def publish(self, envelope: Envelope) -> None:
        if not self._dead.is_set():
            await self._bus.publish(envelope)

    async def request(self, envelope: Envelope) -> Any:
        if self._dead.is_set():
            await _until_deadline(envelope)
        return await self._bus.request(envelope)

    async def close(self) -> None:
        """Nothing: the bus is all nodes'."""


class SkewedClock(SystemClock):
    """A clock that is wrong by so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now_ns(self) -> int:
        return super().now_ns() + round(self.seconds * 1e9)


class Rig:
    """The nodes; `one` calls, all others host the same MAD."""

    def __init__(self, folder: Path, database: Database, skew: float = 0.0) -> None:
        self.folder, self.database = folder, database
        self.bus = LossyBus()
        self.links: dict[IncomingCalls, NodeBus] = {}
        self.skew = skew
        self.refused: list[MessageRefused] = []
        self.serving: dict[str, IncomingCalls] = {}
        self.hosts: dict[str, Host] = {}
        self.living: list[str] = []
        self.calls: RemoteCalls
        self.mad: Mad

    def clock(self, node: str) -> Clock:
        return SkewedClock(0 if node == "one" else self.skew)

    async def seals(self, node: str) -> Seals:
        enrolment, key = Enrolment(self.database, SystemClock()), SigningKey.generate()
        if await enrolment.find(node) is not None:
            await enrolment.revoke(node)
        await enrolment.enroll(node, key.public.to_text(), "test")
        return Seals(node, key, enrolment, self.clock(node), self.refused.append)

    async def start(self) -> None:
        self.calls = RemoteCalls(self.bus, "t", await self.seals("one"), self.clock("one"), lambda mad: self.living)
        await self.calls.start()

    async def kills(self) -> Kills:
        """No switch is thrown."""
        kills = Kills(cache := cache_of(self.database), SystemClock())
        await cache.warm()
        return kills

    async def serve(self, node: str, mad: Mad, **mailbox: Any) -> IncomingCalls:
        """A node that hosts `mad`; one of that name that was there is gone, as if killed."""
        host = Host(self.bus, "t", MailboxSettings(**mailbox), self.clock(node), MemoryBus(clock=SystemClock()))
        await host.add(mad)
        journal = Journal(self.database, node=node, clock=SystemClock())
        link = NodeBus(self.bus)
        incoming = IncomingCalls(
            bus=link,
            colony="t",
            seals=await self.seals(node),
            host=host,
            recheck=Recheck(self.database, RoleTable(), SystemClock(), mad_principal, await self.kills()),
            journal=journal,
            redactor=Redactor(RedactionSettings()),
            clock=self.clock(node),
        )
        await incoming.start()
        await incoming.offer(mad.name)
        self.links[incoming] = link
        self.serving[node], self.hosts[node], self.mad = incoming, host, mad
        return incoming

    async def kill(self, incoming: IncomingCalls) -> None:
        """Kill -9 of its node, as the others see it."""
        await self.links[incoming].kill()

    async def call(
        self, verb: str, client: ClientChannel | None = None, *, seconds_given: float | None = None, **arguments: Any
    ) -> ToolReply:
        """What a tool of the MAD gives back to node `one`."""
        host = next(iter(self.hosts.values()))
        offer = host.offer(self.mad.name)
        remote = RemoteMad(offer, self.calls.price).tools[f"mads.{self.mad.name}.{verb}"]
        principal = mad_principal("caller")
        invocation = Invocation(remote.name, arguments, principal, client=client)
        invocation.principal, invocation.tool = principal, remote
        invocation.canonical = canonical_json(arguments)
        deadline_ns = self.clock("one").now_ns() + round((seconds_given or remote.says.timeout) * 1e9)
        return await self.calls.deliver(
            invocation, Call(invocation, _no_record, Redactor(RedactionSettings()), deadline_ns)
        )

    async def stop(self) -> None:
        for incoming in self.links:
            await self.kill(incoming)
            for one in incoming._served.values():
                one.work.cancel()
        await self.calls.stop()
        await self.bus.close()


async def _no_record(entry: Any) -> Any:
    raise AssertionError(f"the caller's node records nothing here: {entry}")


def is_body(kind: type[msgspec.Struct]) -> Callable[[Envelope], bool]:
    """Whether an envelope is of that kind."""
    tag = str(kind.__struct_config__.tag)
    return lambda envelope: envelope.event == tag
