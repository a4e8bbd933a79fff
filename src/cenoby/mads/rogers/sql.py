"""What Rogers keeps, and all of its SQL. Every function runs inside one `Database.write` or `Database.read`."""

# ruff: noqa: S608 - statements are put together from constants of this file; values are always bound

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from cenoby.kernel.codec import from_json, to_json
from cenoby.mads.rogers.query import Phrase
from cenoby.mads.rogers.search import find_messages, index_message
from cenoby.store.engine import Connection, Dialect

State = Literal["invited", "active", "left"]


class Viewer(msgspec.Struct, frozen=True):
    """Whose eyes look: an agent of a tenant; one that `oversees` sees private conversations, too."""

    tenant: str
    agent: str
    oversees: bool = False


class Thread(msgspec.Struct, frozen=True):
    """A row of `conversations`, with what the viewer is in it. Times are Unix nanoseconds."""

    position: int
    id: str
    tenant: str
    name: str
    creator: str
    private: bool
    tags: list[str]
    metadata: dict[str, str]
    created_ns: int
    messages: int
    last_ns: int
    active: int
    state: State | None


class Place(msgspec.Struct, frozen=True):
    """What it takes to read or post in a conversation: where its rows are, and what the viewer is in it."""

    position: int
    id: str
    name: str
    private: bool
    state: State | None


class Post(msgspec.Struct, frozen=True):
    """A message to be added: everything but its place in the conversation."""

    id: str
    sender: str
    recipient: str | None
    content: str
    tags: list[str]
    mentions: list[str]
    acknowledgement: bool
    correlation: str
    time_ns: int


class Line(msgspec.Struct, frozen=True):
    """A stored message; `position` orders all messages of the ledger."""

    position: int
    conversation: str
    seq: int
    post: Post


_THREAD = """
    SELECT c.position, c.id, c.tenant, c.name, c.creator, c.private, c.tags, c.metadata, c.created_ns,
        c.messages, c.last_ns,
        (SELECT count(*) FROM conversation_participants a WHERE a.conversation = c.position AND a.state = 'active'),
        (SELECT p.state FROM conversation_participants p WHERE p.conversation = c.position AND p.agent = :agent)
    FROM conversations c WHERE c.tenant = :tenant
"""
_VISIBLE = """
    (c.private = 0 OR :oversees OR EXISTS (
        SELECT 1 FROM conversation_participants v WHERE v.conversation = c.position AND v.agent = :agent))
"""
_LINE = """
    SELECT m.position, c.id, m.seq, m.id, m.sender, m.recipient, m.content, m.tags, m.mentions, m.acknowledgement,
        m.correlation, m.time_ns FROM
"""
# CROSS JOIN keeps the order of tables in SQLite: a filtered page walks the index of its filter and stops when full.
_MESSAGES = "conversation_messages m CROSS JOIN conversations c"
_JOINED = "c.position = m.conversation"
_FILTERED = [_JOINED, "m.conversation = f.conversation", "m.seq = f.seq"]
_OF_TOPIC = f"conversation_topics f CROSS JOIN {_MESSAGES}"
_OF_MENTION = f"conversation_mentions f CROSS JOIN {_MESSAGES}"
_NAMED: Mapping[Dialect, str] = {
    "sqlite": "instr(lower(c.name), lower(:name)) > 0",
    "postgresql": "strpos(lower(c.name), lower(:name)) > 0",
}
_TAGGED: Mapping[Dialect, str] = {
    "sqlite": "EXISTS (SELECT 1 FROM json_each(c.tags) WHERE value = :tag)",
    "postgresql": "CAST(c.tags AS JSONB) @> to_jsonb(CAST(:tag AS TEXT))",
}


def add_thread(connection: Connection, thread: Thread) -> int:
    """Keep a new conversation and return its position."""
    (position,) = connection.execute(
        "INSERT INTO conversations (id, tenant, name, creator, private, tags, metadata, created_ns)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING position",
        (
            thread.id, thread.tenant, thread.name, thread.creator, thread.private,
            _json(thread.tags), _json(thread.metadata), thread.created_ns,
        ),
    ).fetchone()  # fmt: skip
    return position


def set_participants(
    connection: Connection, tenant: str, position: int, agents: Iterable[str], state: State, now_ns: int
) -> None:
    """Put each agent on the conversation's list in `state`, whatever it was in before."""
    connection.executemany(
        "INSERT INTO conversation_participants (tenant, conversation, agent, state, since_ns) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (conversation, agent) DO UPDATE SET state = excluded.state, since_ns = excluded.since_ns",
        [(tenant, position, agent, state, now_ns) for agent in agents],
    )


