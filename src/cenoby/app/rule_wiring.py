"""The security rules of a colony: made with its ports, and completed once the way to models is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cenoby.access.budgets.ledger import Ledger
from cenoby.app.rule_judge import JUDGE_ACCOUNT, ModelJudge
from cenoby.app.secret_use import secret_sent
from cenoby.app.shipped_mads import Parts
from cenoby.colony.host import Host
from cenoby.colony.pins import Pins
from cenoby.colony.rule_check import RuleCheck
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.events import Event
from cenoby.kernel.settings import BudgetSettings, Settings
from cenoby.kernel.settings_file import SettingsError
from cenoby.kernel.settings_rules import JudgeSettings
from cenoby.models.catalogue import Catalogue
from cenoby.models.client import ModelClient
from cenoby.models.token_counts import TokenCounter
from cenoby.protection.redact import Redactor
from cenoby.protection.rules.engine import RuleEngine
from cenoby.protection.rules.events import RulesDisabled
from cenoby.protection.rules.results import ResultRules
from cenoby.store.database import StoreUnavailable
from cenoby.store.table_cache import TableCache
from cenoby.telemetry.logs import get_logger

_log = get_logger("app.rules")


def make_rules(
    settings: Settings, redactor: Redactor, host: Host, cache: TableCache, clock: Clock, note: Callable[[Event], object]
) -> RuleCheck:
    """The rules that the settings put in force, without judge; foreign tools are screened from the first listing on."""
    servers = {name: one.url for name, one in settings.colonies.items()}
    servers |= {name: f"mad:{name}" for name in settings.rules.pin_mads}
    pins = Pins(cache, clock, servers, note, host.relist) if servers else None
    host.screen = pins.screen if pins else None
    return RuleCheck(RuleEngine(settings.rules, settings.egress), ResultRules(settings.rules), redactor, pins=pins)


async def complete_rules(parts: Parts, note: Callable[[Event], object]) -> None:
    """Give the rules their judge, where the settings name one, and say which rules are off.

    Args:
        parts: the colony's.
        note: journals an event.

    Raises:
        SettingsError: the judge's model is none of `models`.
    """
    rules = parts.ports.rules
    parts.ports.metrics.watch(
        "rule_verdicts", "Calls by what the security rules said.", lambda: rules.counts, label="verdict"
    )
    disabled, shadow = rules.off
    if disabled or shadow:
        _log.warning("rules_off", disabled=list(disabled), shadow=list(shadow))
        note(RulesDisabled(disabled=disabled, shadow=shadow))
    if parts.settings.rules.judge.models:
        rules.judge = make_judge(parts, parts.settings.rules.judge, "rules.judge", JUDGE_ACCOUNT)
    if rules.pins is not None:
        await parts.bus.subscribe(f"{parts.settings.colony}.tools", partial(_pin_new, rules.pins, parts.ports.host))


async def _pin_new(pins: Pins, host: Host, change: Envelope) -> None:
    del change
    try:
        await pins.pin_new(host.tools)
    except StoreUnavailable as error:
        # The first call of each tries again, and does not run without its pin.
        _log.warning("tools_not_pinned", reason=str(error))


def make_judge(parts: Parts, judge: JudgeSettings, place: str, account: str) -> ModelJudge:
    """A judge of its own budget and account.

    Args:
        parts: the colony's.
        judge: its settings.
        place: where these stand, for the message.
        account: who pays in the ledger.

    Raises:
        SettingsError: its model is none of `models`.
    """
    settings, clock = parts.settings, parts.ports.clock
    counter = TokenCounter()
    named = {model.name for model in settings.models}
    if unknown := [name for name in judge.models if name not in named]:
        raise SettingsError("settings_invalid", f"{place}.models: {unknown[0]!r} is none of `models`.")
    circuits = parts.ports.breakers.of
    return ModelJudge(
        judge,
        Catalogue(settings.models, counter),
        ModelClient(parts.egress, secret_sent(parts.vault, "colony"), counter, clock, circuits=circuits),
        Ledger(parts.database, BudgetSettings(usd_per_day=judge.usd_per_day), clock),
        clock,
        account,
    )
