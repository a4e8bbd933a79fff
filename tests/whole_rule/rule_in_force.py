"""What the rule in force says of one call: a second reading of docs/rule/*.md, with Cedar's own engine for policy.

Nothing here asks the code under test. A `Rule` is everything that people can change while a colony runs, as it is at
one moment; it is never changed, only replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

import cedarpy

LOW, MEDIUM, HIGH, CRITICAL = 1, 2, 3, 4
TIERS = {"low": LOW, "medium": MEDIUM, "high": HIGH, "critical": CRITICAL}
LEVELS = ("locked", "supervised", "semi", "full")
REGISTERED = {
    "code:read": LOW, "docs:write": LOW, "test:run": LOW, "comms:external": HIGH, "db:admin": CRITICAL,
    "kill:switch": HIGH, "autonomy:raise": HIGH, "colony:admin": HIGH, "colony:read": LOW, "token:rotate": LOW,
    "approval:decide": HIGH,
}  # fmt: skip
"""docs/architecture.md, "Action types"."""
REQUIRED = frozenset({"deploy:production", "db:admin", "org:fire", "comms:external"})
"""The setting `approvals.require` of the colony under test."""
DENIED = "denied by policy"
"""Whether no permit fits, a forbid holds, or one cannot be evaluated: which of these is said depends on the order."""
PASSES: Mapping[str, frozenset[str]] = {
    "semi": frozenset({"code", "test", "docs", "vcs", "comms:internal", "db:query", "colony:read", "comms:read",
                       "memory:read"}),
    "supervised": frozenset({"code:read", "vcs:read", "test:run", "db:query", "colony:read", "comms:read",
                             "memory:read"}),
    "locked": frozenset(),
}  # fmt: skip
"""docs/rule/autonomy.md, the table."""
SEEN_WHILE_STOPPED = frozenset({"kill:switch", "colony:read", "journal:read", "approval:read"})
"""docs/rule/kill-switches.md: what people still do while a MAD, a tool, a tenant or all is stopped."""


@dataclass(frozen=True)
class Fact:
    """What a tool declares of itself."""

    action: str
    effect: Literal["reads", "writes", "outside"]
    quota: int | None = None
    """Calls of each agent on a UTC day."""

    @property
    def category(self) -> str:
        return self.action.partition(":")[0]


@dataclass(frozen=True)
class Agent:
    """An agent or a person."""

    tenant: str
    roles: tuple[str, ...]
    kind: str = "agent"
    department: str = ""
    seniority: str = ""


@dataclass(frozen=True)
class Token:
    """A token that was made; times are Unix nanoseconds."""

    id: str
    agent: str
    created_ns: int
    expires_ns: int | None = None
    revoked: bool = False
    rotated: bool = False


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Rule:
    """Everything that can be changed, at one moment.

    Attributes:
        agents, tokens: by name, and by text.
        policies: the text of all policies in force, in Cedar's language.
        tiers: of the tiers file.
        kills: (tenant for whose callers it holds, empty for all; agent, mad, tool or all; name).
        levels: (tenant; agent, department or company; name) and its level of autonomy.
    """

    agents: Mapping[str, Agent]
    tokens: Mapping[str, Token]
    policies: str
    tiers: Mapping[str, int] = field(default_factory=_empty)
    kills: frozenset[tuple[str, str, str]] = frozenset()
    levels: Mapping[tuple[str, str, str], str] = field(default_factory=_empty)

    def with_token(self, text: str, token: Token) -> Rule:
        return replace(self, tokens={**self.tokens, text: token})


@dataclass(frozen=True)
class Verdict:
    """What becomes of a call: it is refused with this code, a person must decide it, or it runs."""

    says: Literal["refuse", "ask", "run"]
    code: str = ""
    risk: int = LOW

    @property
    def people(self) -> int:
        return 2 if self.risk >= CRITICAL else 1


@dataclass(frozen=True)
class Wanted:
    """One call as it was made.

    Attributes:
        resumed: whether the engine makes it, for a call that was parked: its token may have run out meanwhile.
    """

    credential: str
    tool: str
    arguments: Mapping[str, Any]
    conversation: str = ""
    resumed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """The tool and the exact arguments."""
        return self.tool, json.dumps(self.arguments, sort_keys=True)

    @property
    def mad(self) -> str:
        return self.tool.split(".")[1]


def caller(rule: Rule, wanted: Wanted, now_ns: int) -> str:
    """Why who calls is not let in; empty where it is."""
    token = rule.tokens.get(wanted.credential)
    if token is None:
        return "token_unknown"
    if token.revoked:
        return "token_revoked"
    if not wanted.resumed and token.expires_ns is not None and token.expires_ns <= now_ns:
        return "token_expired"
    agent = rule.agents[token.agent]
    holds = {name for tenant, scope, name in rule.kills if tenant in ("", agent.tenant) and scope == "agent"}
    everything = any(tenant in ("", agent.tenant) and scope == "all" for tenant, scope, _ in rule.kills)
    return "killed" if token.agent in holds or (everything and agent.kind != "person") else ""


def stopped(rule: Rule, agent: str, tool: str, action: str) -> bool:
    """Whether a kill switch stops this call."""
    who = rule.agents[agent]
    kept = who.kind == "person" and action in SEEN_WHILE_STOPPED
    names = {"agent": agent, "mad": tool.split(".")[1], "tool": tool, "all": ""}
    return any(
        tenant in ("", who.tenant) and names[scope] == name and (scope == "agent" or not kept)
        for tenant, scope, name in rule.kills
    )


def verdict(rule: Rule, wanted: Wanted, fact: Fact, now_ns: int) -> Verdict:
    """What the rule says of a call by now; quotas, money and approvals aside, which `books.py` keeps."""
    if problem := caller(rule, wanted, now_ns):
        return Verdict("refuse", problem)
    name = rule.tokens[wanted.credential].agent
    agent = rule.agents[name]
    if stopped(rule, name, wanted.tool, fact.action):
        return Verdict("refuse", "killed")
    risk = rule.tiers.get(fact.action, REGISTERED[fact.action])
    says, asked = by_policy(rule.policies, name, agent, wanted, fact, risk, now_ns)
    if says != "allow":
        return Verdict("refuse", says)
    if any(".." in str(value) for value in wanted.arguments.values()):
        return Verdict("refuse", "rule_violated")
    asked |= by_level(rule, name, agent, fact, risk)
    # Nobody could decide the first request, or stop anything, if these asked by the settings.
    asked |= fact.action in REQUIRED and fact.category not in ("approval", "kill")
    return Verdict("ask" if asked else "run", risk=risk)


def level_of(rule: Rule, name: str, agent: Agent) -> str:
    """The level in force: the agent's own, else its department's, else the company's; a junior's is semi at most."""
    keys = (
        (agent.tenant, "agent", name),
        (agent.tenant, "department", agent.department),
        (agent.tenant, "company", ""),
    )
    level = next((rule.levels[key] for key in keys if key in rule.levels), "full")
    return min(level, "semi", key=LEVELS.index) if agent.seniority == "junior" else level


def by_level(rule: Rule, name: str, agent: Agent, fact: Fact, risk: int) -> bool:
    """Whether the level of autonomy leaves the call to a person."""
    level = level_of(rule, name, agent)
    if agent.kind == "person" or level == "full" or (fact.action == "kill:switch" and level != "locked"):
        return False
    return not ({fact.action, fact.category} & PASSES[level]) or risk >= HIGH


def by_policy(
    text: str, name: str, agent: Agent, wanted: Wanted, fact: Fact, risk: int, now_ns: int
) -> tuple[str, bool]:
    """`allow`, or the code of the refusal; and whether a permit that holds asks."""
    seconds = now_ns // 10**9
    facts = (name, agent, wanted.tool, fact.action, fact.effect, risk, seconds // 3600 % 24)
    # Null is absent.
    given = {argument: value for argument, value in wanted.arguments.items() if value is not None}
    return _cedar(text, facts, json.dumps(given, sort_keys=True))


@lru_cache(maxsize=200_000)
def _cedar(text: str, facts: tuple[str, Agent, str, str, str, int, int], arguments: str) -> tuple[str, bool]:
    name, agent, tool, action, effect, risk, hour = facts
    mad = {"type": "Mad", "id": tool.split(".")[1]}
    category = {"type": "Action", "id": action.partition(":")[0]}
    parents = [{"type": "Role", "id": role} for role in agent.roles] + [{"type": "Tenant", "id": agent.tenant}]
    own = {"tenant": agent.tenant, "kind": agent.kind, "department": agent.department}
    entities = [
        {"uid": {"type": "Agent", "id": name}, "attrs": own, "parents": parents},
        {"uid": {"type": "Tool", "id": tool}, "attrs": {"mad": mad["id"], "effect": effect}, "parents": [mad]},
        {"uid": {"type": "Action", "id": action}, "attrs": {}, "parents": [category]},
    ]
    word = next(one for one, tier in TIERS.items() if tier == risk)
    context = {"risk": word, "risk_level": risk, "hour": hour, "arguments": json.loads(arguments)}
    request = {
        "principal": {"type": "Agent", "id": name}, "action": {"type": "Action", "id": action},
        "resource": {"type": "Tool", "id": tool}, "context": context,
    }  # fmt: skip
    found = cedarpy.is_authorized(request, text, entities)
    if found.diagnostics.errors or found.decision.value.lower() != "allow":
        return DENIED, False
    reasons = {found.diagnostics.id_annotations_by_reason[one] for one in found.diagnostics.reasons}
    asking = set(re.findall(r'@id\("([^"]+)"\)\s*@ask\(', text))
    return "allow", bool(asking & reasons)
