"""What nodes say to each other and ask of each other: the bodies of their signed envelopes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cenoby.access.principals import Principal
from cenoby.kernel.events import BusEvent


class MadLoad(msgspec.Struct, frozen=True):
    """One hosted MAD in a heartbeat: a digest of what it offers, and how full its mailbox is."""

    offer: str
    state: str
    running: int = 0
    waiting: int = 0
    refused: int = 0


class NodeAlive(BusEvent, frozen=True, tag="node_alive.v1"):
    """On `<colony>.nodes`, each second: this node lives and hosts these MADs.

    Attributes:
        run: id of this run of the node; another one means that it was restarted.
        number: grows with each heartbeat of a run.
        version: of Cenoby.
        started_ns: Unix nanoseconds.
        lag_ms: by how much its loop is late.
        mads: what it hosts, and takes calls for, by name.
        open_circuits: names of its circuits that are not closed.
        leaving: it goes, and this is its last heartbeat.
    """

    run: str
    number: int
    version: str
    started_ns: int
    lag_ms: float
    mads: dict[str, MadLoad]
    open_circuits: list[str] = []
    leaving: bool = False


class OffersWanted(BusEvent, frozen=True, tag="node_offers.v1"):
    """On `<colony>.node.<node>`: what do the MADs that you host offer? Answered by `Offers`."""


class NodeOrder(BusEvent, frozen=True, tag="node_order.v1"):
    """On `<colony>.node.<node>`: stop hosting these MADs, when what is under way has ended. Answered by `OrderTaken`.

    Attributes:
        mads: those to leave; all of them where the list is empty, and then the node's process ends.
        by: who ordered it.
    """

    mads: list[str]
    by: str


class RemoteCall(BusEvent, frozen=True, tag="remote_call.v2"):
    """On `<colony>.mad.<mad>`: run one tool for a call that passed the pipeline of another node.

    Answered by `RemoteReply`.

    Attributes:
        invocation: id of the call.
        tool: canonical name.
        arguments: JSON as it passed `sanitise`.
        principal: who calls, as the pipeline identified it; version 1 did not know its department and what follows.
        causation: as of the call.
        has_client: whether the caller's client hears of it, and can be asked.
    """

    invocation: str
    tool: str
    arguments: bytes
    principal: Principal
    causation: str
    has_client: bool
    upgraders = {1: dict}


class PriceWanted(BusEvent, frozen=True, tag="remote_price.v1"):
    """On `<colony>.mad.<mad>`: what may this call cost at most? Answered by `Price`."""

    tool: str
    arguments: bytes


class LeaveWanted(BusEvent, frozen=True, tag="leave_wanted.v1"):
    """On `<colony>.node.<node>.calls`: may the work on this call begin? Answered by `Leave`.

    Asked before work that must not be done twice: however often a call was sent, and to however many nodes, its
    caller's node gives leave to one piece of work.

    Attributes:
        invocation: id of the call.
        work: id of this piece of work; another one after a restart of the node that asks.
    """

    invocation: str
    work: str


class CallWaits(BusEvent, frozen=True, tag="call_waits.v1"):
    """On `<colony>.node.<node>.calls`: a call has reached a node, and waits for its turn there."""

    invocation: str


class CallNews(BusEvent, frozen=True, tag="call_news.v1"):
    """A call began, got further, or is wanted no more.

    `began`, `progress` and `log` go to `<colony>.node.<node>.calls` of the caller's node, `cancelled` to
    `<colony>.node.<node>.served` of the tool's.
    """

    invocation: str
    kind: Literal["began", "progress", "log", "cancelled"]
    done: float = 0.0
    total: float | None = None
    level: str = ""
    text: str | None = None


class CallQuestion(BusEvent, frozen=True, tag="call_question.v1"):
    """On `<colony>.node.<node>.calls`: the tool asks the caller's client something. Answered by `Answer`."""

    invocation: str
    kind: Literal["elicit", "sample"]
    message: str
    content: dict[str, Any]
