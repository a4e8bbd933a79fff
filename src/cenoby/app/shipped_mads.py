"""Making MADs: the shipped ones from the parts they work with, others from their grants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cenoby import __version__
from cenoby.access.enrolment import Enrolment
from cenoby.access.policy.keeper import PolicyKeeper
from cenoby.access.principals import Principal
from cenoby.app.event_catalogue import present_form
from cenoby.app.mad_loading import load_mad_class
from cenoby.app.networking import Network, one_process
from cenoby.app.secret_use import fetch_with_secret, roles_of, secret_sent, secret_told
from cenoby.bus.contract import MessageBus
from cenoby.bus.work import WorkQueue
from cenoby.colony.apis.document import ApiDocument, read_document
from cenoby.colony.deferred import Deferred
from cenoby.colony.events import ListName
from cenoby.colony.invocation import Invocation
from cenoby.colony.mad import Grants, Mad
from cenoby.colony.pipeline import Pipeline
from cenoby.colony.stages import Ports
from cenoby.colony.supervisor import Supervisor
from cenoby.colony.watchdog import Watchdog
from cenoby.kernel.codec import CodecError
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.kernel.settings import Settings
from cenoby.kernel.settings_file import SettingsError
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.evidence.log import EvidenceLog
from cenoby.protection.vault.lease_calls import LeaseCalls
from cenoby.protection.vault.policy_calls import PolicyCalls
from cenoby.protection.vault.seals.seal import VaultSeal
from cenoby.protection.vault.vault import Vault
from cenoby.sandbox.cell import Sandbox
from cenoby.store.database import Database
from cenoby.store.table_cache import TableCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything of a colony that a MAD may be given a piece of."""

    settings: Settings
    ports: Ports
    pipeline: Pipeline
    supervisor: Supervisor
    watchdog: Watchdog
    work: WorkQueue
    deferred: Deferred
    database: Database
    cache: TableCache
    bus: MessageBus
    vault: Vault
    egress: EgressGuard
    sandbox: Sandbox
    protections: Callable[[], Mapping[str, str]]
    policies: PolicyKeeper
    node: str
    started_ns: int
    enrolment: Enrolment
    entries: dict[str, str]
    """What the setting `mads` calls each hosted MAD, by its name."""
    evidence: EvidenceLog | None = None
    """The log over the journal, in a process that has a gateway."""
    seal: VaultSeal | None = None
    """The vault's, where the settings ask for one."""
    network: Network | None = None
    """The other nodes, where bus and store cross processes."""


def make_mad(name: str, parts: Parts) -> Mad:
    """The MAD that an entry of the setting `mads`, or of `colonies`, names.

    Raises:
        MadUnknown: there is no such MAD.
    """
    shipped = _SHIPPED.get(name)
    if shipped is not None:
        return shipped(parts)
    if name in parts.settings.colonies:
        return _foreign_colony(name, parts)
    cls = load_mad_class(name)
    return cls.create(_grants(cls.name, parts))


def _rogers(parts: Parts) -> Mad:
    from cenoby.mads.rogers.ledger import ConversationLedger
    from cenoby.mads.rogers.mad import Rogers

    clock = parts.ports.clock
    ledger = ConversationLedger(parts.database, clock)
    return Rogers(ledger=ledger, bus=parts.bus, colony=parts.settings.colony, clock=clock)


def _fiedler(parts: Parts) -> Mad:
    from cenoby.mads.fiedler import Fiedler
    from cenoby.models.catalogue import Catalogue
    from cenoby.models.client import ModelClient
    from cenoby.models.token_counts import TokenCounter
    from cenoby.models.usage import UsageBook
    from cenoby.protection.content.answers import AnswerPolicy

    counter = TokenCounter()
    return Fiedler(
        catalogue=Catalogue(parts.settings.models, counter),
        client=ModelClient(
            parts.egress,
            secret_sent(parts.vault, "fiedler"),
            counter,
            parts.ports.clock,
            circuits=parts.ports.breakers.of,
        ),
        usage=UsageBook(parts.database, parts.ports.clock),
        ledger=parts.ports.ledger,
        answers=AnswerPolicy(parts.settings.content.answers),
    )


