"""The ledger of conversations: who may do what in them, and what is kept.

A name on a conversation's list is `active` (takes part), `invited` or `left`. Conversations are visible to their whole
tenant; a private one only to those on its list, whatever their state, and to an operator. For everybody else it does
not exist. Only who is active posts. What a method returned is on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.errors import NotFound, Refused
from cenoby.kernel.ids import new_id
from cenoby.mads.rogers import sql
from cenoby.mads.rogers.names import mentions_in, topics_in
from cenoby.mads.rogers.pages import (
    Conversation,
    ConversationDetail,
    ConversationPage,
    HistoryPage,
    Message,
    MessagePage,
    Participant,
    Topic,
    conversation_of,
    fitting,
    message_of,
    messages_of,
)
from cenoby.mads.rogers.query import read_cursor, read_query
from cenoby.mads.rogers.sql import Line, Place, Post, Slice, State, Thread, Viewer
from cenoby.store.database import Database
from cenoby.store.engine import Connection

T = TypeVar("T")

ACKNOWLEDGEMENT = "ack"
"""The tag of a message that only acknowledges another one."""

_MOST_LISTED = 1000


class ConversationUnknown(NotFound):
    """There is no such conversation for this caller."""

    codes = {"conversation_unknown": "No conversation has that id, or it is private and the caller is not on its list."}


class ConversationRefused(Refused):
    """The conversation is there, and the caller may not do that in it."""

    codes = {"not_participant": "Only active participants post and invite; join the conversation first."}


@dataclass(frozen=True, slots=True)
class Posted:
    """A message on disk, with those it names that may read it."""

    message: Message
    name: str
    notify: tuple[str, ...]


class ConversationLedger:
    """Conversations and their messages in the colony's database.

    Args:
        database: the store; its schema has the migration `0004_conversations`.
        clock: gives messages their time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self,
        viewer: Viewer,
        name: str,
        *,
        participants: Iterable[str] = (),
        tags: Iterable[str] = (),
        metadata: dict[str, str] | None = None,
        private: bool = False,
    ) -> Conversation:
        """Open a conversation; the viewer and `participants` are active in it from the start."""
        names = sorted({viewer.agent, *participants})

        def work(connection: Connection) -> Thread:
            now_ns = self._clock.now_ns()
            thread = Thread(
                0, new_id(), viewer.tenant, name, viewer.agent, private, topics_in("", tags), metadata or {}, now_ns,
                messages=0, last_ns=0, active=len(names), state="active",
            )  # fmt: skip
            position = sql.add_thread(connection, thread)
            sql.set_participants(connection, viewer.tenant, position, names, "active", now_ns)
            return thread

        return conversation_of(await self._database.write(work))

    async def page(
        self,
        viewer: Viewer,
        *,
        name: str | None = None,
        tag: str | None = None,
        joined: bool = False,
        cursor: str | None = None,
        limit: int = 50,
    ) -> ConversationPage:
        """What the viewer may see, newest first.

        Raises:
            QueryInvalid: cursor_invalid.
        """
        before = read_cursor(cursor)

        def work(connection: Connection) -> list[Thread]:
            return sql.list_threads(
                connection, viewer, name=name, tag=tag, joined=joined, before=before, limit=limit + 1
            )

        found = await self._database.read(work)
        more = str(found[limit - 1].position) if len(found) > limit else None
        return ConversationPage([conversation_of(thread) for thread in found[:limit]], more)

    async def get(self, viewer: Viewer, conversation: str) -> ConversationDetail:
        """One conversation with the names on its list.

        Raises:
            ConversationUnknown: conversation_unknown.
        """

        def work(connection: Connection) -> ConversationDetail:
            thread = _known(sql.find_thread(connection, viewer, conversation), conversation)
            listed = sql.list_participants(connection, thread.position, _MOST_LISTED)
            people = [Participant(agent, state, iso_time(since)) for agent, state, since in listed]
            return ConversationDetail(conversation_of(thread), people)

        return await self._database.read(work)

    async def set_state(self, viewer: Viewer, conversation: str, state: State) -> bool:
        """Join (`active`) or leave (`left`); whether that changed anything.

        Raises:
            ConversationUnknown: conversation_unknown.
        """

        def work(connection: Connection) -> bool:
            place = _known(sql.find_place(connection, viewer, conversation), conversation)
            if place.state == state or (state == "left" and place.state is None):
                return False
            sql.set_participants(connection, viewer.tenant, place.position, [viewer.agent], state, self._clock.now_ns())
            return True

        return await self._database.write(work)

    async def invite(self, viewer: Viewer, conversation: str, agents: Sequence[str]) -> list[str]:
        """Put agents on the list as invited; those that were not on it before.

        Raises:
            ConversationUnknown: conversation_unknown.
            ConversationRefused: not_participant.
        """

        def work(connection: Connection) -> list[str]:
            place = _active(sql.find_place(connection, viewer, conversation), conversation)
            new = sorted(set(agents) - sql.listed_among(connection, place.position, agents))
            sql.set_participants(connection, viewer.tenant, place.position, new, "invited", self._clock.now_ns())
            return new

        return await self._database.write(work)

    async def post(
        self,
        viewer: Viewer,
        conversation: str,
        content: str,
        *,
        recipient: str | None = None,
        tags: Iterable[str] = (),
        correlation: str = "",
    ) -> Posted:
        """Append a message; on disk, with its number, when this returns.

        Raises:
            ConversationUnknown: conversation_unknown.
            ConversationRefused: not_participant.
        """
        topics = topics_in(content, tags)
        named = mentions_in(content)
        if recipient is not None and recipient not in named:
            named.insert(0, recipient)

        def work(connection: Connection) -> tuple[Line, Place, list[str]]:
            place = _active(sql.find_place(connection, viewer, conversation), conversation)
            # The id is made here, on the one writer thread, so that ids sort as the numbers do.
            post = Post(
                new_id(), viewer.agent, recipient, content, topics, named, ACKNOWLEDGEMENT in topics, correlation,
                self._clock.now_ns(),
            )  # fmt: skip
            line = sql.add_message(connection, viewer.tenant, place, post)
            if named and place.private:
                listed = sql.listed_among(connection, place.position, named)
                return line, place, [agent for agent in named if agent in listed]
            return line, place, named

        line, place, notify = await self._database.write(work, size=len(content) + 512)
        return Posted(message_of(line), place.name, tuple(notify))

    async def history(self, viewer: Viewer, conversation: str, part: Slice) -> HistoryPage:
        """A page of messages in order: the last ones, those before a number, or those after one.

        Raises:
            ConversationUnknown: conversation_unknown.
        """

        def work(connection: Connection) -> HistoryPage:
            place = _known(sql.find_place(connection, viewer, conversation), conversation)
            lines = sql.page_lines(connection, place, msgspec.structs.replace(part, limit=part.limit + 1))
            kept = fitting(lines[: part.limit])
            more = len(lines) > len(kept)
            if part.after is None:
                return HistoryPage(place.id, place.name, messages_of(reversed(kept)), more, part.before is not None)
            return HistoryPage(place.id, place.name, messages_of(kept), part.after > 0, more)

        return await self._database.read(work)

    async def search(
        self, viewer: Viewer, query: str, *, conversation: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> MessagePage:
        """Messages that hold all words of `query`, best first; `"a phrase"` and `prefix*` work.

        Raises:
            ConversationUnknown: conversation_unknown.
            QueryInvalid: query_empty, cursor_invalid.
        """
        phrases, offset = read_query(query), read_cursor(cursor) or 0

        def work(connection: Connection) -> list[Line]:
            position = None
            if conversation is not None:
                position = _known(sql.find_place(connection, viewer, conversation), conversation).position
            return sql.search_lines(connection, viewer, phrases, position=position, limit=limit + 1, offset=offset)

        lines = await self._database.read(work)
        kept = fitting(lines[:limit])
        return MessagePage(messages_of(kept), str(offset + len(kept)) if len(lines) > len(kept) else None)

    async def mentions(self, viewer: Viewer, agent: str, *, cursor: str | None = None, limit: int = 50) -> MessagePage:
        """Messages that name `agent`, newest first.

        Raises:
            QueryInvalid: cursor_invalid.
        """
        before = read_cursor(cursor)

        def work(connection: Connection) -> list[Line]:
            return sql.list_mentions(connection, viewer, agent, before=before, limit=limit + 1)

        lines = await self._database.read(work)
        kept = fitting(lines[:limit])
        return MessagePage(messages_of(kept), str(kept[-1].position) if len(lines) > len(kept) else None)

    async def topics(self, viewer: Viewer, *, conversation: str | None = None, limit: int = 100) -> list[Topic]:
        """The topics in use, most used first.

        Raises:
            ConversationUnknown: conversation_unknown.
        """

        def work(connection: Connection) -> list[tuple[str, int, int]]:
            position = None
            if conversation is not None:
                position = _known(sql.find_place(connection, viewer, conversation), conversation).position
            return sql.count_topics(connection, viewer, position=position, limit=limit)

        return [Topic(*row) for row in await self._database.read(work)]


def _known(found: T | None, conversation: str) -> T:
    if found is None:
        raise ConversationUnknown(
            "conversation_unknown",
            f"There is no conversation {conversation[:64]!r} for you; list_conversations shows those there are.",
        )
    return found


def _active(found: Place | None, conversation: str) -> Place:
    place = _known(found, conversation)
    if place.state != "active":
        raise ConversationRefused(
            "not_participant", f"You do not take part in {place.name!r}; call mads.rogers.join first."
        )
    return place
