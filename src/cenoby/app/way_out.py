"""The one way out of a colony: the guarded client, with its rules kept as their file says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from cenoby.kernel.clock import Clock
from cenoby.kernel.events import Event
from cenoby.kernel.settings import Settings
from cenoby.protection.circuits import Circuits
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_policy import spelled_host
from cenoby.protection.egress_rules.keeper import EgressRuleKeeper
from cenoby.protection.egress_rules.rules import EgressDecisions
from cenoby.telemetry.metrics import Metrics


@asynccontextmanager
async def way_out(
    settings: Settings, clock: Clock, circuits: Circuits, metrics: Metrics, note: Callable[[Event], None]
) -> AsyncGenerator[EgressGuard]:
    """The guarded client, while it is open.

    Raises:
        EgressRulesInvalid: the file of rules cannot be used.
    """
    decisions = EgressDecisions(settings.egress, clock)
    keeper = EgressRuleKeeper(settings.egress, decisions, spelled_host, settings.node_name, note)
    metrics.watch(
        "egress_rules_rejected",
        "1 while the newest file of egress rules cannot be used.",
        lambda: float(bool(decisions.problem)),
    )
    async with EgressGuard(settings.egress, circuits=circuits, decisions=decisions) as guard:
        await keeper.start()
        try:
            yield guard
        finally:
            await keeper.stop()
