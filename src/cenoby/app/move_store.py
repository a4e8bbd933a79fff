"""Moving a colony that does not run from its SQLite file to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

from cenoby.app.data_dir import owned
from cenoby.kernel.settings import Settings
from cenoby.mads.rogers.search import index_messages
from cenoby.store.connect import engine_for
from cenoby.store.copy_plan import Along
from cenoby.store.copy_to_postgres import Copied, Step, copy_to_postgres
from cenoby.store.migrate import MigrationFailed
from cenoby.store.postgres_address import PostgresAddress
from cenoby.store.sqlite_engine import SqliteEngine

# Rogers finds words by an index of its own on PostgreSQL.
ALONG = (Along("conversation_search", "conversation_messages", index_messages),)


def move_store(settings: Settings, url: str, told: Callable[[Step], None], batch_rows: int) -> Copied:
    """Copy the colony's file to PostgreSQL while owning its data directory; may be run again after an interruption.

    Args:
        settings: `data`, and `store` where that names a file elsewhere.
        url: `postgresql://...`, as the setting `store` will be.
        told: called after each batch that is on disk there.
        batch_rows: most rows of a transaction.

    Raises:
        SettingsError: settings_invalid: `url` is none of PostgreSQL.
        DataDirUnavailable: the colony runs.
        MigrationFailed: there is nothing to copy, the target holds something else, or the copy does not hold.
        StoreUnavailable: one of the databases failed; run it again.
    """
    address = PostgresAddress(url)
    named = engine_for(settings.store, settings.data)
    source = named if isinstance(named, SqliteEngine) else SqliteEngine(settings.data / "colony.db")
    if not source.path.is_file():
        raise MigrationFailed(
            "store_copy_empty", f"There is no {source.path}; name the colony's directory with --data."
        )
    with owned(settings.data):
        return copy_to_postgres(source, address, ALONG, told, batch_rows=batch_rows)
