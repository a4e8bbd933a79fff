"""Approvals: calls that wait until a person says yes to exactly these arguments.

A request is bound to agent, tool and the digest of the arguments. It is decided once, by another person than the one
that asks; a yes lets one call through, and all of it outlasts a restart. Whoever wins the approval runs the call: the
engine, which keeps the whole call and takes it on when it is approved, or the caller, by calling again unchanged.
"""

from __future__ import annotations

import difflib

from cenoby.access.actions import RiskTier, known_actions
from cenoby.access.approvals import refusals, sql
from cenoby.access.approvals.claims import ApprovalClaims, Passed, Wanted
from cenoby.access.approvals.decisions import ApprovalDecisions, Via
from cenoby.access.approvals.grants import ONCE, Scope
from cenoby.access.approvals.parked_calls import ApprovalPorts, CallSeal, KeptResult, ParkedCall
from cenoby.access.approvals.parked_flow import ParkedFlow
from cenoby.access.approvals.sql import Approval, ParkedRow
from cenoby.access.principals import Principal
from cenoby.access.sealing import Seal
from cenoby.access.verdicts import Ask
from cenoby.kernel.clock import Clock
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.kernel.settings_file import SettingsError
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.store.journal import Journal

_RISK = "risk:"


class Approvals:
    """All requests for approval.

    Args:
        database, journal: where they last, and what is recorded of them.
        clock: decides what has expired.
        settings: which actions need a person, and how long things hold.
        seal: closes what must not lie in the open.
        ports: what else `app` gives.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        settings: ApprovalSettings,
        seal: Seal,
        ports: ApprovalPorts | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._seal = CallSeal(seal)
        self._ports = ports = ports or ApprovalPorts()
        self._required = frozenset(settings.require)
        tiers = [_tier(entry) for entry in settings.require if entry.startswith(_RISK)]
        self._from_tier = min(tiers, default=RiskTier.CRITICAL + 1)
        self.flow = ParkedFlow(database, journal, clock, settings, self._seal, ports.news)
        self._claims = ApprovalClaims(database, journal, clock, settings, self._seal, self.flow, ports)
        self._decisions = ApprovalDecisions(
            database, journal, clock, self.flow.workflows, settings, ports.person_of, ports.news
        )

    def asks(self, action: str, risk: RiskTier) -> Ask | None:
        """Why the settings want a person to decide, if they do: what is required names the action type, its category
        (`deploy` or `deploy:*`), all (`*`), or a risk tier that it reaches (`risk:high`).

        Reading and deciding requests never does, or nobody could decide the first one; nor does a kill switch, because
        an emergency waits for nobody.
        """
        category = action.partition(":")[0]
        if category in ("approval", "kill"):
            return None
        if risk >= self._from_tier:
            return Ask(f"risk:{risk}", f"the settings ask for every call of risk {risk}")
        if self._required.isdisjoint((action, category, f"{category}:*", "*")):
            return None
        return Ask(f"settings:{action}", f"the settings ask for {action}")

    def verify_settings(self) -> None:
        """Pass if everything in `approvals.require` matches a registered action type. Call it once all MADs are loaded:
        a misspelt entry would let through, unasked, what it was meant to stop.

        Raises:
            SettingsError: an entry matches nothing.
        """
        known = set(known_actions())
        categories = {action.partition(":")[0] for action in known}
        matching = known | categories | {f"{category}:*" for category in categories} | {"*"}
        matching |= {f"{_RISK}{tier}" for tier in RiskTier}
        for entry in sorted(self._required - matching):
            near = difflib.get_close_matches(entry, matching, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; use category:action, a category, or *."
            raise SettingsError("settings_invalid", f"approvals.require: {entry!r} is no known action type{hint}")

    async def check(self, wanted: Wanted) -> Passed:
        """Use up the approval of this very call, find what its run gave back, or park it; raises as
        `ApprovalClaims.check`."""
        return await self._claims.check(wanted)

    def begin_in(self, connection: Connection, approval: str, invocation: str) -> None:
        """Mark, in the transaction that records the intent of a call, that nobody else may have its approval again.

        Raises:
            AccessRefused: `approval_lost`: somebody else has it by now, and nothing is recorded.
        """
        if not sql.begin_use(connection, approval, invocation, self._clock.now_ns()):
            raise refusals.AccessRefused("approval_lost", f"Another run of this call uses approval {approval}.")

    async def give_back(self, invocation: str) -> None:
        """Undo what `check` used up for an invocation that then never ran; nothing happens where it used up none.

        Raises:
            StoreUnavailable: it could not be made durable; the approval stays used.
        """
        await self._database.write(lambda connection: sql.give_back_approval(connection, invocation))

    async def list(
        self, tenant: str, *, pending: bool = False, before: str = "", limit: int = 100
    ) -> tuple[Approval, ...]:
        """Requests of a tenant, newest first.

        Args:
            tenant: whose.
            pending: only those that can still be decided.
            before: id of the last request of the page before; empty for the first page.
            limit: most requests on a page.
        """
        now_ns = self._clock.now_ns()
        return tuple(
            await self._database.read(
                lambda connection: sql.read_approvals(
                    connection, tenant, pending=pending, before=before, limit=limit, now_ns=now_ns
                )
            )
        )

    async def count_pending(self, tenant: str) -> int:
        """How many requests of a tenant can still be decided."""
        now_ns = self._clock.now_ns()
        return await self._database.read(lambda connection: sql.count_pending(connection, tenant, now_ns))

    async def get(self, approval_id: str, tenant: str) -> Approval:
        """One request as it stands.

        Raises:
            AccessRefused: `approval_unknown`.
        """
        return (await self.parked(approval_id, tenant))[0]

    async def parked(self, approval_id: str, tenant: str) -> tuple[Approval, ParkedRow | None]:
        """One request as it stands, and what is kept of its call.

        Raises:
            AccessRefused: `approval_unknown`.
        """
        now_ns = self._clock.now_ns()

        def both(connection: Connection) -> tuple[Approval | None, ParkedRow | None]:
            found = sql.read_approval(connection, tenant, approval_id, now_ns)
            return found, sql.read_parked(connection, tenant, approval_id)

        request, row = await self._database.read(both)
        if request is None:
            raise refusals.unknown(approval_id)
        return request, row

    async def result(self, row: ParkedRow, *, collect: bool) -> KeptResult | None:
        """What a parked call gave back; None while it has not ended, and where there is nothing to give or its time is
        over.

        Args:
            row: of the call.
            collect: its caller has it with this, so that the same call made again is another one.

        Raises:
            AccessRefused: `seal_broken`: it was changed.
        """
        if row.result is None:
            return None
        kept = await self._seal.open_result(row.approval, row.result)
        if collect and row.collected_ns is None:
            now_ns = self._clock.now_ns()
            await self._database.write(lambda connection: sql.collect_parked(connection, row.approval, now_ns))
        return kept

    async def context(self, row: ParkedRow) -> ParkedCall | None:
        """The whole call as it is kept while it waits; None once it has ended.

        Raises:
            AccessRefused: `seal_broken`: it was changed.
        """
        return None if row.context is None else await self._seal.open_call(row.approval, row.context)

    async def decide(
        self,
        approval_id: str,
        approver: Principal,
        approve: bool,
        reason: str = "",
        *,
        scope: Scope = ONCE,
        via: Via | None = None,
    ) -> Approval:
        """Say yes or no, once and for all. Whether the approver may decide at all its roles say (`approval:decide`).

        Args:
            approval_id: which request of the approver's tenant.
            approver: who decides; not who asks.
            approve: yes or no.
            reason: free text for the agent and the record; the first `LONGEST_REASON` characters are kept.
            scope: for how much more than this call a yes holds.
            via: the call by which it is decided, for the record.

        Returns:
            The request as decided; still pending where a second person must agree, too. A yes must be used, and a no
            lapses, within the settings' `expire_minutes` from now.

        Raises:
            AccessRefused: `approval_unknown`, `approval_own`, `approval_seconded`, `approver_not_person`,
                `approval_scope`, or `approval_decided` when somebody was quicker or time ran out.
            StoreUnavailable: it could not be made durable; nothing is decided.
        """
        reason = self._ports.clean(reason)
        return await self._decisions.decide(approval_id, approver, approve, reason, scope, via or Via())

    async def cancel(self, approval_id: str, caller: Principal) -> Approval:
        """Let go of a call of one's own that is parked; it will not run.

        Raises:
            AccessRefused: `approval_unknown`, `approval_decided`.
        """
        return await self._decisions.cancel(approval_id, caller)

    async def revoke_grants(self, approval_id: str, by: Principal, via: Via | None = None) -> int:
        """End what a decision granted beyond its call; how many grants held until now."""
        return await self._decisions.revoke(approval_id, by, via or Via())


def _tier(entry: str) -> int:
    # What is no tier is refused by `verify_settings`; until then it asks for the most.
    return RiskTier.__members__.get(entry.removeprefix(_RISK).upper(), RiskTier.LOW)
