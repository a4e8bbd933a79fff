"""Building a colony: every part is made here, in the order in which they need each other, and undone in reverse."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from cenoby import __version__
from cenoby.access.approvals import Approvals
from cenoby.access.flags import Flags
from cenoby.access.ledger import Ledger
from cenoby.access.limits import RateLimits
from cenoby.access.principals import Principal
from cenoby.access.roles import RoleTable
from cenoby.access.tokens import Identities
from cenoby.app.mad_loading import mad_invalid
from cenoby.app.protection_words import sandbox_words
from cenoby.app.shipped_mads import Parts, mad_principal, make_mad
from cenoby.bus.connect import connect_bus, connect_work
from cenoby.bus.work import Durability, WorkQueue
from cenoby.colony.breaker import Breakers, BreakerView, CircuitState
from cenoby.colony.deferred import Deferred
from cenoby.colony.host import Host
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.mad import Mad
from cenoby.colony.mailbox import MailboxState
from cenoby.colony.outbox_queue import OutboxQueue
from cenoby.colony.pipeline import Pipeline
from cenoby.colony.stages import Ports
from cenoby.colony.supervisor import MadChange, Supervisor
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import Settings
from cenoby.mads.marco.mad import SANDBOX_MODULES
from cenoby.protection.core_dumps import forbid_core_dumps
from cenoby.protection.egress import EgressGuard
from cenoby.protection.redact import Redactor
from cenoby.protection.vault.keys import key_source
from cenoby.protection.vault.vault import Vault
from cenoby.sandbox.cell import Sandbox
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal, RecordRef
from cenoby.store.outbox import Outbox
from cenoby.telemetry.log_lines import LineWriter
from cenoby.telemetry.logs import configure_logging, get_logger
from cenoby.telemetry.metrics import Metrics
from cenoby.telemetry.otlp import OtlpExport
from cenoby.telemetry.recorder import Recorder

_log = get_logger("app")
_records_under_way: set[asyncio.Task[RecordRef]] = set()

EVENTS = {
    "colony_started": "The colony hosts its MADs and takes calls from here on.",
    "colony_stopped": "The colony stopped with no call left under way.",
    "colony_cut_off": "The colony stopped before all calls had ended; the next start finds them.",
}


@dataclass(frozen=True, slots=True)
class Colony:
    """A running colony without its gateway: call it directly, or serve its faces (`app/faces.py`)."""

    parts: Parts

    async def call(self, credential: str | Principal, tool: str, arguments: dict[str, Any]) -> Outcome:
        """One tool call through the pipeline."""
        return await self.parts.pipeline.run(Invocation(tool, arguments, credential))


@asynccontextmanager
async def open_colony(settings: Settings, clock: Clock) -> AsyncGenerator[Colony]:
    """Build a colony on its data directory, which the caller owns (`app/data_dir.py`), and take it down at the end.

    Raises:
        CenobyError: a part cannot start; the message says what to do.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    redactor = Redactor(settings.redaction)
    async with AsyncExitStack() as stack:
        lines = configure_logging(settings.telemetry, redactor.text, clock=clock)
        stack.callback(lines.close)
        parts = await _parts(settings, clock, redactor, stack)
        stack.push_async_callback(parts.supervisor.stop)
        for name in settings.mads:
            await _host(parts, name)
        parts.ports.approvals.verify_settings()
        await parts.deferred.start()
        stack.push_async_callback(parts.deferred.stop)
        await parts.ports.identities.ensure_operator(settings.data / "admin.token")
        await _life_cycle(parts, "colony_started")
        stack.push_async_callback(_stopped, parts)
        _watch(parts, lines)
        yield Colony(parts)


