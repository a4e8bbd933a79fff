"""All SQL of the vault. Functions take a connection and run on the store's threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from cenoby.protection.secrets import SecretInfo, VersionInfo
from cenoby.protection.vault.cipher import Place, Sealed
from cenoby.store.engine import Connection

# The master key is the colony's own and belongs to no tenant.
_COLONY = ""
_INFO = "name, version, readers, colony_only, created_by, created_ns, revoked_by, revoked_ns"
_SELECT = f"SELECT {_INFO}, tenant, key_id, wrapped_key, ciphertext FROM secret_versions"  # noqa: S608 - a constant


def read_key_in_force(connection: Connection) -> tuple[str, bytes] | None:
    """Id and check value of the master key in force; None before the first start."""
    return connection.execute(
        "SELECT key_id, check_value FROM vault_master_key WHERE tenant = ?", (_COLONY,)
    ).fetchone()


def write_key_in_force(connection: Connection, key_id: str, check_value: bytes, now_ns: int) -> None:
    """Put a master key in force."""
    connection.execute(
        "INSERT INTO vault_master_key (tenant, key_id, check_value, since_ns) VALUES (?, ?, ?, ?) ON CONFLICT (tenant) "
        "DO UPDATE SET key_id = excluded.key_id, check_value = excluded.check_value, since_ns = excluded.since_ns",
        (_COLONY, key_id, check_value, now_ns),
    )


def read_secret(connection: Connection, tenant: str, name: str) -> SecretInfo | None:
    """A secret by its newest version."""
    return next(_secrets(connection, "tenant = ? AND name = ?", (tenant, name), 1), None)


def read_secrets(connection: Connection, tenant: str, after: str, limit: int) -> list[SecretInfo]:
    """A tenant's secrets by name, those after the name `after`."""
    return list(_secrets(connection, "tenant = ? AND name > ?", (tenant, after), limit))


def read_version(connection: Connection, tenant: str, name: str, version: int) -> VersionInfo | None:
    """One version of a secret."""
    row = connection.execute(
        f"{_SELECT} WHERE tenant = ? AND name = ? AND version = ?", (tenant, name, version)
    ).fetchone()
    return _info(row) if row else None


def read_versions(connection: Connection, tenant: str, name: str) -> list[VersionInfo]:
    """All versions of a secret, the newest first."""
    rows = connection.execute(f"{_SELECT} WHERE tenant = ? AND name = ? ORDER BY version DESC", (tenant, name))
    return [_info(row) for row in rows]


def read_sealed(connection: Connection, tenant: str, name: str, version: int) -> tuple[VersionInfo, Sealed] | None:
    """One version with its ciphertext; None where it is not there or was revoked."""
    row = connection.execute(
        f"{_SELECT} WHERE tenant = ? AND name = ? AND version = ? AND wrapped_key IS NOT NULL",
        (tenant, name, version),
    ).fetchone()
    return (_info(row), Sealed(*row[9:])) if row else None


def add_version(connection: Connection, tenant: str, info: VersionInfo, sealed: Sealed) -> None:
    """Add a version; its number must be new."""
    connection.execute(
        "INSERT INTO secret_versions (tenant, name, version, readers, colony_only, created_by, created_ns, key_id, "
        "wrapped_key, ciphertext) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tenant,
            info.name,
            info.version,
            msgspec.json.encode(info.readers).decode(),
            info.colony_only,
            info.created_by,
            info.created_ns,
            sealed.key_id,
            sealed.wrapped_key,
            sealed.ciphertext,
        ),
    )


def newest_version(connection: Connection, tenant: str, name: str) -> int:
    """The highest version number of a secret; 0 where there is none."""
    return connection.execute(
        "SELECT coalesce(max(version), 0) FROM secret_versions WHERE tenant = ? AND name = ?", (tenant, name)
    ).fetchone()[0]


def revoke_versions(
    connection: Connection, tenant: str, name: str, version: int | None, agent: str, now_ns: int
) -> list[int]:
    """Destroy key and ciphertext of one version, or of all; the numbers of those that were good until now."""
    rows = connection.execute(
        "UPDATE secret_versions SET wrapped_key = NULL, ciphertext = NULL, revoked_by = ?, revoked_ns = ? "
        "WHERE tenant = ? AND name = ? AND (CAST(? AS BIGINT) IS NULL OR version = ?) AND revoked_ns IS NULL "
        "RETURNING version",
        (agent, now_ns, tenant, name, version, version),
    ).fetchall()
    return sorted(number for (number,) in rows)


def rewrap_all(connection: Connection, key_id: str, rewrap: Callable[[Place, str, bytes], bytes]) -> int:
    """Wrap every data key again, to be under `key_id`; how many there were.

    Args:
        rewrap: `(place, id of the present master key, wrapped key) -> newly wrapped key`.
    """
    rows = connection.execute(f"{_SELECT} WHERE wrapped_key IS NOT NULL").fetchall()
    changes: list[tuple[str, bytes, str, str, int]] = []
    for row in rows:
        info, (tenant, present, wrapped, _) = _info(row), row[8:]
        changes.append((key_id, rewrap(Place(tenant, info), present, wrapped), tenant, info.name, info.version))
    connection.executemany(
        "UPDATE secret_versions SET key_id = ?, wrapped_key = ? WHERE tenant = ? AND name = ? AND version = ?", changes
    )
    return len(changes)


def _secrets(connection: Connection, where: str, parameters: tuple[str, ...], limit: int) -> Iterator[SecretInfo]:
    columns = ", ".join(f"v.{column.strip()}" for column in _INFO.split(","))
    rows = connection.execute(
        f"SELECT {columns}, first.created_by, g.versions FROM "  # noqa: S608 - `where` is written in this file
        f"(SELECT tenant, name, max(version) AS newest, count(*) AS versions FROM secret_versions WHERE {where} "
        "GROUP BY tenant, name ORDER BY name LIMIT ?) AS g "
        "JOIN secret_versions AS v ON v.tenant = g.tenant AND v.name = g.name AND v.version = g.newest "
        "JOIN secret_versions AS first ON first.tenant = g.tenant AND first.name = g.name AND first.version = 1 "
        "ORDER BY v.name",
        (*parameters, limit),
    )
    for row in rows:
        yield SecretInfo(newest=_info(row), owner=row[8], versions=row[9])


def _info(row: tuple[Any, ...]) -> VersionInfo:
    name, version, readers, colony_only, created_by, created_ns, revoked_by, revoked_ns = row[:8]
    return VersionInfo(
        name=name,
        version=version,
        readers=msgspec.json.decode(readers, type=tuple[str, ...]),
        colony_only=bool(colony_only),
        created_by=created_by,
        created_ns=created_ns,
        revoked_by=revoked_by,
        revoked_ns=revoked_ns,
    )
