"""Conversations: threads, participants, messages, their #topics and @mentions, and the full-text index over them.

Messages are append-only by trigger, whoever holds the connection. The search index holds no second copy of the text
(FTS5 external content, sqlite.org/fts5.html section 4.4.3).
"""

from __future__ import annotations

from cenoby.store.migrations.dialects import run

revision = "0004_conversations"
down_revision = "0003_vault"
branch_labels = None
depends_on = None

_TABLES = (
    """
    CREATE TABLE conversations (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        creator TEXT NOT NULL,
        private INTEGER NOT NULL,
        tags TEXT NOT NULL,
        metadata TEXT NOT NULL,
        created_ns INTEGER NOT NULL,
        messages INTEGER NOT NULL DEFAULT 0,
        last_ns INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX conversations_by_tenant ON conversations (tenant, position)",
    """
    CREATE TABLE conversation_participants (
        tenant TEXT NOT NULL,
        conversation INTEGER NOT NULL REFERENCES conversations (position),
        agent TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('invited', 'active', 'left')),
        since_ns INTEGER NOT NULL,
        PRIMARY KEY (conversation, agent)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX conversation_participants_by_agent ON conversation_participants (tenant, agent, conversation)",
    """
    CREATE TABLE conversation_messages (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        tenant TEXT NOT NULL,
        conversation INTEGER NOT NULL REFERENCES conversations (position),
        seq INTEGER NOT NULL,
        sender TEXT NOT NULL,
        recipient TEXT,
        content TEXT NOT NULL,
        tags TEXT NOT NULL,
        mentions TEXT NOT NULL,
        acknowledgement INTEGER NOT NULL,
        correlation TEXT NOT NULL,
        time_ns INTEGER NOT NULL,
        UNIQUE (conversation, seq)
    )
    """,
    """
    CREATE TABLE conversation_topics (
        tenant TEXT NOT NULL,
        conversation INTEGER NOT NULL,
        topic TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (conversation, topic, seq)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE conversation_mentions (
        tenant TEXT NOT NULL,
        agent TEXT NOT NULL,
        message INTEGER NOT NULL,
        conversation INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (tenant, agent, message)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX conversation_mentions_within ON conversation_mentions (conversation, agent, seq)",
)
_SQLITE = (
    """
    CREATE VIRTUAL TABLE conversation_search USING fts5 (
        content, tenant UNINDEXED,
        content='conversation_messages', content_rowid='position', tokenize='unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TRIGGER conversation_messages_indexed AFTER INSERT ON conversation_messages BEGIN
        INSERT INTO conversation_search (rowid, content, tenant) VALUES (new.position, new.content, new.tenant);
    END
    """,
    """
    CREATE TRIGGER conversation_messages_never_deleted BEFORE DELETE ON conversation_messages BEGIN
        SELECT RAISE (ABORT, 'messages are never deleted');
    END
    """,
    """
    CREATE TRIGGER conversation_messages_never_changed BEFORE UPDATE ON conversation_messages BEGIN
        SELECT RAISE (ABORT, 'messages are never changed');
    END
    """,
)
# The same words, folded by `mads/rogers/words.py`, as vectors of their own.
_POSTGRESQL = (
    """
    CREATE TABLE conversation_search (
        position BIGINT PRIMARY KEY REFERENCES conversation_messages (position),
        tenant TEXT COLLATE "C" NOT NULL,
        words TSVECTOR NOT NULL
    )
    """,
    "CREATE INDEX conversation_search_words ON conversation_search USING GIN (words)",
    """
    CREATE FUNCTION conversation_messages_stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'messages are never deleted, changed or removed'; END $$
    """,
    """
    CREATE TRIGGER conversation_messages_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON conversation_messages
    FOR EACH STATEMENT EXECUTE FUNCTION conversation_messages_stay()
    """,
)
_OWN = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}

_DOWN = (
    "DROP TABLE conversation_search",
    "DROP TABLE conversation_mentions",
    "DROP TABLE conversation_topics",
    "DROP TABLE conversation_messages",
    "DROP TABLE conversation_participants",
    "DROP TABLE conversations",
)


def upgrade() -> None:
    run(_TABLES, _OWN)


def downgrade() -> None:
    run(_DOWN, {"postgresql": ["DROP FUNCTION conversation_messages_stay"]})
