"""The log of evidence of a colony: built with its keys and its destinations, kept as long as the colony runs."""

from __future__ import annotations

import os
from collections.abc import Callable

from cenoby.kernel.clock import Clock
from cenoby.kernel.events import Event
from cenoby.kernel.settings import Settings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.evidence.destinations import destination_for
from cenoby.protection.evidence.log import EvidenceLog
from cenoby.protection.evidence.log_keys import LogKeys
from cenoby.protection.vault.vault import Vault
from cenoby.store.database import Database


def log_keys(settings: Settings) -> LogKeys:
    """Where the keys are that sign checkpoints."""
    evidence = settings.evidence
    return LogKeys(evidence.key, evidence.file or settings.data / "log.key", os.environ)


def make_evidence(
    settings: Settings,
    clock: Clock,
    database: Database,
    note: Callable[[Event], object],
    egress: EgressGuard,
    vault: Vault,
) -> EvidenceLog:
    """The log, not started yet.

    Raises:
        NoteInvalid: the key of a witness in the settings is none.
    """
    folder = settings.data / "evidence"
    return EvidenceLog(
        database,
        clock,
        settings.evidence,
        log_keys(settings),
        colony=settings.colony,
        note=note,
        destinations=[destination_for(one, egress, folder, vault.read_for_colony) for one in settings.evidence.publish],
    )
