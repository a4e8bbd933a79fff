"""The stages of the pipeline, one file each; `colony/pipeline.py` lists them in order.

Here are their ports; `journalled.py` is no stage, but says for three of them how a call looks in the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cenoby.access.approvals.approvals import Approvals
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.autonomy.watch import AutonomyWatch
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.flags import Flags
from cenoby.access.flows.flows import Flows
from cenoby.access.kills import Kills
from cenoby.access.limits import RateLimits
from cenoby.access.roles import RoleTable
from cenoby.access.tokens import Identities
from cenoby.colony.apis.published import Publications
from cenoby.colony.breaker import Breakers
from cenoby.colony.host import Host
from cenoby.colony.invocation import Invocation
from cenoby.colony.rule_check import RuleCheck, shipped_rules
from cenoby.kernel.clock import Clock
from cenoby.kernel.settings import LimitSettings, RedactionSettings
from cenoby.kernel.settings_content import ContentSettings
from cenoby.kernel.settings_dlp import DlpSettings
from cenoby.protection.content.prompts import ContentPolicy
from cenoby.protection.dlp.canary_book import CanaryBook
from cenoby.protection.dlp.guard import DataGuard
from cenoby.protection.dlp.token_store import TokenStore
from cenoby.protection.files.checker import FileChecker
from cenoby.protection.redact import Redactor
from cenoby.store.journal import Journal
from cenoby.telemetry.metrics import Metrics
from cenoby.telemetry.recorder import Recorder

ConductGate = Callable[[Invocation], Awaitable[None]]
"""Says whether the caller may act at all just now; raises a CenobyError where not."""


async def pass_all(invocation: Invocation) -> None:
    """The conduct gate of a colony without behavioural governance."""
    del invocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the stages work with; `app` fills it in."""

    clock: Clock
    host: Host
    journal: Journal
    identities: Identities
    limits: RateLimits
    flags: Flags
    kills: Kills
    flows: Flows
    autonomy: AutonomyLevels
    limit_settings: LimitSettings
    roles: RoleTable
    approvals: Approvals
    ledger: Ledger
    breakers: Breakers
    redactor: Redactor
    metrics: Metrics
    recorder: Recorder
    publications: Publications
    rules: RuleCheck = field(default_factory=shipped_rules)
    conduct: ConductGate = field(default=pass_all)
    watch: AutonomyWatch | None = None
    content: ContentPolicy = field(default_factory=lambda: ContentPolicy(ContentSettings(), ()))
    canaries: CanaryBook | None = None
    tokens: TokenStore | None = None
    files: FileChecker | None = None
    data: DataGuard = field(default_factory=lambda: DataGuard(DlpSettings(), RedactionSettings()))