def _turing(parts: Parts) -> Mad:
    from cenoby.app.secret_upkeep import make_renewals
    from cenoby.mads.turing import Turing

    return Turing(
        keeper=parts.vault,
        leases=LeaseCalls(parts.vault),
        policies=PolicyCalls(parts.vault, partial(roles_of, parts.ports.identities)),
        renewals=make_renewals(parts),
        break_glass_seconds=parts.settings.secrets.break_glass_seconds,
    )


def _grace(parts: Parts) -> Mad:
    from cenoby.mads.grace import About, Grace, Nodes

    ports = parts.ports
    return Grace(
        about=About(
            parts.settings.colony,
            parts.node,
            __version__,
            parts.started_ns,
            parts.protections,
            lag=lambda: parts.watchdog.lag().worst,
        ),
        host=ports.host,
        publications=ports.publications,
        journal=ports.journal,
        identities=ports.identities,
        approvals=ports.approvals,
        ledger=ports.ledger,
        breakers=ports.breakers,
        flags=ports.flags,
        kills=ports.kills,
        canaries=ports.canaries,
        pii=ports.tokens,
        autonomy=ports.autonomy,
        pins=ports.rules.pins,
        supervisor=parts.supervisor,
        work=parts.work,
        nodes=Nodes(
            parts.enrolment,
            parts.network.members if parts.network else None,
            parts.network.handover if parts.network else None,
            partial(one_process, parts.settings),
        ),
        roles=ports.roles,
        policy_words=parts.policies.words,
        recorder=ports.recorder,
        metrics=ports.metrics,
        present_form=lambda code, payload: present_form(code, payload, ports.host.mads),
        clock=ports.clock,
        token_settings=parts.settings.tokens,
        evidence=parts.evidence,
        seal=parts.seal,
    )


def _marco(parts: Parts) -> Mad:
    from cenoby.mads.marco.mad import Marco

    return Marco(egress=parts.egress, sandbox=parts.sandbox, files=parts.settings.files)


def _foreign_colony(name: str, parts: Parts) -> Mad:
    from cenoby.mads.colonies.link import Link
    from cenoby.mads.colonies.mad import foreign_colony

    settings = parts.settings.colonies[name]
    documents = [_document(one.document) for one in settings.uses]
    link = Link(name, settings.url, partial(secret_sent(parts.vault, name), settings.token, settings.url), parts.egress)
    return foreign_colony(name, settings, documents, link)


def _document(file: Path) -> ApiDocument:
    try:
        return read_document(file.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
    except CodecError as error:
        reason = error.message
    raise SettingsError("settings_invalid", f"colonies: {file} cannot be read: {reason}")


_SHIPPED: Mapping[str, Callable[[Parts], Mad]] = {
    "rogers": _rogers,
    "fiedler": _fiedler,
    "turing": _turing,
    "grace": _grace,
    "marco": _marco,
}


def mad_principal(mad: str) -> Principal:
    """As whom a MAD that the colony did not ship with calls tools."""
    return Principal(agent=mad, tenant=DEFAULT_TENANT, roles=("developer",), kind="mad")


def _grants(mad: str, parts: Parts) -> Grants:
    principal = mad_principal(mad)
    # Its tools do not say for whom they fetch: it goes by the MAD's own name.
    sender = Sender(principal.agent, principal.tenant, principal.roles, f"mads.{mad}")

    def files() -> Path:
        folder = parts.settings.data / "mads" / mad
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    async def call_tool(tool: str, arguments: Mapping[str, Any]) -> Any:
        return (await parts.pipeline.run(Invocation(tool, dict(arguments), principal))).unwrap()

    async def call_later(tool: str, arguments: Mapping[str, Any], key: str = "") -> str:
        return await parts.deferred.put(mad, tool, arguments, key=key)

    async def lists_changed(*lists: ListName) -> None:
        await parts.ports.host.lists_changed(mad, *lists)

    return Grants(
        clock=parts.ports.clock,
        files=files,
        secret=secret_told(parts.vault, mad),
        fetch=fetch_with_secret(parts.egress, parts.vault, mad, sender),
        call_tool=call_tool,
        call_later=call_later,
        lists_changed=lists_changed,
    )
