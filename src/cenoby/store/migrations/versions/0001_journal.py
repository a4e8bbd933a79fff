"""The journal: headers, payloads apart, and what finds them.

Revision ID: 0001_journal
Revises: nothing
"""

from __future__ import annotations

from alembic import op

revision = "0001_journal"
down_revision = None
branch_labels = None
depends_on = None

_FIELDS = (
    "node", "id", "tenant", "time_ns", "kind", "agent", "mad", "tool", "action", "decision", "status", "code",
    "correlation", "causation", "invocation", "payload_digest",
)  # fmt: skip
_SHOWN = ", ".join(f"json_extract(header, '$[{place}]') AS {field}" for place, field in enumerate(_FIELDS, 1))
# AUTOINCREMENT remembers the last position ever given, so a dropped last record shows.
# The canonical header is kept as the very text that was hashed; the view shows what is in it.
_UP = (
    """CREATE TABLE journal (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        seq INTEGER NOT NULL,
        header TEXT NOT NULL,
        hash BLOB NOT NULL
    )""",
    f"CREATE VIEW journal_record AS SELECT position, seq, hash, {_SHOWN} FROM journal",  # noqa: S608 - constants
    """CREATE TRIGGER journal_keeps BEFORE UPDATE ON journal BEGIN
        SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER journal_stays BEFORE DELETE ON journal BEGIN
        SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TABLE journal_payload (
        position INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        salted BLOB NOT NULL
    )""",
    # What finds records is written a block of records at a time; see journal_index.py.
    """CREATE TABLE journal_block (
        block INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        earliest_ns INTEGER NOT NULL,
        latest_ns INTEGER NOT NULL,
        lowest_id TEXT NOT NULL,
        highest_id TEXT NOT NULL
    )""",
    """CREATE TABLE journal_facet (
        tenant TEXT NOT NULL,
        facet TEXT NOT NULL,
        value TEXT NOT NULL,
        block INTEGER NOT NULL,
        PRIMARY KEY (facet, value, block)
    ) WITHOUT ROWID""",
)
_TABLES = ("journal_facet", "journal_block", "journal_payload", "journal")


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables; the triggers go with them."""
    op.execute("DROP VIEW journal_record")
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
