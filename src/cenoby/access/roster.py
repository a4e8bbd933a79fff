"""Agents and tokens as the operator sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import msgspec

from cenoby.access.identity_sql import Agent, Token
from cenoby.access.principals import Autonomy, Kind, Seniority


class AgentInfo(msgspec.Struct, frozen=True):
    """An agent as the operator sees it. Times are Unix nanoseconds.

    Attributes:
        department, seniority, autonomy, parent, reason: as `Agent` has them.
        live_tokens: tokens that authenticate now.
        last_expiry_ns: when the last of them expires; None where one never does, or there is none.
    """

    name: str
    kind: Kind
    roles: tuple[str, ...]
    tenant: str
    created_ns: int
    live_tokens: int
    last_expiry_ns: int | None
    department: str = ""
    seniority: Seniority = ""
    autonomy: Autonomy = ""
    parent: str = ""
    reason: str = ""


class TokenInfo(msgspec.Struct, frozen=True):
    """A token as the operator sees it: never its text. Times are Unix nanoseconds."""

    id: str
    agent: str
    created_ns: int
    expires_ns: int | None
    revoked_ns: int | None
    bound_to: str = ""
    successor: str = ""


def token_state(token: Token | TokenInfo, now_ns: int) -> Literal["live", "revoked", "expired"]:
    """Whether a token authenticates at `now_ns`, and why not."""
    if token.revoked_ns is not None:
        return "revoked"
    return "expired" if token.expires_ns is not None and token.expires_ns <= now_ns else "live"


def agent_infos(agents: Iterable[Agent], tokens: Iterable[Token], now_ns: int) -> list[AgentInfo]:
    """All of `agents` by name, each with what its live tokens amount to."""
    live: defaultdict[str, list[int | None]] = defaultdict(list)
    for token in tokens:
        if token_state(token, now_ns) == "live":
            live[token.agent].append(token.expires_ns)
    return [_agent_info(agent, live[agent.name]) for agent in sorted(agents, key=lambda agent: agent.name)]


def token_info(token: Token) -> TokenInfo:
    """What may be shown of a token."""
    return TokenInfo(
        token.id, token.agent, token.created_ns, token.expires_ns, token.revoked_ns, token.bound_to, token.successor
    )


def _agent_info(agent: Agent, expiries: list[int | None]) -> AgentInfo:
    known = [expiry for expiry in expiries if expiry is not None]
    return AgentInfo(
        name=agent.name,
        kind=agent.kind,
        roles=agent.roles,
        tenant=agent.tenant,
        created_ns=agent.created_ns,
        live_tokens=len(expiries),
        last_expiry_ns=max(known) if known and len(known) == len(expiries) else None,
        department=agent.department,
        seniority=agent.seniority,
        autonomy=agent.autonomy,
        parent=agent.parent,
        reason=agent.reason,
    )
