"""What calls leave behind that decides on later ones: approvals, quotas and money.

By docs/rule/approvals.md and docs/rule/limits.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from cenoby.kernel.clock import DAY_NS
from tests.whole_rule.rule_in_force import CRITICAL, HIGH, LOW, MEDIUM, Fact, Verdict, Wanted
from tests.whole_rule.yard import AGENT_USD, RIVAL_QUOTA, TENANT_USD

MINUTE_NS = 60_000_000_000
LONGEST_GRANT = 480
OPEN_NS = 240 * MINUTE_NS
"""Within so long a call begins once it was approved; for so long a no holds."""
KEPT_NS = 1440 * MINUTE_NS
APPROVED_BY_TIME_NS = 60 * MINUTE_NS
DENIED_BY_TIME_NS = 240 * MINUTE_NS


@dataclass
class Request:
    """A call that was parked.

    Attributes:
        spent: whether a call has used the approval up.
        ran: how the engine's run of it may have ended, for the same call made again; empty where it ran none.
        by_time: whether time approved it.
        tried: whether the engine has had its turn; `under_way`, whether it may have it just now.
    """

    id: str
    agent: str
    tenant: str
    wanted: Wanted
    risk: int
    created_ns: int
    status: str = "pending"
    seconded_by: str = ""
    seconded_scope: tuple[str, int, bool] = ("once", 0, False)
    until_ns: int | None = None
    by_time: bool = False
    spent: bool = False
    tried: bool = False
    under_way: bool = False
    ran: frozenset[str] = frozenset()
    kept_until_ns: int = 0
    grants: list[Grant] = field(default_factory=list)

    @property
    def people(self) -> int:
        return 2 if self.risk >= CRITICAL else 1

    def covers(self, verdict: Verdict) -> bool:
        """Whether its yes is enough for what the rule says of the call now."""
        return self.people >= verdict.people and not (self.by_time and verdict.risk >= HIGH)

    def open_at(self, now_ns: int) -> bool:
        return not self.spent and self.status != "cancelled" and (self.until_ns is None or now_ns < self.until_ns)


@dataclass
class Grant:
    """A yes for more than one call."""

    any_arguments: bool
    conversation: str
    until_ns: int
    revoked: bool = False


@dataclass
class Charge:
    """What a call cost, or may cost while it is under way."""

    agent: str
    tenant: str
    day: int
    amount: int


class Books:
    """Everything that calls left behind."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.charges: dict[str, Charge] = {}
        self._counted: Counter[tuple[str, str, int]] = Counter()

    def count(self, agent: str, tenant: str, tool: str, now_ns: int) -> None:
        """A call was taken from its agent's and its tenant's allowance."""
        day = now_ns // DAY_NS
        self._counted.update([(agent, tool, day), ("", tenant, day)])

    def quota_left(self, agent: str, tenant: str, tool: str, fact: Fact, now_ns: int) -> int:
        """How many more such calls the quotas grant today."""
        day, left = now_ns // DAY_NS, 10**9
        if fact.quota is not None:
            left = fact.quota - self._counted[agent, tool, day]
        return min(left, RIVAL_QUOTA - self._counted["", tenant, day]) if tenant == "rival" else left

    def money_left(self, agent: str, tenant: str, now_ns: int) -> int:
        """Micro-US-dollars that a call of this agent may cost now."""
        left = AGENT_USD - self.charged("agent", agent, now_ns)
        return min(left, TENANT_USD - self.charged("tenant", tenant, now_ns)) if tenant == "rival" else left

    def charged(self, kind: str, name: str, now_ns: int) -> int:
        """What of an account is spent or held today."""
        day = now_ns // DAY_NS
        return sum(
            one.amount
            for one in self.charges.values()
            if one.day == day and name == (one.agent if kind == "agent" else one.tenant)
        )

    def request(self, identifier: str) -> Request | None:
        return next((one for one in self.requests if one.id == identifier), None)

    def same(self, agent: str, wanted: Wanted) -> list[Request]:
        """The requests for exactly this call, the newest first."""
        return [one for one in reversed(self.requests) if (one.agent, one.wanted.key) == (agent, wanted.key)]

    def grant(self, agent: str, wanted: Wanted, risk: int, now_ns: int) -> Grant | None:
        """One that lets the call through."""
        for request in self.requests:
            if request.agent != agent or request.wanted.tool != wanted.tool or request.risk < risk:
                continue
            for one in request.grants:
                exact = request.wanted.key == wanted.key
                within = one.conversation in ("", wanted.conversation) and now_ns < one.until_ns and not one.revoked
                if within and (exact or (one.any_arguments and risk < CRITICAL)):
                    return one
        return None

    def claim(self, agent: str, wanted: Wanted, verdict: Verdict, now_ns: int) -> tuple[str, Request | None]:
        """What a call finds that needs a person: `granted`, `approved`, `pending`, `denied`, `kept`, or nothing."""
        if self.grant(agent, wanted, verdict.risk, now_ns):
            return "granted", None
        found = self.same(agent, wanted)
        newest = next((one for one in found if one.open_at(now_ns)), None)
        if newest is not None and not (newest.status == "approved" and not newest.covers(verdict)):
            return newest.status, newest
        kept = next((one for one in found if one.ran and now_ns < one.kept_until_ns), None)
        return ("kept", kept) if kept is not None else ("", None)

    def approved(self, agent: str, wanted: Wanted, verdicts: Iterable[Verdict], now_ns: int) -> bool:
        """Whether a person has said yes to this call, and nobody has used that up."""
        known = [verdict for verdict in verdicts if verdict.says == "ask"]
        yes = [one for one in self.same(agent, wanted) if one.status == "approved" and one.open_at(now_ns)]
        return any(
            any(one.covers(verdict) for one in yes) or self.grant(agent, wanted, verdict.risk, now_ns)
            for verdict in known
        )

    def pass_time(self, now_ns: int) -> None:
        """What time decides by now."""
        for one in self.requests:
            if one.status == "pending":
                if one.risk == LOW and now_ns >= one.created_ns + APPROVED_BY_TIME_NS:
                    one.status, one.by_time, one.until_ns = "approved", True, now_ns + OPEN_NS
                elif one.risk == MEDIUM and now_ns >= one.created_ns + DENIED_BY_TIME_NS:
                    one.status, one.until_ns = "denied", now_ns + OPEN_NS

    def why_not(
        self, request: Request, by: str, tenant: str, yes: bool, scope: tuple[str, int, bool], now_ns: int
    ) -> set[str]:
        """The codes with which a decision may be refused; empty where it holds."""
        if request.tenant != tenant:
            return {"approval_unknown"}
        kind, minutes, anything = scope
        problems: set[str] = set()
        if request.status != "pending":
            problems.add("approval_decided")
        if by == request.agent:
            problems.add("approval_own")
        if yes:
            wrong = anything if kind == "once" else not 0 < minutes <= LONGEST_GRANT
            wrong = wrong or (kind == "conversation" and not request.wanted.conversation)
            if wrong or (anything and request.risk >= CRITICAL):
                problems.add("approval_scope")
            if request.seconded_by == by:
                problems.add("approval_seconded")
        return problems

    def decide(self, request: Request, by: str, yes: bool, scope: tuple[str, int, bool], now_ns: int) -> None:
        """A decision that holds."""
        if yes and request.people == 2 and not request.seconded_by:
            request.seconded_by, request.seconded_scope = by, scope
            return
        request.status, request.until_ns = ("approved" if yes else "denied"), now_ns + OPEN_NS
        if request.people == 2 and request.seconded_scope != scope:
            scope = ("once", 0, False)
        kind, minutes, anything = scope
        if yes and kind != "once":
            conversation = request.wanted.conversation if kind == "conversation" else ""
            request.grants.append(Grant(anything, conversation, now_ns + minutes * MINUTE_NS))