def find_thread(connection: Connection, viewer: Viewer, conversation: str) -> Thread | None:
    """The conversation of that id, if the viewer may see it."""
    row = connection.execute(f"{_THREAD} AND c.id = :id AND {_VISIBLE}", {**_eyes(viewer), "id": conversation})
    return next(map(_thread, row), None)


def find_place(connection: Connection, viewer: Viewer, conversation: str) -> Place | None:
    """Where the conversation of that id is kept, if the viewer may see it."""
    row = connection.execute(
        """SELECT c.position, c.id, c.name, c.private, p.state FROM conversations c
        LEFT JOIN conversation_participants p ON p.conversation = c.position AND p.agent = :agent
        WHERE c.id = :id AND c.tenant = :tenant AND (c.private = 0 OR :oversees OR p.agent IS NOT NULL)""",
        {**_eyes(viewer), "id": conversation},
    ).fetchone()
    return None if row is None else Place(row[0], row[1], row[2], bool(row[3]), row[4])


def list_threads(
    connection: Connection,
    viewer: Viewer,
    *,
    name: str | None,
    tag: str | None,
    joined: bool,
    before: int | None,
    limit: int,
) -> list[Thread]:
    """At most `limit` conversations that the viewer may see, newest first, from before a position on."""
    sql, values = f"{_THREAD} AND {_VISIBLE}", {**_eyes(viewer), "limit": limit}
    if name is not None:
        sql, values["name"] = f"{sql} AND {_NAMED[connection.dialect]}", name
    if tag is not None:
        sql, values["tag"] = f"{sql} AND {_TAGGED[connection.dialect]}", tag
    if joined:
        sql += (
            " AND c.position IN (SELECT j.conversation FROM conversation_participants j"
            " WHERE j.tenant = :tenant AND j.agent = :agent AND j.state = 'active')"
        )
    if before is not None:
        sql, values["before"] = f"{sql} AND c.position < :before", before
    return [_thread(row) for row in connection.execute(f"{sql} ORDER BY c.position DESC LIMIT :limit", values)]


def list_participants(connection: Connection, position: int, limit: int) -> list[tuple[str, State, int]]:
    """(agent, state, since) of a conversation's list, by name."""
    return connection.execute(
        "SELECT agent, state, since_ns FROM conversation_participants WHERE conversation = ? ORDER BY agent LIMIT ?",
        (position, limit),
    ).fetchall()


def listed_among(connection: Connection, position: int, agents: Sequence[str]) -> set[str]:
    """Those of `agents` that are on the conversation's list."""
    if not agents:
        return set()
    rows = connection.execute(
        f"SELECT agent FROM conversation_participants WHERE conversation = ? AND agent IN ({_places(agents)})",
        (position, *agents),
    )
    return {agent for (agent,) in rows}


def add_message(connection: Connection, tenant: str, place: Place, post: Post) -> Line:
    """Append `post` under the conversation's next number."""
    (seq,) = connection.execute(
        "UPDATE conversations SET messages = messages + 1, last_ns = ? WHERE position = ? RETURNING messages",
        (post.time_ns, place.position),
    ).fetchone()
    (position,) = connection.execute(
        "INSERT INTO conversation_messages (id, tenant, conversation, seq, sender, recipient, content, tags, mentions,"
        " acknowledgement, correlation, time_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING position",
        (
            post.id, tenant, place.position, seq, post.sender, post.recipient, post.content, _json(post.tags),
            _json(post.mentions), post.acknowledgement, post.correlation, post.time_ns,
        ),
    ).fetchone()  # fmt: skip
    connection.executemany(
        "INSERT INTO conversation_topics (tenant, conversation, topic, seq) VALUES (?, ?, ?, ?)",
        [(tenant, place.position, topic, seq) for topic in post.tags],
    )
    connection.executemany(
        "INSERT INTO conversation_mentions (tenant, agent, message, conversation, seq) VALUES (?, ?, ?, ?, ?)",
        [(tenant, agent, position, place.position, seq) for agent in post.mentions],
    )
    index_message(connection, tenant, position, post.content)
    return Line(position, place.id, seq, post)


class Slice(msgspec.Struct, frozen=True):
    """Which messages of a conversation: bounds by number, filters, and how many at most."""

    limit: int
    before: int | None = None
    after: int | None = None
    topic: str | None = None
    mention: str | None = None
    acknowledgements: bool = True