async def _parts(settings: Settings, clock: Clock, redactor: Redactor, stack: AsyncExitStack) -> Parts:
    node = f"{settings.colony}-1"
    # Before any secret is in memory.
    dumps = "off" if forbid_core_dumps() else "missing: the system refused"
    database = await Database.open(engine_for(settings.store, settings.data, node), clock=clock)
    stack.push_async_callback(database.close)
    journal = Journal(database, node=node, clock=clock)
    await journal.start()
    recorder = _recorder(settings, node, stack)
    bus = await connect_bus(settings.bus, security=settings.bus_security, clock=clock, trace=recorder.record)
    stack.push_async_callback(bus.close)
    egress = await stack.enter_async_context(EgressGuard(settings.egress))
    sandbox = Sandbox(settings.sandbox, modules=SANDBOX_MODULES)
    stack.push_async_callback(sandbox.close)
    work = await _work(settings, clock, database)
    stack.push_async_callback(work.close)
    host = Host(bus, settings.colony, settings.mailbox, clock)
    ports = await _ports(settings, clock, redactor, database, journal, host, recorder)
    protections = await _protections(sandbox, dumps)
    pipeline = Pipeline(ports)
    return Parts(
        settings=settings,
        ports=ports,
        pipeline=pipeline,
        work=work,
        deferred=Deferred(work, host, settings.colony, pipeline.run, mad_principal),
        supervisor=Supervisor(host, settings.supervision, clock, partial(_mad_changed, journal)),
        database=database,
        bus=bus,
        vault=await _vault(settings, clock, database, journal),
        egress=egress,
        sandbox=sandbox,
        protections=lambda: protections,
        node=node,
        started_ns=clock.now_ns(),
    )


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
    journal: Journal,
    host: Host,
    recorder: Recorder,
) -> Ports:
    roles = RoleTable(settings.roles)
    identities = Identities(database, clock, roles, reserved=host.mad_names)
    await identities.load()
    limits = RateLimits(settings.limits, clock)
    flags = Flags(database, clock)
    await flags.load()
    limits.seed(await journal.count_calls(limits.day_start_ns()))
    return Ports(
        clock=clock,
        host=host,
        journal=journal,
        identities=identities,
        limits=limits,
        flags=flags,
        limit_settings=settings.limits,
        roles=roles,
        approvals=Approvals(database, clock, settings.approvals),
        ledger=Ledger(database, settings.budgets, clock),
        breakers=Breakers(settings.breaker, clock, partial(_circuit_changed, journal)),
        redactor=redactor,
        metrics=Metrics(),
        recorder=recorder,
    )


def _circuit_changed(journal: Journal, view: BreakerView) -> None:
    if view.state is not CircuitState.HALF_OPEN:
        payload = {"circuit": view.name, "reason": view.reason, "failures": view.failures}
        _note(journal, f"circuit_{view.state}", payload)


def _mad_changed(journal: Journal, change: MadChange) -> None:
    _note(journal, change.code, {"mad": change.mad, "reason": change.reason, "restarts": change.restarts})


def _note(journal: Journal, code: str, payload: dict[str, Any]) -> None:
    _log.warning(code, **payload)
    entry = Entry(kind="event", tenant="", agent="", correlation="", code=code, payload=payload)
    # What led to it does not wait for this record.
    task = asyncio.ensure_future(journal.append(entry))
    _records_under_way.add(task)
    task.add_done_callback(_recorded)


def _recorded(task: asyncio.Task[RecordRef]) -> None:
    _records_under_way.discard(task)
    if not task.cancelled() and (error := task.exception()):
        _log.error("event_not_recorded", reason=str(error))


def _recorder(settings: Settings, node: str, stack: AsyncExitStack) -> Recorder:
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint is None:
        return Recorder(telemetry.spans)
    export = OtlpExport(
        telemetry.otlp_endpoint, telemetry.otlp_sample, colony=settings.colony, node=node, version=__version__
    )
    stack.callback(export.close)
    return Recorder(telemetry.spans, export.offer)


async def _vault(settings: Settings, clock: Clock, database: Database, journal: Journal) -> Vault:
    async def record(code: str, payload: dict[str, Any]) -> None:
        await journal.append(
            Entry(
                kind="event",
                tenant=DEFAULT_TENANT,
                agent="colony",
                correlation="",
                mad="turing",
                code=code,
                payload=payload,
            )
        )

    source = key_source(settings.vault.key, settings.data, os.environ)
    return await Vault.open(database, source, clock=clock, record=record)


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

    try:
        await parts.supervisor.start(make)
    except CenobyError:
        raise
    except (Exception, SystemExit) as error:
        # The border to a MAD's code: whatever it raises is told to its author with the place.
        raise mad_invalid(name, "cannot be hosted", error, type(mad) if mad else None) from error


async def _stopped(parts: Parts) -> None:
    # `colony_stopped` says that nothing was left open: the next start looks for intents without outcome only after it.
    left = parts.ports.host.calls_under_way
    await _life_cycle(parts, "colony_cut_off" if left else "colony_stopped")


async def _life_cycle(parts: Parts, code: str) -> None:
    head = await parts.ports.journal.append(
        Entry(kind="event", tenant="", agent="", correlation="", code=code, payload={"node": parts.node})
    )
    # Logs that are shipped keep it where who writes the journal cannot reach; `journal verify --head` compares.
    _log.info(code, journal_head=f"{parts.node}:{head.seq}:{head.hash}")
