"""The MAD itself: the operator's view of the colony, and what an operator decides."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cenoby.access.approvals import Approvals
from cenoby.access.flags import Flags
from cenoby.access.ledger import Ledger
from cenoby.access.principals import Kind
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.access.sql import Approval
from cenoby.access.tokens import Identities
from cenoby.bus.work import WorkQueue
from cenoby.colony.breaker import Breakers
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.supervisor import Supervisor
from cenoby.colony.tool import Tool, tool
from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.envelope import Priority
from cenoby.mads.grace import views
from cenoby.mads.grace.circuit_tools import CircuitTools
from cenoby.mads.grace.flag_tools import FLAG_EVENTS, FlagTools
from cenoby.mads.grace.journal_tools import JournalTools
from cenoby.mads.grace.letter_tools import LetterTools
from cenoby.mads.grace.mad_tools import MadTools
from cenoby.mads.grace.paging import Cursor, Limit
from cenoby.mads.grace.tool_search import rank
from cenoby.store.journal import Journal
from cenoby.telemetry.metrics import Metrics
from cenoby.telemetry.recorder import Recorder

AgentName = Annotated[str, Field(description="Name of the agent.", min_length=1, max_length=63)]
Reason = Annotated[str, Field(description="Why; the asking agent and the journal get it.", max_length=2000)]


class Grace(CircuitTools, JournalTools, MadTools, LetterTools, FlagTools, Mad):
    """Shows the colony to whoever runs or checks it, and takes their decisions.

    Args:
        about: names and start of this colony.
        host: the MADs and tools of this node.
        journal, identities, approvals, ledger, breakers, flags, supervisor, work, recorder, metrics: what she shows and
            acts on.
        roles: which tools a caller may find.
        clock: the time.
    """

    name = "grace"
    summary = "The operator's view: status, agents and tokens, journal, approvals, costs."
    events = {
        "token_created": "A token was made: for whom, with which roles, until when; never its text.",
        "token_revoked": "A token was revoked.",
        "approval_approved": "A person let one call through, once; `digest` says which call exactly.",
        "approval_denied": "A person said no to one call.",
    } | FLAG_EVENTS

    def __init__(
        self,
        *,
        about: views.About,
        host: Host,
        journal: Journal,
        identities: Identities,
        approvals: Approvals,
        ledger: Ledger,
        breakers: Breakers,
        flags: Flags,
        supervisor: Supervisor,
        work: WorkQueue,
        roles: RoleTable,
        recorder: Recorder,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._about = about
        self._host = host
        self._journal = journal
        self._identities = identities
        self._approvals = approvals
        self._ledger = ledger
        self._breakers = breakers
        self._flags = flags
        self._supervisor = supervisor
        self._work = work
        self._roles = roles
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock

    @tool("colony:read", effect="reads", title="Status of the colony", priority=Priority.SYSTEM)
    async def status(self, call: Call) -> views.StatusView:
        """Show what runs: MADs and mailboxes, the journal's head, calls since the start, protections that hold."""
        about = self._about
        head = await self._journal.head()
        return views.StatusView(
            colony=about.colony,
            node=about.node,
            version=about.version,
            started=iso_time(about.started_ns),
            uptime_seconds=round((self._clock.now_ns() - about.started_ns) / 1e9, 1),
            approvals_waiting=await self._approvals.count_pending(call.principal.tenant),
            calls=self._metrics.calls(),
            journal=views.HeadView(head.seq, head.id, head.hash) if head else None,
            protections=dict(about.protections()),
            mads=self._mads(),
            circuits=self.circuits(),
        )

    @tool("colony:read", effect="reads", title="Find tools")
    async def find_tools(
        self,
        call: Call,
        query: Annotated[str, Field(description="What the tool should do, in a few words.", max_length=500)] = "",
        limit: Annotated[int, Field(ge=1, le=100, description="Most tools to return.")] = 10,
    ) -> views.ToolList:
        """Find tools that the caller may use by what they do, with their input schemas; all of them without a query."""
        allowed = [one for one in self._host.tools if self._may(call, one)]
        return views.ToolList([views.tool_view(found) for found in rank(query, allowed)[:limit]])

    @tool("colony:admin", effect="reads", title="List agents")
    async def list_agents(self, call: Call) -> views.AgentList:
        """List the agents of the caller's tenant with their roles and how many live tokens each has."""
        known = self._identities.list_agents()
        return views.AgentList([views.agent_view(one) for one in known if one.tenant == call.principal.tenant])

    @tool("colony:admin", effect="writes", title="Create a token", sensitive_result=True)
    async def create_token(
        self,
        call: Call,
        agent: AgentName,
        roles: Annotated[list[str] | None, Field(description="Roles of a new agent; may be left out later.")] = None,
        role: Annotated[str | None, Field(description="One role, instead of `roles`.")] = None,
        ttl_hours: Annotated[float | None, Field(gt=0, description="Hours it lives; null means no limit.")] = None,
        kind: Annotated[Kind | None, Field(description="What a new agent is; `agent` unless said.")] = None,
        replace_roles: Annotated[bool, Field(description="Give an agent that exists these roles.")] = False,
    ) -> views.NewTokenView:
        """Make a token for an agent, and register the agent if it is new. The token is shown this once."""
        named = [*(roles or []), *([role] if role else [])]
        ttl_seconds = None if ttl_hours is None else ttl_hours * 3600
        expires_ns = None if ttl_seconds is None else self._clock.now_ns() + round(ttl_seconds * 1e9)
        made = await self._identities.create_token(
            agent,
            named,
            tenant=call.principal.tenant,
            kind=kind,
            ttl_seconds=ttl_seconds,
            replace_roles=replace_roles,
        )
        held = next(list(one.roles) for one in self._identities.list_agents() if one.name == agent)
        expires = views.time_or_none(expires_ns)
        await call.note("token_created", {"token_id": made.id, "agent": agent, "roles": held, "expires": expires})
        return views.NewTokenView(token_id=made.id, agent=agent, roles=held, expires=expires, token=made.text)

    @tool("colony:admin", effect="reads", title="List tokens")
    async def list_tokens(
        self, call: Call, agent: Annotated[str | None, Field(description="Only those of this agent.")] = None
    ) -> views.TokenList:
        """List tokens, oldest first: whose, since when, until when, and whether they work. Never their text."""
        now_ns, own = self._clock.now_ns(), self._own_agents(call)
        tokens = [one for one in self._identities.list_tokens(agent) if one.agent in own]
        return views.TokenList([views.token_view(one, now_ns) for one in tokens])

    @tool("colony:admin", effect="writes", idempotent=True, title="Revoke a token")
    async def revoke_token(
        self, call: Call, token_id: Annotated[str, Field(description="Id of the token, from list_tokens.")]
    ) -> views.TokenView:
        """Revoke a token; it stops working at once."""
        own = self._own_agents(call)
        if not any(one.id == token_id for one in self._identities.list_tokens() if one.agent in own):
            raise AccessRefused("token_not_found", f"There is no token {token_id!r}; list_tokens shows them.")
        revoked = await self._identities.revoke(token_id)
        await call.note("token_revoked", {"token_id": token_id, "agent": revoked.agent})
        return views.token_view(revoked, self._clock.now_ns())

    @tool("journal:read", effect="reads", title="List spans")
    async def list_spans(
        self,
        call: Call,
        correlation: Annotated[str | None, Field(description="Only with this correlation id.")] = None,
        limit: Limit = 200,
    ) -> views.SpanList:
        """Show where recent calls spent their time, stage by stage; kept in memory, the oldest are forgotten."""
        del call
        return views.SpanList([views.span_view(one) for one in self._recorder.spans(correlation, limit)])

    @tool("approval:read", effect="reads", title="List approvals")
    async def list_approvals(
        self,
        call: Call,
        pending: Annotated[bool, Field(description="Only those that can still be decided.")] = True,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> views.ApprovalList:
        """List calls that wait for a person's decision, newest first, with exactly what they would do."""
        found = await self._approvals.list(call.principal.tenant, pending=pending, before=cursor or "", limit=limit + 1)
        page = found[:limit]
        following = page[-1].id if len(found) > limit else None
        return views.ApprovalList([views.approval_view(one) for one in page], following)

    @tool("approval:decide", effect="writes", title="Approve a call")
    async def approve(
        self,
        call: Call,
        approval_id: Annotated[str, Field(description="Id of the request, from list_approvals.")],
        reason: Reason = "",
    ) -> views.ApprovalView:
        """Let one call with exactly the shown arguments through, once. Nobody approves a request of their own."""
        return await self._decide(call, approval_id, reason, approve=True)

    @tool("approval:decide", effect="writes", title="Deny a call")
    async def deny(
        self,
        call: Call,
        approval_id: Annotated[str, Field(description="Id of the request, from list_approvals.")],
        reason: Reason = "",
    ) -> views.ApprovalView:
        """Say no to a call that waits for approval."""
        return await self._decide(call, approval_id, reason, approve=False)

    @tool("journal:read", effect="reads", title="Costs and budgets")
    async def costs(
        self,
        call: Call,
        agent: Annotated[str | None, Field(description="Only of this agent.")] = None,
        days: Annotated[int, Field(ge=1, le=366, description="UTC days, today included.")] = 1,
    ) -> views.CostList:
        """Show what agents spent and hold reserved, against their daily budgets, newest day first."""
        found = await self._ledger.usage(call.principal.tenant, agent=agent, days=days)
        return views.CostList([views.cost_view(one) for one in found])

    async def _decide(self, call: Call, approval_id: str, reason: str, *, approve: bool) -> views.ApprovalView:
        decided: Approval = await self._approvals.decide(approval_id, call.principal, approve, reason)
        facts: dict[str, Any] = {"approval_id": decided.id, "agent": decided.agent, "tool": decided.tool}
        await call.note(f"approval_{decided.status}", facts | {"digest": decided.digest, "reason": decided.reason})
        return views.approval_view(decided)

    def _mads(self) -> list[views.MadView]:
        states = self._host.mailbox_states()
        counts: dict[str, int] = {}
        for one in self._host.tools:
            counts[one.mad] = counts.get(one.mad, 0) + 1
        return [
            views.MadView(
                name=mad.name,
                tools=counts.get(mad.name, 0),
                running=states[mad.name].running,
                waiting=states[mad.name].waiting,
                refused=states[mad.name].refused,
                summary=mad.summary,
                **self.standing(mad.name),
            )
            for mad in self._host.mads
        ]

    def _may(self, call: Call, found: Tool) -> bool:
        return self._roles.allows(call.principal, found.says.action)

    def _own_agents(self, call: Call) -> set[str]:
        tenant = call.principal.tenant
        return {one.name for one in self._identities.list_agents() if one.tenant == tenant}
