"""Choosing an engine by its URL."""

from __future__ import annotations

from pathlib import Path

from cenoby.kernel.settings_file import SettingsError
from cenoby.store.engine import Engine
from cenoby.store.sqlite_engine import SqliteEngine

SQLITE = "sqlite:///"


def engine_for(url: str, data: Path, node: str = "") -> Engine:
    """The engine that the setting `store` names.

    Args:
        url: `sqlite:///` for DATA/colony.db, `sqlite:////absolute/file.db`, or `postgresql://user@host:port/database`.
        data: the colony's data directory.
        node: as whom we write there, where several may; the data directory's owner needs no name.

    Raises:
        SettingsError: settings_invalid; the message holds nothing of the URL but its scheme.
    """
    if url.startswith(SQLITE):
        return SqliteEngine(data / (url.removeprefix(SQLITE) or "colony.db"))
    scheme = url.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise SettingsError(
            "settings_invalid", f"store: no engine for {scheme[:20]!r}; use sqlite:/// or postgresql://."
        )
    # Imported here: a colony on SQLite does not pay for loading the driver.
    from cenoby.store.postgres_address import PostgresAddress
    from cenoby.store.postgres_engine import PostgresEngine

    return PostgresEngine(PostgresAddress(url), node)
