"""Where a PostgreSQL database is and who we are there, from the setting `store`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from cenoby.kernel.settings_file import SettingsError


class PostgresAddress:
    """A parsed URL; its credentials are in `options` alone, and those are shown nowhere.

    Args:
        url: `postgresql://user:password@host:port/database?option=value`. The password may as well be in PGPASSWORD or
            in `~/.pgpass`; options are those of libpq (`sslmode`, `sslrootcert`, ...) and settings of the server
            (`search_path`).

    Raises:
        SettingsError: settings_invalid.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
        except ValueError:
            raise _invalid() from None
        database = unquote(parts.path.lstrip("/"))
        if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not database or "/" in database:
            raise _invalid()
        self.place = f"postgresql://{parts.hostname}:{port}/{database}"
        options = {"dsn": _without_credentials(parts), "server_settings": {"application_name": "cenoby"}}
        for name, value in (("user", parts.username), ("password", parts.password)):
            if value is not None:
                options[name] = unquote(value)
        self.options: Mapping[str, Any] = options


def _without_credentials(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(("postgresql", host, parts.path, parts.query, ""))


def _invalid() -> SettingsError:
    return SettingsError("settings_invalid", "store: write postgresql://user@host:port/database, quoted where need be.")
