"""A colony's approvals without its pipeline: what a run does to approval, journal and world, and deaths in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cenoby.access.actions import RiskTier
from cenoby.access.approvals.approvals import Approvals
from cenoby.access.approvals.claims import Wanted
from cenoby.access.approvals.parked_calls import Announce, Ended, KeptResult, ParkedCall
from cenoby.access.approvals.sql import Approval
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.access.sealing import Seal
from cenoby.access.verdicts import Ask
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.store.database import Database
from cenoby.store.engine import Connection
from cenoby.store.journal import Entry, Journal

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
PIA = Principal("pia", "default", ("operator",), "person")
POINTS = ("announced", "claimed", "intended", "acted", "recorded")
LEASE_SECONDS = 31


class Death(BaseException):
    """Kill -9: nothing that would clean up runs."""


async def key() -> bytes:
    return bytes(32)


def wanted(
    digest: str, run: str, *, risk: RiskTier = RiskTier.HIGH, resumes: str = "", conversation: str = ""
) -> Wanted:
    """A call of Ada's whose arguments have this digest."""
    call = ParkedCall(
        "mads.hopper.deploy", {"to": digest}, ADA, run, f"correlation-{digest}", conversation=conversation
    )
    asks = (Ask("settings:deploy", "the settings ask"),)
    return Wanted(
        call=call, action="deploy:staging", risk=risk, digest=digest, summary=call.arguments, asks=asks, resumes=resumes
    )


class Node:
    """One process: its approvals and journal on the colony's store, and what it did to the world."""

    def __init__(
        self,
        journal: Journal,
        database: Database,
        clock: ManualClock,
        settings: ApprovalSettings,
        risk: RiskTier,
        **ports: Any,
    ) -> None:
        self.journal = journal
        self.approvals = Approvals(database, self.journal, clock, settings, Seal(key), **ports)
        self.effects: list[tuple[str, str]] = []
        """Request and digest of each call that had its effect."""
        self.dies_at = ""
        self.interlude: Callable[[], Awaitable[object]] | None = None
        """Happens after a run has looked at its request, and before it claims that."""
        self._clock = clock
        self._risk = risk

    async def call(self, digest: str, conversation: str = "") -> str:
        """What becomes of a call that its caller makes: its code where it is refused, `ok`, or `kept`."""
        try:
            run = new_id()
            passed = await self.approvals.check(wanted(digest, run, risk=self._risk, conversation=conversation))
            if passed.kept is not None:
                return "kept"
            self._die("claimed")
            if passed.granted:
                self.effects.append((passed.approval, digest))
                return "ok"
            await self._act(passed.approval, run, digest)
        except AccessRefused as refused:
            return refused.code
        return "ok"

    async def run(self, call: ParkedCall, approval: Approval, announce: Announce) -> Ended:
        """As the pipeline runs a parked call."""
        run, digest = new_id(), str(call.arguments["to"])
        await announce(run)
        self._die("announced")
        if self.interlude is not None:
            await self.interlude()
        try:
            passed = await self.approvals.check(wanted(digest, run, risk=self._risk, resumes=approval.id))
            self._die("claimed")
            await self._act(passed.approval, run, digest)
        except AccessRefused as refused:
            return Ended(KeptResult("refused", error=refused.to_wire()), run, 0.1)
        return Ended(KeptResult("ok", value={"ran": run}), run)

    async def _act(self, approval: str, run: str, digest: str) -> None:
        def begin(connection: Connection) -> None:
            self.approvals.begin_in(connection, approval, run)

        await self.journal.write(begin, _entry("intent", run, digest))
        self._die("intended")
        await self.act_on_the_world(approval, digest)
        self._die("acted")
        await self.journal.append(_entry("outcome", run, digest, status="ok"))
        self._die("recorded")

    async def act_on_the_world(self, approval: str, digest: str) -> None:
        """What may happen once."""
        self.effects.append((approval, digest))

    async def work(self, dies_at: str = "") -> bool:
        """Take on what is due; False where it died of it, and its leases are over."""
        self.dies_at = dies_at
        try:
            await self.approvals.flow.worker(self.run).run_due()
        except Death:
            self._clock.advance(LEASE_SECONDS)
            return False
        finally:
            self.dies_at = ""
        return True

    def _die(self, point: str) -> None:
        if point == self.dies_at:
            raise Death


def _entry(kind: str, run: str, digest: str, **more: Any) -> Entry:
    payload = {"result": {"ran": run}} if kind == "outcome" else {}
    return Entry(
        kind=kind,
        tenant="default",
        agent="ada",
        correlation=f"correlation-{digest}",
        invocation=run,
        payload=payload,
        **more,
    )


async def refusal(work: Callable[[], Any]) -> str:
    """The code with which something is refused."""
    try:
        await work()
    except AccessRefused as refused:
        return refused.code
    raise AssertionError("it was not refused")
