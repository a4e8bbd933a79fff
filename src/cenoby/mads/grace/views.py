"""What Grace's tools give back. Times are RFC 3339 in UTC, money is in US dollars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cenoby.access.roster import AgentInfo, TokenInfo, token_state
from cenoby.access.sql import Usage
from cenoby.colony.tool import Tool
from cenoby.kernel.clock import DAY_NS, iso_time
from cenoby.mads.grace.circuit_tools import CircuitView
from cenoby.telemetry.recorder import Span


@dataclass(frozen=True, slots=True)
class About:
    """What Grace says of the colony she serves.

    Attributes:
        colony, node, version: names of this colony and this process, and what it runs.
        started_ns: wall time of the start, Unix nanoseconds.
        protections: asks which protections hold, by name, e.g. `{"landlock": "ABI 4", "uid": "missing"}`.
        lag: asks how late the event loop was at its worst of late, in seconds.
    """

    colony: str
    node: str
    version: str
    started_ns: int
    protections: Callable[[], Mapping[str, str]] = field(default=dict[str, str])
    lag: Callable[[], float] = field(default=float)


@dataclass(frozen=True, slots=True)
class MadView:
    """A hosted MAD and its mailbox."""

    name: str
    tools: int
    running: int
    waiting: int
    refused: int
    summary: str
    state: str
    """running, paused, restarting, killed or failed."""
    reason: str
    restarts: int


@dataclass(frozen=True, slots=True)
class HeadView:
    """The newest record of this node's journal."""

    seq: int
    id: str
    hash: str


@dataclass(frozen=True, slots=True)
class NodeBrief:
    """A node as `status` shows it; those that are elsewhere by their last heartbeat."""

    name: str
    state: str
    mads: str
    running: int
    waiting: int
    open_circuits: int
    lag_ms: float


@dataclass(frozen=True, slots=True)
class StatusView:
    colony: str
    node: str
    version: str
    started: str
    uptime_seconds: float
    loop_lag_seconds: float
    """How late the event loop was at its worst, within the last minute."""
    approvals_waiting: int
    calls: dict[str, int]
    """Calls since the start, by how they ended."""
    journal: HeadView | None
    protections: dict[str, str]
    mads: list[MadView]
    nodes: list[NodeBrief]
    """All nodes of the colony; `cenoby node list` says more."""
    circuits: list[CircuitView]
    """Circuits that are not closed."""
    circuits_closed: int
    """How many others there are."""


@dataclass(frozen=True, slots=True)
class AgentView:
    name: str
    kind: str
    roles: list[str]
    created: str
    live_tokens: int
    last_expiry: str | None
    """When the last live token expires; null where one never does, or none lives."""
    department: str
    seniority: str
    autonomy: str
    """Its own autonomy level; empty where it has that of its department."""
    parent: str
    """The agent for which it works."""
    reason: str
    """Why it was made."""


@dataclass(frozen=True, slots=True)
class AgentList:
    agents: list[AgentView]


@dataclass(frozen=True, slots=True)
class NewTokenView:
    token_id: str
    agent: str
    roles: list[str]
    expires: str | None
    token: str
    """The token itself: shown this once, kept only as a hash."""


@dataclass(frozen=True, slots=True)
class TokenView:
    id: str
    agent: str
    state: str
    """live, expired or revoked."""
    created: str
    expires: str | None
    revoked: str | None
    bound_to: str
    """Thumbprint of the key that its holder must prove to have; empty for a bearer token."""
    successor: str
    """Id of the token that it was rotated to."""


@dataclass(frozen=True, slots=True)
class TokenList:
    tokens: list[TokenView]


@dataclass(frozen=True, slots=True)
class SpanView:
    name: str
    start: str
    milliseconds: float
    status: str
    agent: str
    id: str
    parent: str


@dataclass(frozen=True, slots=True)
class SpanList:
    spans: list[SpanView]


@dataclass(frozen=True, slots=True)
class ToolView:
    name: str
    mad: str
    description: str
    action: str
    effect: str
    risk: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolList:
    tools: list[ToolView]


@dataclass(frozen=True, slots=True)
class CostView:
    day: str
    agent: str
    spent_usd: float
    held_usd: float
    """Reserved by calls under way, or by calls that a crash cut off; counts as spent."""
    limit_usd: float


@dataclass(frozen=True, slots=True)
class CostList:
    costs: list[CostView]


def agent_view(info: AgentInfo) -> AgentView:
    """An agent for people."""
    return AgentView(
        name=info.name,
        kind=info.kind,
        roles=list(info.roles),
        created=iso_time(info.created_ns),
        live_tokens=info.live_tokens,
        last_expiry=time_or_none(info.last_expiry_ns),
        department=info.department,
        seniority=info.seniority,
        autonomy=info.autonomy,
        parent=info.parent,
        reason=info.reason,
    )


def token_view(info: TokenInfo, now_ns: int) -> TokenView:
    """A token for people, as it stands at `now_ns`."""
    return TokenView(
        id=info.id,
        agent=info.agent,
        state=token_state(info, now_ns),
        created=iso_time(info.created_ns),
        expires=time_or_none(info.expires_ns),
        revoked=time_or_none(info.revoked_ns),
        bound_to=info.bound_to,
        successor=info.successor,
    )


def span_view(span: Span) -> SpanView:
    """A span for people."""
    return SpanView(
        name=span.name,
        start=iso_time(span.start_ns),
        milliseconds=round(span.duration_ns / 1e6, 4),
        status=span.status,
        agent=span.agent,
        id=span.id,
        parent=span.parent,
    )


def tool_view(tool: Tool) -> ToolView:
    """A tool as whoever looks for one needs it."""
    return ToolView(
        name=tool.name,
        mad=tool.mad,
        description=tool.description,
        action=tool.says.action,
        effect=tool.says.effect,
        risk=str(tool.says.risk),
        input_schema=tool.input_schema,
    )


def cost_view(usage: Usage) -> CostView:
    """One agent's money on one day, for people."""
    return CostView(
        day=iso_time(usage.day * DAY_NS)[:10],
        agent=usage.agent,
        spent_usd=usage.spent / 1e6,
        held_usd=usage.held / 1e6,
        limit_usd=usage.limit / 1e6,
    )


def time_or_none(time_ns: int | None) -> str | None:
    """`time_ns` as RFC 3339, where there is one."""
    return None if time_ns is None else iso_time(time_ns)
