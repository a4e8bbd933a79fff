"""The journal: headers, payloads apart, and what finds them.

Revision ID: 0001_journal
Revises: nothing
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

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
_SQLITE = (
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
_SQLITE_DOWN = (
    "DROP VIEW journal_record",
    "DROP TABLE journal_facet",
    "DROP TABLE journal_block",
    "DROP TABLE journal_payload",
    "DROP TABLE journal",
)
# Several nodes write: each has a chain of its own, whose last record `journal_head` remembers, so that a dropped one
# shows. Columns beside the header only find records; what they say is compared with it by verification.
_POSTGRESQL = (
    """CREATE TABLE journal (
        node TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        position BIGINT GENERATED ALWAYS AS IDENTITY,
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        time_ns BIGINT NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        agent TEXT COLLATE "C" NOT NULL,
        mad TEXT COLLATE "C" NOT NULL,
        tool TEXT COLLATE "C" NOT NULL,
        code TEXT COLLATE "C" NOT NULL,
        correlation TEXT COLLATE "C" NOT NULL,
        decided BOOLEAN NOT NULL,
        header TEXT COLLATE "C" NOT NULL,
        hash BYTEA NOT NULL,
        PRIMARY KEY (node, seq)
    )""",
    "CREATE UNIQUE INDEX journal_by_position ON journal (position)",
    "CREATE INDEX journal_by_id ON journal (id)",
    "CREATE INDEX journal_by_correlation ON journal (correlation, position)",
    "CREATE INDEX journal_by_agent ON journal (agent, position)",
    "CREATE INDEX journal_by_tool ON journal (tool, position) WHERE tool <> ''",
    "CREATE INDEX journal_by_mad ON journal (mad, position) WHERE mad <> ''",
    "CREATE INDEX journal_by_code ON journal (code, position) WHERE code <> ''",
    "CREATE INDEX journal_by_time ON journal USING BRIN (time_ns) WITH (pages_per_range = 16)",
    """CREATE FUNCTION journal_stays() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
    """CREATE TRIGGER journal_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
        FOR EACH STATEMENT EXECUTE FUNCTION journal_stays()""",
    """CREATE TABLE journal_payload (
        node TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        tenant TEXT COLLATE "C" NOT NULL,
        salted BYTEA NOT NULL,
        PRIMARY KEY (node, seq)
    )""",
    """CREATE TABLE journal_head (
        node TEXT COLLATE "C" PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        hash BYTEA NOT NULL
    )""",
)
_POSTGRESQL_DOWN = (
    "DROP TABLE journal_head",
    "DROP TABLE journal_payload",
    "DROP TABLE journal",
    "DROP FUNCTION journal_stays",
)


def upgrade() -> None:
    """Make the tables."""
    run((), {"sqlite": _SQLITE, "postgresql": _POSTGRESQL})


def downgrade() -> None:
    """Drop the tables; the triggers go with them."""
    run((), {"sqlite": _SQLITE_DOWN, "postgresql": _POSTGRESQL_DOWN})
