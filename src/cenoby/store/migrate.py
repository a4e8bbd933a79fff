"""Bringing a database file to a revision of the schema.

Alembic takes a third of a second to import, so a database that is where it should be is recognised without it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from cenoby.kernel.errors import Fault

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


class MigrationFailed(Fault):
    """The database is none that this program can use, or cannot become one."""

    codes = {
        "store_too_new": "The database was written by a newer Cenoby; start that one, or restore an older backup.",
        "store_unreadable": "The file is not a Cenoby database, or is damaged; restore a backup.",
        "migration_failed": "A step of the schema's history failed; the database is as it was before.",
        "store_copy_empty": "The file that was to be copied is not there, or holds no colony that ever ran.",
        "store_copy_broken": "The journal that was to be copied does not hold; find out why with `journal verify`.",
        "store_copy_unplanned": "A table is on one side alone and nobody said how it is copied; a bug of ours.",
        "store_copy_differs": "A finished copy is not what the file holds; empty the target and copy again.",
        "store_copy_unfinished": "A copy into the database was interrupted; run `cenoby store migrate` again.",
        "store_occupied": "The database to copy to holds something else; name an empty one, or another schema.",
    }


def revisions() -> list[str]:
    """Every known revision, oldest first; a revision's id is the name of its file."""
    return sorted(file.stem for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def current_revision(path: Path) -> str | None:
    """The revision that the database at `path` is at; None where it has no schema or does not exist.

    Raises:
        MigrationFailed: the file is not a SQLite database.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise MigrationFailed("store_unreadable", f"{path} cannot be read: {error}. Restore a backup.") from error
    return row[0] if row else None


def bring_up(path: Path) -> None:
    """Bring the database at `path` to the newest revision, making it where it does not exist.

    Raises:
        MigrationFailed: it is at a revision nobody here knows, or a step failed and all was rolled back.
    """
    current = current_revision(path)
    check_known(current, str(path))
    if current != revisions()[-1]:
        migrate(path, "head")


def check_known(current: str | None, place: str) -> None:
    """Pass if `current` is a revision that this program knows, or none.

    Raises:
        MigrationFailed: store_too_new.
    """
    known = revisions()
    if current is not None and current not in known:
        raise MigrationFailed(
            "store_too_new",
            f"{place} is at revision {current}, and this Cenoby knows up to {known[-1]}. Start the newer Cenoby.",
        )


def migrate(path: Path, revision: str) -> None:
    """Move the database at `path` up or down to `revision`, `head` or `base`; all steps in one transaction.

    Raises:
        MigrationFailed: a step failed; nothing was changed.
    """
    from alembic import command
    from alembic.util.exc import CommandError
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    config = alembic_config()
    engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)
    # The driver would end a transaction before each CREATE TABLE; SQLite itself need not.
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            if is_down(revision, current_revision(path)):
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
    except (SQLAlchemyError, sqlite3.Error, CommandError) as error:
        raise MigrationFailed("migration_failed", f"{path} could not be brought to {revision}: {error}") from error


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def alembic_config() -> Config:
    """Where Alembic finds the schema's history."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def is_down(revision: str, current: str | None) -> bool:
    """Whether the way from `current` to `revision` leads down."""
    known = revisions()
    if revision == "base":
        return True
    return revision != "head" and current in known and known.index(revision) < known.index(current)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=30)
