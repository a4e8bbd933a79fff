"""Building a colony: every part is made here, in the order in which they need each other, and undone in reverse."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cenoby import __version__
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.budgets.ledger_leased import LeasedLedger
from cenoby.access.enrolment import Enrolment
from cenoby.access.flags import Flags
from cenoby.access.flows.flows import Flows
from cenoby.access.kills import Kills
from cenoby.access.limits import RateLimits
from cenoby.access.operator_file import ensure_operator
from cenoby.access.policy.keeper import PolicyKeeper
from cenoby.access.principals import Principal
from cenoby.access.quota_shared import SharedLimits
from cenoby.access.recheck import Recheck
from cenoby.access.tokens import Identities
from cenoby.app.approvals import make_approvals, taking_on
from cenoby.app.autonomy import make_watch
from cenoby.app.content import complete_content, further_labels
from cenoby.app.data_keys import data_key
from cenoby.app.event_notes import EventNotes
from cenoby.app.event_schema import present_shape
from cenoby.app.events import ColonyCutOff, ColonyStarted, ColonyStopped
from cenoby.app.evidence import make_evidence
from cenoby.app.identities import declare_agents, foreign_tokens
from cenoby.app.mad_loading import mad_invalid
from cenoby.app.networking import Network, crosses_processes, make_network
from cenoby.app.policies import first_policies, make_keeper
from cenoby.app.protection_words import sandbox_words
from cenoby.app.rule_wiring import complete_rules, make_rules
from cenoby.app.secret_upkeep import keep_secrets_up
from cenoby.app.secret_use import renewing_modules
from cenoby.app.shipped_mads import Parts, mad_principal, make_mad
from cenoby.app.vault import MadeVault, make_vault, once_open
from cenoby.app.way_out import way_out
from cenoby.bus.connect import connect_bus, connect_work
from cenoby.bus.memory import MemoryBus
from cenoby.bus.work import Durability, WorkQueue
from cenoby.colony.apis.published import Publications
from cenoby.colony.breaker import Breakers
from cenoby.colony.deferred import Deferred
from cenoby.colony.host import Host
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.mad import Mad
from cenoby.colony.mailbox import MailboxState
from cenoby.colony.outbox_queue import OutboxQueue
from cenoby.colony.parked_runs import ParkedRuns
from cenoby.colony.pipeline import Pipeline
from cenoby.colony.stages import Ports
from cenoby.colony.supervisor import Supervisor
from cenoby.colony.watchdog import Watchdog
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event, name_of
from cenoby.kernel.settings import Settings
from cenoby.mads.marco.readers import SANDBOX_MODULES
from cenoby.protection.content.model_policy import facts_of
from cenoby.protection.content.prompts import ContentPolicy
from cenoby.protection.core_dumps import forbid_core_dumps
from cenoby.protection.dlp.canary_book import CanaryBook
from cenoby.protection.dlp.guard import DataGuard, canaries_of
from cenoby.protection.dlp.log_lines import log_redaction
from cenoby.protection.dlp.token_store import TokenStore
from cenoby.protection.egress import EgressGuard
from cenoby.protection.files.checker import FileChecker
from cenoby.protection.redact import Redactor
from cenoby.protection.vault.vault import Vault
from cenoby.sandbox.cell import Sandbox
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal
from cenoby.store.outbox import Outbox
from cenoby.store.table_cache import TableCache
from cenoby.telemetry.log_lines import LineWriter
from cenoby.telemetry.logs import configure_logging, get_logger
from cenoby.telemetry.metrics import Metrics
from cenoby.telemetry.otlp import OtlpExport
from cenoby.telemetry.recorder import Recorder

_log = get_logger("app")


@dataclass(frozen=True, slots=True)
class Colony:
    """A running colony without its gateway: call it directly, or serve its faces (`app/faces.py`)."""

    parts: Parts

    async def call(self, credential: str | Principal, tool: str, arguments: dict[str, Any]) -> Outcome:
        """One tool call through the pipeline."""
        return await self.parts.pipeline.run(Invocation(tool, arguments, credential))


@asynccontextmanager
async def open_colony(
    settings: Settings, clock: Clock, end: Callable[[], None] | None = None
) -> AsyncGenerator[Colony]:
    """Build a colony on its data directory, which the caller owns (`app/data_dir.py`), and take it down at the end.

    Args:
        settings: what it is told.
        clock: the time.
        end: ends this process; given where it is a mere node of a colony that others have begun.

    Raises:
        CenobyError: a part cannot start; the message says what to do.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    redactor = Redactor(settings.redaction, canaries_of(settings.dlp))
    async with AsyncExitStack() as stack:
        redact = log_redaction(settings.dlp, settings.redaction, redactor)
        lines = configure_logging(settings.telemetry, redact, clock=clock)
        stack.callback(lines.close)
        parts = await _parts(settings, clock, redactor, stack, end)
        if parts.evidence is not None:
            await parts.evidence.start()
            stack.push_async_callback(parts.evidence.stop)
        stack.push_async_callback(parts.supervisor.stop)
        parts.watchdog.start()
        stack.push_async_callback(parts.watchdog.stop)
        if parts.network is not None:
            await parts.network.start()
            stack.push_async_callback(parts.network.stop)
        # A mere node hosts what it is told to; other colonies are reached from the gateways' own processes.
        for name in [*settings.mads, *(settings.colonies if end is None else ())]:
            await _host(parts, name)
        parts.ports.publications.verify(complete=parts.network is None)
        if parts.network is not None:
            parts.network.settle()
        await parts.policies.start()
        stack.push_async_callback(parts.policies.stop)
        parts.ports.approvals.verify_settings()
        await parts.deferred.start()
        stack.push_async_callback(parts.deferred.stop)
        if end is None:
            await declare_agents(settings, parts.ports.identities, parts.ports.journal)
            await ensure_operator(parts.ports.identities, settings.data / "admin.token", parts.node)
            # Before the colony says that it started, so that what was approved meanwhile does not wait for a caller.
            await stack.enter_async_context(once_open(parts.seal, partial(_taking_on, parts)))
            await stack.enter_async_context(keep_secrets_up(parts))
        await _life_cycle(parts, ColonyStarted(node=parts.node))
        stack.push_async_callback(_stopped, parts)
        _watch(parts, lines)
        yield Colony(parts)


