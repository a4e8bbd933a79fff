"""Destructive SQL: comments and quoted texts gone, statement by statement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from cenoby.protection.rules.findings import Level, Raw
from cenoby.protection.rules.linear import linear

# A quoted text (two quotes in it are one), a comment to the end of the line, or one in signs; MySQL runs /*! ... */.
_QUOTED = linear(r"'(?:[^'\\]|''|\\.)*'|--[^\n]*|/\*[^!*](?:[^*]|\*+[^*/])*\*+/|/\*\*+/")
_RUN_COMMENT = linear(r"/\*!\d*|\*/|--[^\n]*")
_DYNAMIC = linear(r"(?i)\b(?:EXEC|EXECUTE|PREPARE|sp_executesql)\b")
_TRIGGER = linear(r"(?i)\b(?:DROP|TRUNCATE|DELETE|UPDATE)\b")
_DROP_DATABASE = linear(r"(?i)\bDROP\s+(?:DATABASE|SCHEMA|TABLESPACE)\b")
_DROP_TABLE = linear(
    r"(?i)\bDROP\s+(?:TEMPORARY\s+)?(?:TABLE|VIEW|MATERIALIZED\s+VIEW|USER|ROLE|COLUMN|INDEX|COLLECTION)\b"
)
_TRUNCATE = linear(r"(?i)\bTRUNCATE\s+(?:TABLE\s+|ONLY\s+)*[A-Za-z_\"`\[]")
_DELETE = linear(r"(?i)\bDELETE\s+(?:[A-Za-z_.,\s]{1,64}\s)?FROM\b(?P<rest>.*)")
_UPDATE = linear(
    r"(?i)(?:^|\))\s*UPDATE\s+(?:ONLY\s+|LOW_PRIORITY\s+|IGNORE\s+)*[A-Za-z0-9_.\"`\[\]]+"
    r"(?:\s+(?:AS\s+)?[A-Za-z_]+)?\s+SET\b(?P<rest>.*)"
)
_WHERE = linear(r"(?i)\bWHERE\b(?P<rest>.*)")
# Of a condition that is always true.
_ALWAYS = linear(
    r"(?i)^\s*\(*\s*(?:TRUE|NOT\s+FALSE|1|(\d+)\s*=\s*(\d+)|''\s*=\s*''|1\s*(?:<>|!=|>)\s*0)\s*\)*\s*(?:$|OR\b|LIMIT\b)"
)
_CLIENT = linear(
    r"(?i)\b(?:mysql|mariadb|psql|sqlite3?|sqlcmd|sqlplus|clickhouse(?:-client)?|cockroach|duckdb|bq|snowsql|isql|tsql)\b"
)
_VERBS = (
    "DROP ",
    "TRUNCATE ",
    "DELETE ",
    "UPDATE ",
    "ALTER ",
    "WITH ",
    "SELECT ",
    "INSERT ",
    "MERGE ",
    "BEGIN",
    "EXEC",
)


def destructive_statements(text: str) -> Iterator[Raw]:
    """Rules that a piece of SQL breaks.

    Args:
        text: plain (`spellings.plain`).
    """
    if _TRIGGER.search(_RUN_COMMENT.sub("", text)) is None and _TRIGGER.search(text) is None:
        return
    # What is put together and run later stands in quotes.
    if _DYNAMIC.search(text) is None:
        text = _QUOTED.sub(_without, text)
    text = _RUN_COMMENT.sub(" ", text.replace("/**/", " "))
    for statement in text.split(";"):
        yield from _of_statement(" ".join(statement.split()))


def destructive_statements_in_command(text: str) -> Iterator[Raw]:
    """Rules that SQL in a command line breaks: what is quoted for a database's client is a statement."""
    if _CLIENT.search(text) is not None:
        text = text.replace("'", " ").replace('"', " ")
    yield from destructive_statements(text)


def looks_like_statement(text: str) -> bool:
    """Whether a text begins as SQL does."""
    return text.lstrip(" \t\r\n(;").upper().startswith(_VERBS)


def _of_statement(statement: str) -> Iterator[Raw]:
    if _DROP_DATABASE.search(statement) is not None:
        yield "destructive.drop_database", Level.DENY
    if _DROP_TABLE.search(statement) is not None:
        yield "destructive.drop_table", Level.ASK
    if _TRUNCATE.search(statement) is not None:
        yield "destructive.truncate", Level.ASK
    if (found := _DELETE.search(statement)) is not None and not _is_held(found.group("rest")):
        yield "destructive.delete_all", Level.ASK
    if (found := _UPDATE.search(statement)) is not None and not _is_held(found.group("rest")):
        yield "destructive.update_all", Level.ASK


def _is_held(rest: str | None) -> bool:
    where = _WHERE.search(rest or "")
    if where is None:
        return False
    always = _ALWAYS.search(where.group("rest") or "")
    return always is None or always.group(1) != always.group(2)


def _without(match: Any) -> str:
    return "''" if cast(str, match.group()).startswith("'") else " "
