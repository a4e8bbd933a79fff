"""What falls due with a colony's secrets while it runs."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from cenoby.app.shipped_mads import Parts
from cenoby.protection.vault.upkeep import LeaseSweep, upkeep


def keep_secrets_up(parts: Parts) -> AbstractAsyncContextManager[None]:
    """Note leases that ran out, again and again while the block runs."""
    sweep = LeaseSweep(parts.database, parts.ports.journal, parts.ports.clock)
    return upkeep([sweep], parts.settings.secrets.look_seconds)