async def _parts(
    settings: Settings, clock: Clock, redactor: Redactor, stack: AsyncExitStack, end: Callable[[], None] | None
) -> Parts:
    node = settings.node_name
    # Before any secret is in memory.
    dumps = "off" if forbid_core_dumps() else "missing: the system refused"
    database = await Database.open(engine_for(settings.store, settings.data, node), clock=clock)
    stack.push_async_callback(database.close)
    journal = Journal(database, node=node, clock=clock)
    await journal.start()
    notes = EventNotes(journal)
    stack.push_async_callback(notes.settle)
    recorder = _recorder(settings, node, stack)
    bus = await connect_bus(settings.bus, security=settings.bus_security, clock=clock, trace=recorder.record)
    stack.push_async_callback(bus.close)
    sandbox = Sandbox(settings.sandbox, modules=[*SANDBOX_MODULES, *renewing_modules(settings.secrets)])
    stack.push_async_callback(sandbox.close)
    work = await _work(settings, clock, database)
    stack.push_async_callback(work.close)
    local = bus if isinstance(bus, MemoryBus) else MemoryBus(clock=clock, trace=recorder.record)
    host = Host(bus, settings.colony, settings.mailbox, clock, local)
    limits = await _limits(settings, clock, database, journal, stack)
    ledger = LeasedLedger(database, settings.budgets, clock)
    ledger.start()
    stack.push_async_callback(ledger.stop)
    cache = TableCache(database, clock, settings.cache, notes)
    made = await make_vault(settings, clock, database, journal)
    ports = await _ports(
        settings, clock, redactor, database, cache, journal, notes, host, recorder, limits, made.vault, ledger, sandbox
    )
    await stack.enter_async_context(cache.kept())
    egress = await _egress(settings, clock, ports, notes, made, stack)
    protections = await _protections(sandbox, dumps)
    pipeline = Pipeline(ports)
    policies = make_keeper(settings, ports.roles, host, ports.metrics, notes)
    supervisor = Supervisor(host, settings.supervision, clock, notes)
    watchdog = Watchdog(settings.supervision, host, supervisor, ports.metrics, clock, notes)
    parts = Parts(
        settings=settings,
        ports=ports,
        pipeline=pipeline,
        work=work,
        deferred=Deferred(work, host, settings.colony, pipeline.run, mad_principal),
        supervisor=supervisor,
        watchdog=watchdog,
        database=database,
        cache=cache,
        bus=bus,
        vault=made.vault,
        seal=made.seal,
        egress=egress,
        sandbox=sandbox,
        protections=partial(_in_force, protections, policies, ports, egress),
        policies=policies,
        node=node,
        started_ns=clock.now_ns(),
        enrolment=Enrolment(database, clock),
        entries={},
        evidence=make_evidence(settings, clock, database, notes, egress, made.vault) if end is None else None,
    )
    await complete_rules(parts, notes)
    await complete_content(parts, notes, stack)
    return replace(parts, network=await _network(parts, notes, end)) if crosses_processes(settings) else parts


