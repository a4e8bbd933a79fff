"""Approvals as a colony has them: their key from the vault, conversations from Rogers, news by the webhook."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from cenoby.access.approvals.approvals import Approvals
from cenoby.access.approvals.parked_calls import ApprovalPorts, Runner
from cenoby.access.principals import Principal
from cenoby.access.sealing import Seal
from cenoby.access.tokens import Identities
from cenoby.app.approval_webhook import ApprovalWebhook, news_for
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import from_json, to_json
from cenoby.kernel.errors import NotFound
from cenoby.kernel.events import Event
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import Settings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.redact import Redactor
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database, StoreUnavailable
from cenoby.store.journal import Entry, Journal
from cenoby.store.leases import Leases

_KEY = "parked-calls"
_KEY_BYTES = 32
_LEASE_NS = 30_000_000_000
_KEEPER = Principal("colony", "", ("operator",), "mad")
"""As whom the key is kept: in no caller's tenant, so that nobody reads, changes or revokes it by a tool."""
_MOST_MESSAGES = 1000
_DEEPEST = 64
"""Generations of agents that are followed."""


def make_approvals(
    settings: Settings,
    clock: Clock,
    database: Database,
    journal: Journal,
    redactor: Redactor,
    vault: Vault,
    identities: Identities,
) -> Approvals:
    """All requests for approval of this colony."""
    ports = ApprovalPorts(
        person_of=partial(_person_of, identities),
        history=partial(_history, database, clock),
        news=news_for(settings.approvals, settings.colony, redactor),
        clean=redactor.text,
    )
    seal = Seal(partial(_key, vault, database, journal, clock))
    return Approvals(database, journal, clock, settings.approvals, seal, ports)


@asynccontextmanager
async def taking_on(
    approvals: Approvals, run: Runner, settings: Settings, database: Database, clock: Clock, vault: Vault,
    egress: EgressGuard,
) -> AsyncGenerator[None]:  # fmt: skip
    """Run what was approved, and send news, while the block runs."""
    webhook = ApprovalWebhook(settings.approvals, settings.colony, database, clock, vault.read_for_colony, egress)
    await webhook.start()
    try:
        await approvals.flow.start(run)
        try:
            yield
        finally:
            await approvals.flow.stop()
    finally:
        await webhook.stop()


def _person_of(identities: Identities, principal: Principal) -> str:
    """Who stands at the beginning of an agent's lineage; itself where it has none."""
    parents = {one.name: str(getattr(one, "parent", "")) for one in identities.list_agents()}
    name = principal.agent
    for _ in range(_DEEPEST):
        if not parents.get(name):
            break
        name = parents[name]
    return name


async def _key(vault: Vault, database: Database, journal: Journal, clock: Clock) -> bytes:
    """The key of parked calls, made once: whoever makes it holds a lease, so that no two nodes make two."""
    try:
        return base64.b64decode(await vault.read_for_colony(_KEY, _KEEPER.tenant))
    except NotFound:
        leases = Leases(database, clock)
        lease = await leases.acquire(_KEY, new_id(), _LEASE_NS)
        if lease is None:
            raise StoreUnavailable(
                "store_lease_held", "Another node makes the key of parked calls just now.", retry_after=1
            ) from None

    async def record(event: Event) -> None:
        await journal.append(Entry.event(event, agent=_KEEPER.agent, mad="turing"))

    try:
        return base64.b64decode(await vault.read_for_colony(_KEY, _KEEPER.tenant))
    except NotFound:
        made = os.urandom(_KEY_BYTES)
        text = base64.b64encode(made).decode()
        await vault.set_secret(_KEEPER, _KEY, text, readers=(), colony_only=True, record=record)
        return made
    finally:
        await leases.release(lease)


async def _history(database: Database, clock: Clock, principal: Principal, conversation: str) -> Any:
    from cenoby.mads.rogers.ledger import ConversationLedger
    from cenoby.mads.rogers.sql import Slice, Viewer

    viewer = Viewer(principal.tenant, principal.agent, "operator" in principal.roles)
    try:
        page = await ConversationLedger(database, clock).history(viewer, conversation, Slice(limit=_MOST_MESSAGES))
    except NotFound:
        return None
    return from_json(to_json(page))
