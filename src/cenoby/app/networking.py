"""One colony of several processes: where bus and store cross processes, this node knows, serves and asks others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cenoby.access.enrolment import Enrolment, node_key
from cenoby.access.recheck import Recheck
from cenoby.access.roles import AccessRefused
from cenoby.app.node_process import KEY_FILE, leftovers, start_node
from cenoby.bus.contract import MessageBus
from cenoby.colony.breaker import CircuitState
from cenoby.colony.errors import CallInvalid
from cenoby.colony.events import MemberChange, NodeJoined
from cenoby.colony.mad import Mad
from cenoby.colony.nodes.answers import OrderTaken
from cenoby.colony.nodes.events import MadLoad, NodeOrder
from cenoby.colony.nodes.handover import Child, Handover
from cenoby.colony.nodes.incoming import IncomingCalls
from cenoby.colony.nodes.members import Members, Presence
from cenoby.colony.nodes.offers import offer_digest
from cenoby.colony.nodes.outgoing import RemoteCalls
from cenoby.colony.nodes.refusals import Refusals
from cenoby.colony.nodes.seals import Seals
from cenoby.colony.stages import Ports
from cenoby.colony.supervisor import Supervisor
from cenoby.kernel.events import Event
from cenoby.kernel.settings import Settings
from cenoby.kernel.signing import SigningKey
from cenoby.telemetry.logs import get_logger

Note = Callable[[Event], None]
_log = get_logger("app.networking")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The parts by which this node is one of several."""

    enrolment: Enrolment
    members: Members
    calls: RemoteCalls
    incoming: IncomingCalls
    handover: Handover
    drain_seconds: float
    leftovers: Sequence[Child]

    async def start(self) -> None:
        """Be one of several.

        Raises:
            BusUnavailable: the bus cannot be reached.
        """
        await self.calls.start()
        await self.incoming.start()
        await self.members.start()

    def settle(self) -> None:
        """See to what an earlier run left, now that this node's MADs run here."""
        self.handover.clear_up(self.leftovers)

    async def stop(self) -> None:
        """Leave the others: what this node was asked for is answered first, within `drain_seconds`."""
        await self.handover.stop()
        # Whoever is not there any more is believed to have lost its calls, so the goodbye comes after the last answer.
        await self.members.retire()
        await self.incoming.stop(self.drain_seconds)
        await self.members.stop()
        await self.calls.stop()


def crosses_processes(settings: Settings) -> bool:
    """Whether bus and store are such that several processes can be one colony."""
    return not what_must_change(settings)


def what_must_change(settings: Settings) -> list[str]:
    """The settings without whose change the colony cannot leave its process, in words."""
    words: list[str] = []
    if settings.bus.startswith("memory:"):
        words.append(f"`bus: nats://...` or `redis://...` (now {settings.bus})")
    if settings.store.startswith("sqlite:"):
        words.append("`store: postgresql://...` (now sqlite; `cenoby store migrate` copies it)")
    return words


def one_process(settings: Settings) -> CallInvalid:
    """The error that says why a MAD cannot leave this process."""
    changes = " and ".join(what_must_change(settings))
    return CallInvalid("one_process", f"This colony is one process. To host MADs elsewhere, set {changes}.")


async def make_network(
    settings: Settings,
    ports: Ports,
    *,
    bus: MessageBus,
    enrolment: Enrolment,
    supervisor: Supervisor,
    note: Note,
    started_ns: int,
    make: Callable[[str], Callable[[], Mad]],
    entry: Callable[[str], str],
    recheck: Recheck,
    end: Callable[[], None] | None,
) -> Network:
    """The parts, not yet started; the host offers from now on what others have.

    Args:
        settings: of this process.
        ports: what the pipeline works with.
        bus: the colony's bus.
        enrolment: who is believed.
        supervisor: of this node's MADs.
        note: journals an event.
        started_ns: when this node started, Unix nanoseconds.
        make: how a MAD of a name is made here.
        entry: what the setting `mads` calls a MAD of that name.
        recheck: asks again whether a caller may.
        end: ends this process; given where it is a mere node.

    Raises:
        AccessRefused: `node_not_enrolled`, where it is a mere node.
    """
    node, host, clock = settings.node_name, ports.host, ports.clock
    key = await _enrolled_key(settings, enrolment, is_mere_node=end is not None)
    seals = Seals(node, key, enrolment, clock, Refusals(note, clock.monotonic_ns))
    calls = RemoteCalls(bus, settings.colony, seals, clock, lambda mad: members.hosts(mad))

    def changed(change: MemberChange) -> None:
        note(change)
        if not isinstance(change, NodeJoined):
            calls.node_lost(change.node, change.mads)

    async def order(wanted: NodeOrder) -> OrderTaken:
        return await handover.take(wanted)

    members = Members(
        bus=bus,
        colony=settings.colony,
        seals=seals,
        clock=clock,
        started_ns=started_ns,
        presence=partial(_presence, ports, supervisor),
        offers=lambda: [host.offer(name) for name in host.own_mads],
        order=order,
        price=calls.price,
        changed=changed,
        relisted=host.lists_changed,
    )
    incoming = IncomingCalls(
        bus=bus,
        colony=settings.colony,
        seals=seals,
        host=host,
        recheck=recheck,
        journal=ports.journal,
        redactor=ports.redactor,
        clock=clock,
    )
    handover = Handover(
        node=node,
        host=host,
        supervisor=supervisor,
        members=members,
        incoming=incoming,
        make=make,
        spawn=lambda mad: start_node(settings, enrolment, mad, entry(mad)),
        note=note,
        end=end,
    )
    host.join(members.mads, calls)
    return Network(
        enrolment=enrolment,
        members=members,
        calls=calls,
        incoming=incoming,
        handover=handover,
        drain_seconds=settings.gateway.drain_timeout,
        leftovers=await asyncio.to_thread(leftovers, settings, enrolment),
    )


async def _enrolled_key(settings: Settings, enrolment: Enrolment, *, is_mere_node: bool) -> SigningKey:
    """This node's key, which the others believe, or will when an operator has run the command that is told.

    Raises:
        AccessRefused: `node_not_enrolled`, where it is a mere node.
    """
    node = settings.node_name
    key = await asyncio.to_thread(node_key, settings.data / KEY_FILE)
    if not await enrolment.enroll_first(node, key.public.to_text()):
        command = f"cenoby node enroll {node} {key.public.to_text()}"
        if is_mere_node:
            text = f"{node!r} is not enrolled. Have an operator run: {command}"
            raise AccessRefused("node_not_enrolled", text)
        _log.warning("node_not_enrolled", node=node, command=command)
    return key


def _presence(ports: Ports, supervisor: Supervisor) -> Presence:
    host, states = ports.host, ports.host.mailbox_states()
    mads = {
        name: MadLoad(
            offer_digest(host.offer(name)),
            str(supervisor.state(name)[0]),
            states[name].running,
            states[name].waiting,
            states[name].refused,
        )
        for name in host.own_mads
    }
    circuits = [view.name for view in ports.breakers.views() if view.state is not CircuitState.CLOSED]
    return Presence(mads, circuits)