def _in_force(held: Mapping[str, str], policies: PolicyKeeper, ports: Ports, egress: EgressGuard) -> Mapping[str, str]:
    words = {"policy": policies.words(), "autonomy": ports.autonomy.words(), "egress": egress.decisions.words()}
    return {**held, **words}


async def _egress(
    settings: Settings, clock: Clock, ports: Ports, notes: EventNotes, made: MadeVault, stack: AsyncExitStack
) -> EgressGuard:
    egress = await stack.enter_async_context(way_out(settings, clock, ports.breakers.of, ports.metrics, notes))
    ports.identities.foreign = foreign_tokens(settings, egress, clock, ports)
    if made.server is not None:
        made.server.egress = egress
    return egress


async def _network(parts: Parts, notes: EventNotes, end: Callable[[], None] | None) -> Network:
    ports = parts.ports
    return await make_network(
        parts.settings,
        ports,
        bus=parts.bus,
        enrolment=parts.enrolment,
        supervisor=parts.supervisor,
        note=notes,
        started_ns=parts.started_ns,
        make=lambda mad: partial(make_mad, parts.entries.get(mad, mad), parts),
        entry=lambda mad: parts.entries.get(mad, mad),
        recheck=Recheck(parts.database, ports.roles, ports.clock, mad_principal, ports.kills),
        end=end,
    )


def _taking_on(parts: Parts) -> AbstractAsyncContextManager[None]:
    run, clock = ParkedRuns(parts.pipeline.run), parts.ports.clock
    return taking_on(parts.ports.approvals, run, parts.settings, parts.database, clock, parts.vault, parts.egress)


async def _work(settings: Settings, clock: Clock, database: Database) -> WorkQueue:
    at_broker = await connect_work(settings.bus, clock=clock, security=settings.bus_security)
    if at_broker is not None and at_broker.durability is Durability.FSYNCED:
        return at_broker
    if at_broker is not None:
        # What this broker acknowledges may be lost with its power: the store keeps the work instead.
        _log.info("work_in_outbox", broker=str(at_broker.durability))
        await at_broker.close()
    return OutboxQueue(Outbox(database, clock), clock)


