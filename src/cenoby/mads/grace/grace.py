"""The MAD itself: the operator's view of the colony, and what an operator decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from cenoby.access.approvals.approvals import Approvals
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.flags import Flags
from cenoby.access.kills import Kills
from cenoby.access.roles import RoleTable
from cenoby.access.tokens import Identities
from cenoby.bus.work import WorkQueue
from cenoby.colony.apis.published import Publications
from cenoby.colony.breaker import Breakers
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.pins import Pins
from cenoby.colony.supervisor import Supervisor
from cenoby.colony.tool import Tool, tool
from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.envelope import Priority
from cenoby.kernel.events import by_name
from cenoby.kernel.settings_identity import TokenSettings
from cenoby.mads.grace import views
from cenoby.mads.grace.api_tools import ApiTools
from cenoby.mads.grace.approval_tools import ApprovalTools
from cenoby.mads.grace.autonomy_tools import AutonomyTools
from cenoby.mads.grace.canary_tools import CanaryTools
from cenoby.mads.grace.circuit_tools import CircuitTools
from cenoby.mads.grace.events import (
    AutonomySet,
    CanaryCreated,
    CanaryDeleted,
    FlagRemoved,
    FlagSet,
    KillSwitchLifted,
    KillSwitchThrown,
    NodeEnrolled,
    NodeRevoked,
    PiiRevealed,
    SubjectBlocked,
    SubjectUnblocked,
    TokenCreated,
    TokenRevoked,
    TokenRotated,
)
from cenoby.mads.grace.evidence_tools import EvidenceTools
from cenoby.mads.grace.flag_tools import FlagTools
from cenoby.mads.grace.identity_tools import IdentityTools
from cenoby.mads.grace.journal_tools import JournalTools
from cenoby.mads.grace.kill_tools import KillTools
from cenoby.mads.grace.letter_tools import LetterTools
from cenoby.mads.grace.mad_tools import MadTools
from cenoby.mads.grace.node_tools import Nodes, NodeTools
from cenoby.mads.grace.paging import Limit
from cenoby.mads.grace.pin_tools import PinTools
from cenoby.mads.grace.policy_tools import PolicyTools
from cenoby.mads.grace.records import PresentForm
from cenoby.mads.grace.seal_tools import SealTools
from cenoby.mads.grace.token_tools import TokenTools
from cenoby.mads.grace.tool_search import rank
from cenoby.protection.dlp.canary_book import CanaryBook
from cenoby.protection.dlp.token_store import TokenStore
from cenoby.protection.events import MasterKeyRotated
from cenoby.protection.evidence.log import EvidenceLog
from cenoby.protection.rules.events import ToolAccepted
from cenoby.protection.seal import SealKeeper
from cenoby.protection.seal_events import SealMade, ShareGiven, SharesMade, UnsealRefused, VaultClosed, VaultUnsealed
from cenoby.store.journal import Journal
from cenoby.telemetry.metrics import Metrics
from cenoby.telemetry.recorder import Recorder


class Grace(
    IdentityTools,
    CircuitTools,
    JournalTools,
    EvidenceTools,
    MadTools,
    NodeTools,
    LetterTools,
    FlagTools,
    KillTools,
    CanaryTools,
    TokenTools,
    AutonomyTools,
    ApiTools,
    ApprovalTools,
    PolicyTools,
    PinTools,
    SealTools,
    Mad,
):
    """Shows the colony to whoever runs or checks it, and takes their decisions.

    Args:
        about: names and start of this colony.
        host: the MADs and tools of this node.
        publications: what of them is published.
        journal, identities, approvals, ledger, breakers, flags, kills, autonomy, supervisor, work, nodes, recorder,
            metrics: what she shows and acts on.
        token_settings: how long tokens live where nobody says it.
        roles: the policies in force: which tools a caller may find, and why.
        policy_words: what she says of them in `describe_policy`.
        canaries: the planted texts.
        pii: what tokens stand for.
        pins: of foreign tools, where there are any.
        present_form: how she reads events of earlier versions.
        clock: the time.
        evidence: the log over the journal, where this process keeps it.
        seal: the vault's, where it has one.
    """

    name = "grace"
    summary = "The operator's view: status, agents and tokens, journal, approvals, costs."
    events = by_name(
        TokenCreated,
        TokenRotated,
        TokenRevoked,
        SubjectBlocked,
        SubjectUnblocked,
        FlagSet,
        FlagRemoved,
        KillSwitchThrown,
        KillSwitchLifted,
        AutonomySet,
        ToolAccepted,
        NodeEnrolled,
        NodeRevoked,
        CanaryCreated,
        CanaryDeleted,
        PiiRevealed,
        SealMade,
        SharesMade,
        ShareGiven,
        UnsealRefused,
        VaultUnsealed,
        VaultClosed,
        MasterKeyRotated,
    )

    def __init__(
        self,
        *,
        about: views.About,
        host: Host,
        publications: Publications,
        journal: Journal,
        identities: Identities,
        approvals: Approvals,
        ledger: Ledger,
        breakers: Breakers,
        flags: Flags,
        kills: Kills,
        autonomy: AutonomyLevels,
        canaries: CanaryBook | None = None,
        pii: TokenStore | None = None,
        pins: Pins | None = None,
        supervisor: Supervisor,
        work: WorkQueue,
        nodes: Nodes,
        roles: RoleTable,
        policy_words: Callable[[], str] = str,
        recorder: Recorder,
        metrics: Metrics,
        present_form: PresentForm,
        clock: Clock,
        token_settings: TokenSettings = TokenSettings(),  # noqa: B008 - nothing changes it
        evidence: EvidenceLog | None = None,
        seal: SealKeeper | None = None,
    ) -> None:
        self._about = about
        self._host = host
        self._publications = publications
        self._journal = journal
        self._identities = identities
        self._token_settings = token_settings
        self._approvals = approvals
        self._ledger = ledger
        self._breakers = breakers
        self._flags = flags
        self._kills = kills
        self._autonomy = autonomy
        self._canaries = canaries
        self._pii = pii
        self._pins = pins
        self._supervisor = supervisor
        self._work = work
        self._nodes = nodes
        self._roles = roles
        self._policy_words = policy_words
        self._recorder = recorder
        self._metrics = metrics
        self._present_form = present_form
        self._clock = clock
        self._evidence = evidence
        self._seal = seal

    @tool("colony:read", effect="reads", title="Status of the colony", priority=Priority.SYSTEM)
    async def status(self, call: Call) -> views.StatusView:
        """Show what runs: MADs and mailboxes, the journal's head, calls since the start, protections that hold."""
        about = self._about
        head = await self._journal.head()
        circuits = self.circuits(call)
        return views.StatusView(
            colony=about.colony,
            node=about.node,
            version=about.version,
            started=iso_time(about.started_ns),
            uptime_seconds=round((self._clock.now_ns() - about.started_ns) / 1e9, 1),
            loop_lag_seconds=round(about.lag(), 4),
            approvals_waiting=await self._approvals.count_pending(call.principal.tenant),
            calls=self._metrics.calls(),
            journal=views.HeadView(head.seq, head.id, head.hash) if head else None,
            protections=dict(about.protections()),
            mads=self._mads(),
            nodes=await self._node_briefs(),
            circuits=circuits,
            circuits_closed=self.circuit_count() - len(circuits),
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

    @tool("journal:read", effect="reads", title="List spans")
    async def list_spans(
        self,
        call: Call,
        correlation: Annotated[str | None, Field(description="Only with this correlation id.")] = None,
        limit: Limit = 200,
    ) -> views.SpanList:
        """Show where recent calls spent their time, stage by stage; kept in memory, the oldest are forgotten."""
        found = self._recorder.spans(correlation, limit, tenant=call.principal.tenant)
        return views.SpanList([views.span_view(one) for one in found])

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

    async def _node_briefs(self) -> list[views.NodeBrief]:
        here, states = self._about.node, self._host.mailbox_states().values()
        return [
            views.NodeBrief(
                name=one.name,
                state=one.state,
                mads=", ".join(one.mads),
                running=sum(state.running for state in (states if one.name == here else one.mailboxes)),
                waiting=sum(state.waiting for state in (states if one.name == here else one.mailboxes)),
                open_circuits=len(self.circuits() if one.name == here else one.open_circuits),
                lag_ms=round(self._about.lag() * 1000, 1) if one.name == here else one.lag_ms,
            )
            for one in await self.node_views()
        ]

    def _may(self, call: Call, found: Tool) -> bool:
        return self._roles.allows(call.principal, found.says.action, found.name)
