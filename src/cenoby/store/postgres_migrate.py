"""Bringing a PostgreSQL schema to a revision: Alembic writes the statements, and our own connection runs them."""

from __future__ import annotations

import io

from cenoby.store.engine import Connection
from cenoby.store.migrate import MigrationFailed, alembic_config, check_known, is_down, revisions
from cenoby.store.postgres_connection import PostgresConnection, PostgresFailure

PROGRESS_TABLE = "store_copy"
"""There while a copy into the schema is under way (`copy_to_postgres`); no colony starts on it meanwhile."""

# Processes that start at once wait here for the first of them.
_LOCK = "SELECT pg_advisory_xact_lock(1130262384, hashtext(current_schema()))"


def current_revision(connection: PostgresConnection) -> str | None:
    """The revision that the schema is at; None where nothing of ours is in it."""
    there = has_table(connection, "alembic_version")
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if there else None
    return row[0] if row else None


def has_table(connection: Connection, name: str) -> bool:
    """Whether the schema has a table of that name."""
    return connection.execute(
        "SELECT to_regclass(quote_ident(current_schema()) || '.' || quote_ident(?)) IS NOT NULL", (name,)
    ).fetchone()[0]


def refuse_unfinished_copy(connection: PostgresConnection, place: str) -> None:
    """Pass if no copy into the schema is under way.

    Raises:
        MigrationFailed: store_copy_unfinished.
    """
    if has_table(connection, PROGRESS_TABLE):
        raise MigrationFailed(
            "store_copy_unfinished",
            f"{place} holds a copy that is not whole; run `cenoby store migrate --to` with it again until it is done.",
        )


def bring_up(connection: PostgresConnection, place: str) -> None:
    """Bring the schema to the newest revision, making it where it is empty.

    Raises:
        MigrationFailed: it is at a revision nobody here knows, or a step failed and all was rolled back.
        PostgresFailure: the database cannot be read.
    """
    current = current_revision(connection)
    check_known(current, place)
    if current != revisions()[-1]:
        migrate(connection, "head", place)


def migrate(connection: PostgresConnection, revision: str, place: str) -> None:
    """Move the schema up or down to `revision`, `head` or `base`; all steps in one transaction.

    Raises:
        MigrationFailed: a step failed; nothing was changed.
    """
    from alembic.util.exc import CommandError

    try:
        connection.script("BEGIN")
        connection.execute(_LOCK)
        script = _script(current_revision(connection), revision)
        if script:
            connection.script(script)
        connection.script("COMMIT")
    except (PostgresFailure, CommandError) as error:
        if connection.in_transaction:
            connection.script("ROLLBACK")
        raise MigrationFailed("migration_failed", f"{place} could not be brought to {revision}: {error}.") from error


def _script(current: str | None, revision: str) -> str:
    from alembic import command

    start, goal = current or "base", revisions()[-1] if revision == "head" else revision
    if start == goal:
        return ""
    config = alembic_config()
    config.output_buffer = written = io.StringIO()
    config.attributes["dialect"] = "postgresql"
    if is_down(goal, current):
        command.downgrade(config, f"{start}:{goal}", sql=True)
    else:
        command.upgrade(config, f"{start}:{goal}", sql=True)
    # The way up from nothing makes Alembic's own table anew.
    return written.getvalue() + ("DROP TABLE alembic_version;" if goal == "base" else "")
