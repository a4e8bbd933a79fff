"""All SQL of the vault's seal. Functions take a connection and run on the store's threads."""

from __future__ import annotations

import msgspec

from cenoby.protection.vault.seals.closing import Closed
from cenoby.store.engine import Connection

# The seal is the colony's own and belongs to no tenant.
_COLONY = ""


def read_closed(connection: Connection) -> Closed | None:
    """The closed master key; None where no seal was made."""
    row = connection.execute(
        "SELECT facts, key_id, former, ciphertext FROM vault_seal WHERE tenant = ?", (_COLONY,)
    ).fetchone()
    if row is None:
        return None
    facts, key_id, former, ciphertext = row
    return Closed(facts.encode(), key_id, msgspec.json.decode(former, type=tuple[str, ...]), bytes(ciphertext))


def write_closed(connection: Connection, closed: Closed, now_ns: int) -> None:
    """Put a closed master key in the place of the one before."""
    connection.execute(
        "INSERT INTO vault_seal (tenant, facts, key_id, former, ciphertext, since_ns) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (tenant) DO UPDATE SET facts = excluded.facts, key_id = excluded.key_id, "
        "former = excluded.former, ciphertext = excluded.ciphertext, since_ns = excluded.since_ns",
        (
            _COLONY,
            closed.facts.decode(),
            closed.key_id,
            msgspec.json.encode(closed.former).decode(),
            closed.ciphertext,
            now_ns,
        ),
    )