def page_lines(connection: Connection, place: Place, part: Slice) -> list[Line]:
    """With `after`, the first messages after it, in order; else the last ones (before `before`), the newest first."""
    source, seq, conditions = _page_source(part)
    if part.before is not None:
        conditions.append(f"{seq} < :before")
    if part.after is not None:
        conditions.append(f"{seq} > :after")
    if not part.acknowledgements:
        conditions.append("m.acknowledgement = 0")
    order = "DESC" if part.after is None else "ASC"
    rows = connection.execute(
        f"{_LINE} {source} WHERE {' AND '.join(conditions)} ORDER BY {seq} {order} LIMIT :limit",
        {**msgspec.structs.asdict(part), "position": place.position},
    )
    return [_line(row) for row in rows]


def _page_source(part: Slice) -> tuple[str, str, list[str]]:
    """The tables, the number's column and the first conditions of a page."""
    if part.mention is not None:
        conditions = [*_FILTERED, "f.conversation = :position", "f.agent = :mention"]
        if part.topic is not None:
            conditions.append(
                "EXISTS (SELECT 1 FROM conversation_topics t"
                " WHERE t.conversation = f.conversation AND t.topic = :topic AND t.seq = f.seq)"
            )
        return _OF_MENTION, "f.seq", conditions
    if part.topic is not None:
        return _OF_TOPIC, "f.seq", [*_FILTERED, "f.conversation = :position", "f.topic = :topic"]
    return _MESSAGES, "m.seq", [_JOINED, "m.conversation = :position"]


def search_lines(
    connection: Connection, viewer: Viewer, phrases: Sequence[Phrase], *, position: int | None, limit: int, offset: int
) -> list[Line]:
    """Messages that hold all phrases, best first; of one conversation where `position` is given."""
    values = {**_eyes(viewer), "position": position, "limit": limit, "offset": offset}
    found = find_messages(connection, phrases, _VISIBLE, values)
    if not found:
        return []
    rows = connection.execute(f"{_LINE} {_MESSAGES} WHERE {_JOINED} AND m.position IN ({_places(found)})", tuple(found))
    lines = {line.position: line for line in map(_line, rows)}
    return [lines[position] for position in found]


def list_mentions(connection: Connection, viewer: Viewer, agent: str, *, before: int | None, limit: int) -> list[Line]:
    """Messages that name `agent`, in conversations that the viewer may see, newest first."""
    values = {**_eyes(viewer), "named": agent, "before": before, "limit": limit}
    sql = f"""{_LINE} {_OF_MENTION} WHERE {_JOINED} AND m.position = f.message
        AND f.tenant = :tenant AND f.agent = :named AND (CAST(:before AS BIGINT) IS NULL OR f.message < :before)
        AND {_VISIBLE}
        ORDER BY f.message DESC LIMIT :limit"""
    return [_line(row) for row in connection.execute(sql, values)]


def count_topics(
    connection: Connection, viewer: Viewer, *, position: int | None, limit: int
) -> list[tuple[str, int, int]]:
    """(topic, messages, conversations) of what the viewer may see, most used first."""
    values = {**_eyes(viewer), "position": position, "limit": limit}
    return connection.execute(
        f"""SELECT t.topic, count(*) AS messages, count(DISTINCT t.conversation)
        FROM conversations c JOIN conversation_topics t ON t.conversation = c.position
        WHERE c.tenant = :tenant AND {_VISIBLE} AND (CAST(:position AS BIGINT) IS NULL OR c.position = :position)
        GROUP BY t.topic ORDER BY messages DESC, t.topic LIMIT :limit""",
        values,
    ).fetchall()


def _eyes(viewer: Viewer) -> dict[str, Any]:
    return {"tenant": viewer.tenant, "agent": viewer.agent, "oversees": viewer.oversees}


def _places(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _json(value: Any) -> str:
    return to_json(value).decode()


def _thread(row: tuple[Any, ...]) -> Thread:
    position, identifier, tenant, name, creator, private, tags, metadata, *rest = row
    return Thread(
        position, identifier, tenant, name, creator, bool(private), from_json(tags), from_json(metadata), *rest
    )


def _line(row: tuple[Any, ...]) -> Line:
    position, conversation, seq, identifier, sender, recipient, content, tags, mentions, acknowledgement, *rest = row
    post = Post(
        identifier, sender, recipient, content, from_json(tags), from_json(mentions), bool(acknowledgement), *rest
    )
    return Line(position, conversation, seq, post)