async def _ports(
    settings: Settings,
    clock: Clock,
    redactor: Redactor,
    database: Database,
    cache: TableCache,
    journal: Journal,
    notes: EventNotes,
    host: Host,
    recorder: Recorder,
    limits: RateLimits,
    vault: Vault,
    ledger: Ledger,
    sandbox: Sandbox,
) -> Ports:
    roles = await first_policies(settings)
    kills = Kills(cache, clock)
    identities = Identities(cache, clock, roles, reserved=host, kills=kills)
    flags, autonomy = Flags(cache, clock), AutonomyLevels(cache, clock, settings.autonomy)
    return Ports(
        clock=clock,
        host=host,
        journal=journal,
        identities=identities,
        limits=limits,
        flags=flags,
        kills=kills,
        flows=Flows(cache, clock, settings.flows, **further_labels(settings.content)),
        autonomy=autonomy,
        watch=make_watch(settings.autonomy, autonomy, clock, journal),
        limit_settings=settings.limits,
        roles=roles,
        approvals=make_approvals(settings, clock, database, journal, redactor, vault, identities),
        ledger=ledger,
        breakers=Breakers(settings.breaker, clock, notes.circuit),
        redactor=redactor,
        rules=make_rules(settings, redactor, host, cache, clock, notes),
        metrics=Metrics(),
        recorder=recorder,
        publications=Publications(settings.publish, host, clock, present_shape),
        data=DataGuard(settings.dlp, settings.redaction, redactor.canaries),
        canaries=CanaryBook(cache, clock, redactor.canaries),
        tokens=TokenStore(database, clock, settings.dlp.tokens, data_key(vault, database, journal, clock)),
        content=ContentPolicy(settings.content, facts_of(settings.models)),
        files=FileChecker(settings.files, sandbox.call),
    )


async def _limits(
    settings: Settings, clock: Clock, database: Database, journal: Journal, stack: AsyncExitStack
) -> RateLimits:
    if database.engine.dialect == "sqlite":
        limits = RateLimits(settings.limits, clock)
        limits.seed(await journal.count_calls(limits.day_start_ns()))
        return limits
    shared = SharedLimits(settings.limits, clock, database, settings.node_name)
    await shared.start(await journal.count_calls(shared.day_start_ns()))
    stack.push_async_callback(shared.stop)
    return shared


def _recorder(settings: Settings, node: str, stack: AsyncExitStack) -> Recorder:
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint is None:
        return Recorder(telemetry.spans)
    export = OtlpExport(
        telemetry.otlp_endpoint, telemetry.otlp_sample, colony=settings.colony, node=node, version=__version__
    )
    stack.callback(export.close)
    return Recorder(telemetry.spans, export.offer)


async def _protections(sandbox: Sandbox, core_dumps: str) -> Mapping[str, str]:
    """What holds a sandboxed process here, in words for the log and for `status`."""
    cell = sandbox_words(await sandbox.protections())
    words = {f"sandbox {name}": text for name, text in cell.items()} | {"core dumps": core_dumps}
    _log.info("protections", **words)
    return words


def _watch(parts: Parts, lines: LineWriter) -> None:
    metrics, states = parts.ports.metrics, parts.ports.host.mailbox_states
    for name, meaning in (
        ("running", "Calls under way in the MAD."),
        ("waiting", "Calls that wait for the MAD."),
        ("refused", "Calls turned away because the mailbox was full."),
    ):
        metrics.watch(f"mailbox_{name}", meaning, partial(_of_mailboxes, states, name), label="mad")
    metrics.watch("log_lines_dropped", "Log lines that nobody read in time.", lambda: lines.dropped)


def _of_mailboxes(states: Callable[[], Mapping[str, MailboxState]], field: str) -> dict[str, float]:
    return {mad: getattr(state, field) for mad, state in states().items()}


async def _host(parts: Parts, name: str) -> None:
    mad: Mad | None = None

    def make() -> Mad:
        nonlocal mad
        mad = make_mad(name, parts)
        return mad

    start = parts.network.handover.host if parts.network is not None else parts.supervisor.start
    try:
        parts.entries[await start(make)] = name
    except CenobyError:
        raise
    except (Exception, SystemExit) as error:
        # The border to a MAD's code: whatever it raises is told to its author with the place.
        raise mad_invalid(name, "cannot be hosted", error, type(mad) if mad else None) from error


async def _stopped(parts: Parts) -> None:
    # `colony_stopped` says that nothing was left open: the next start looks for intents without outcome only after it.
    left = parts.ports.host.calls_under_way
    await _life_cycle(parts, ColonyCutOff(node=parts.node) if left else ColonyStopped(node=parts.node))


async def _life_cycle(parts: Parts, event: Event) -> None:
    head = await parts.ports.journal.append(Entry.event(event))
    # Logs that are shipped keep it where who writes the journal cannot reach; `journal verify --head` compares.
    _log.info(name_of(event), journal_head=f"{parts.node}:{head.seq}:{head.hash}")
