"""Events of the colony: calls and changes on the bus, and what becomes of MADs and of what they depend on."""

from __future__ import annotations

from typing import Any, Literal

from cenoby.kernel.events import BusEvent, Event, reason_to_notes

ListName = Literal["tools", "prompts", "resources"]
"""What a client lists, and may ask to be told of when it changes."""
ALL_LISTS: tuple[ListName, ...] = ("tools", "prompts", "resources")


class ToolCall(BusEvent, frozen=True, tag="tool_call.v1"):
    """On `<colony>.mad.<mad>` within a process: run one tool for an invocation that is under way there."""

    invocation: str
    tool: str


def _all_lists(fields: dict[str, Any]) -> dict[str, Any]:
    return {"lists": ALL_LISTS, **fields}


class ToolsChanged(BusEvent, frozen=True, tag="tools_changed.v2"):
    """On `<colony>.tools`: these lists of the MAD changed.

    The first version left `lists` out where all had changed.
    """

    mad: str
    lists: tuple[ListName, ...]
    upgraders = {1: _all_lists}


class ResourceUpdated(BusEvent, frozen=True, tag="resource_updated.v1"):
    """On `<colony>.<tenant>.resource`: who reads the MCP resource `uri` should read it again."""

    uri: str


class DeferredCall(BusEvent, frozen=True, tag="deferred_call.v1"):
    """In the queue `<colony>.deferred`: a tool call that a MAD wants made, however late."""

    tool: str
    arguments: dict[str, Any]


class MadChange(Event, frozen=True):
    """Base of the changes in the life of a MAD; `notes` says why, which was `reason` in the first version.

    Attributes:
        mad: its name.
        restarts: how often it was made anew since the colony started.
    """

    mad: str
    restarts: int
    upgraders = {1: reason_to_notes}


class MadRestarted(MadChange, frozen=True, tag="mad_restarted.v2"):
    """A MAD was made anew: it broke, a person wanted it, or its time was up; `notes` says which."""


class MadPaused(MadChange, frozen=True, tag="mad_paused.v2"):
    """Calls of a MAD wait in its mailbox until it is resumed."""


class MadResumed(MadChange, frozen=True, tag="mad_resumed.v2"):
    """Calls that waited are served."""


class MadKilled(MadChange, frozen=True, tag="mad_killed.v2"):
    """A MAD was stopped at once; calls under way ended, and its tools refuse."""


class MadFailed(MadChange, frozen=True, tag="mad_failed.v2"):
    """A MAD broke too often and stays down until a person restarts it."""


class MemoryLimitPassed(Event, frozen=True, tag="memory_limit_passed.v1"):
    """The process passed supervision.max_memory_mb, and no MAD can be named that holds most of it.

    Several are hosted, and none reports what it holds.

    Attributes:
        resident_bytes, limit_mb: what the process holds, and how many MiB it may.
    """

    resident_bytes: int
    limit_mb: int


class CircuitOpen(Event, frozen=True, tag="circuit_open.v2"):
    """What failed again and again, or what a person named, is left alone; `notes` says why.

    Attributes:
        circuit: what it guards, e.g. `mad:marco` or `model:https://api.example`.
        failures: failures in a row.
        held: whether a person closed it off; null in records of the first version, which did not say.
    """

    circuit: str
    failures: int
    held: bool | None = None
    upgraders = {1: reason_to_notes}


class CircuitClosed(Event, frozen=True, tag="circuit_closed.v2"):
    """What a circuit guards is called again."""

    circuit: str
    failures: int
    upgraders = {1: reason_to_notes}


class MemberChange(Event, frozen=True):
    """Base of the coming and going of other nodes.

    Attributes:
        node: its name.
        run: id of that run of it.
        mads: what it hosts, or hosted.
    """

    node: str
    run: str
    mads: tuple[str, ...]


class NodeJoined(MemberChange, frozen=True, tag="node_joined.v1"):
    """Another node is there."""


class NodeLeft(MemberChange, frozen=True, tag="node_left.v1"):
    """Another node stopped in good order."""


class NodeLost(MemberChange, frozen=True, tag="node_lost.v1"):
    """Another node has been silent for too long, or its process ended, and it is taken for dead."""


class MessageRefused(Event, frozen=True, tag="message_refused.v1"):
    """A message between nodes was refused: not signed by an enrolled node, old, or seen before; `notes` says which.

    At most one a second is recorded for each reason and node, and eight in all.

    Attributes:
        node: who it says it is from; anybody can write that.
        subject, message: where it came to, and its event.
        more: how many more were not recorded since the last one.
    """

    node: str
    subject: str
    message: str
    more: int = 0


class MadSplit(Event, frozen=True, tag="mad_split.v1"):
    """A MAD moved from this node into a new process, which is the node `node`."""

    mad: str
    node: str
    by: str


class MadMerged(Event, frozen=True, tag="mad_merged.v1"):
    """A MAD came back to this node from `nodes`; where nobody ordered it, `notes` says why."""

    mad: str
    nodes: tuple[str, ...]
    by: str = ""


class NodeDrained(Event, frozen=True, tag="node_drained.v1"):
    """Another node was told to leave its MADs to others and end."""

    node: str
    mads: tuple[str, ...]
    by: str
