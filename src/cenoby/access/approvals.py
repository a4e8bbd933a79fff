"""Approvals: calls that wait until a person says yes to exactly these arguments.

A request is bound to agent, tool and the digest of the arguments. It is decided once, by another agent than the one
that asks; a yes lets one call through, and all of it outlasts a restart. There is no approval by time-out.
"""

from __future__ import annotations

import difflib
from typing import Any

import msgspec

from cenoby.access import sql
from cenoby.access.actions import RiskTier, known_actions
from cenoby.access.limits import LimitExceeded
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.access.sql import Approval
from cenoby.kernel.clock import Clock
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import ApprovalSettings
from cenoby.kernel.settings_file import SettingsError
from cenoby.store.database import Database
from cenoby.store.engine import Connection

MAX_PENDING = 100
"""Undecided requests of one agent; more would bury the person who decides."""
_RISK = "risk:"
LONGEST_REASON = 2000
"""Characters of a decision's reason that are kept."""


class Approvals:
    """All requests for approval.

    Args:
        database: where they last.
        clock: decides what has expired.
        settings: which actions need a person, and for how long a request and an unused yes or no hold.
    """

    def __init__(self, database: Database, clock: Clock, settings: ApprovalSettings) -> None:
        self._database = database
        self._clock = clock
        self._required = frozenset(settings.require)
        tiers = [_tier(entry) for entry in settings.require if entry.startswith(_RISK)]
        self._from_tier = min(tiers, default=RiskTier.CRITICAL + 1)
        self._open_ns = settings.expire_minutes * 60_000_000_000

    def needs(self, action: str, risk: RiskTier) -> bool:
        """Whether a person must approve: what is required names the action type, its category (`deploy` or `deploy:*`),
        all (`*`), or a risk tier that it reaches (`risk:high`).

        Reading and deciding requests never does, or nobody could decide the first one.
        """
        category = action.partition(":")[0]
        if category == "approval":
            return False
        return risk >= self._from_tier or not self._required.isdisjoint((action, category, f"{category}:*", "*"))

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

    async def check(
        self, principal: Principal, tool: str, action: str, arguments_digest: str, summary: Any, invocation: str
    ) -> str:
        """Use up the approval of this very call, or ask for one.

        Args:
            principal, tool, action: who wants to do what.
            arguments_digest: SHA-256 of the exact arguments.
            summary: what a person is shown of them, plain JSON types without secrets.
            invocation: id of the call that uses the approval up.

        Returns:
            The id of the approval that was used.

        Raises:
            AccessRefused: `approval_pending` (with `approval_id` in the details) until somebody decides, and
                `approval_denied` once they said no, until that lapses.
            LimitExceeded: `approvals_full`.
            StoreUnavailable: it could not be made durable; the call does not go through.
        """
        now_ns = self._clock.now_ns()
        request = Approval(
            id=new_id(),
            tenant=principal.tenant,
            agent=principal.agent,
            tool=tool,
            action=action,
            digest=arguments_digest,
            summary=summary,
            status="pending",
            created_ns=now_ns,
            expires_ns=now_ns + self._open_ns,
        )
        found = await self._database.write(lambda connection: _claim(connection, request, invocation))
        if found is None:
            raise LimitExceeded(
                "approvals_full",
                f"{principal.agent!r} has {MAX_PENDING} undecided requests; have some of them decided first.",
            )
        if found.status == "approved":
            return found.id
        raise _denied(found) if found.status == "denied" else _pending(found)

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
        now_ns = self._clock.now_ns()
        found = await self._database.read(lambda connection: sql.read_approval(connection, tenant, approval_id, now_ns))
        if found is None:
            raise _unknown(approval_id)
        return found

    async def decide(self, approval_id: str, approver: Principal, approve: bool, reason: str = "") -> Approval:
        """Say yes or no, once and for all. Whether the approver may decide at all its roles say (`approval:decide`).

        Args:
            approval_id: which request of the approver's tenant.
            approver: who decides; not the agent that asks.
            approve: yes or no.
            reason: free text for the agent and the record; the first `LONGEST_REASON` characters are kept.

        Returns:
            The request as decided. A yes must be used, and a no lapses, within the settings' `expire_minutes` from now.

        Raises:
            AccessRefused: `approval_unknown`, `approval_own`, or `approval_decided` when somebody was quicker or time
                ran out.
            StoreUnavailable: it could not be made durable; nothing is decided.
        """
        now_ns = self._clock.now_ns()

        def work(connection: Connection) -> tuple[Approval | None, bool]:
            request = sql.read_approval(connection, approver.tenant, approval_id, now_ns)
            if request is None:
                return None, False
            decided = msgspec.structs.replace(
                request,
                status="approved" if approve else "denied",
                decided_by=approver.agent,
                decided_ns=now_ns,
                reason=reason[:LONGEST_REASON],
                expires_ns=now_ns + self._open_ns,
            )
            won = sql.decide_approval(connection, decided)
            return (decided if won else request), won

        found, won = await self._database.write(work)
        if found is None:
            raise _unknown(approval_id)
        if not won:
            raise _not_decidable(found, approver)
        return found


def _tier(entry: str) -> int:
    # What is no tier is refused by `verify_settings`; until then it asks for the most.
    return RiskTier.__members__.get(entry.removeprefix(_RISK).upper(), RiskTier.LOW)


def _claim(connection: Connection, request: Approval, invocation: str) -> Approval | None:
    """The open request for the same call, used up if approved; `request` itself if there is none; None if too many."""
    now_ns = request.created_ns
    found = sql.open_approval(connection, request.tenant, request.agent, request.tool, request.digest, now_ns)
    if found is None:
        if sql.count_pending(connection, request.tenant, now_ns, agent=request.agent) >= MAX_PENDING:
            return None
        sql.add_approval(connection, request)
        return request
    if found.status == "approved":
        sql.use_approval(connection, found.id, invocation, now_ns)
    return found


def _pending(request: Approval) -> AccessRefused:
    return AccessRefused(
        "approval_pending",
        f"{request.tool} needs a person's approval ({request.action}): request {request.id} waits for one. Repeat the "
        "call with exactly these arguments once it is approved.",
        details={"approval_id": request.id},
    )


def _denied(request: Approval) -> AccessRefused:
    return AccessRefused(
        "approval_denied",
        f"{request.decided_by!r} said no to this call of {request.tool}; the reason is in the details, as data. "
        "Do something else, or speak with them.",
        details={"approval_id": request.id, "reason": request.reason},
    )


def _unknown(approval_id: str) -> AccessRefused:
    return AccessRefused("approval_unknown", f"There is no request {approval_id!r}; list those that are open.")


def _not_decidable(request: Approval, approver: Principal) -> AccessRefused:
    if request.status == "pending" and request.agent == approver.agent:
        return AccessRefused("approval_own", f"{approver.agent!r} asked for this; another agent must decide it.")
    by = f" by {request.decided_by!r}" if request.decided_by else ""
    return AccessRefused(
        "approval_decided",
        f"Request {request.id} is {request.status}{by}; nothing was changed.",
        details={"status": request.status, "decided_by": request.decided_by},
    )
