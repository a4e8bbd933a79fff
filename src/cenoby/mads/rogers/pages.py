"""What Rogers' tools give back: conversations, messages, and pages of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cenoby.kernel.clock import iso_time
from cenoby.mads.rogers.sql import Line, Thread

PAGE_CHARS = 1_000_000
"""Characters of content after which a page ends early, so that no page outgrows what a client takes."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A thread of messages.

    Attributes:
        id: UUIDv7.
        private: only those on its participants list see it; others are visible to their whole tenant.
        messages: how many there are, which is also the number (`seq`) of the last one.
        created, last_message: RFC 3339, UTC; no last message is an empty string.
        participants: how many are active in it.
        joined: whether the caller is one of them.
    """

    id: str
    name: str
    creator: str
    private: bool
    tags: list[str]
    metadata: dict[str, str]
    created: str
    messages: int
    last_message: str
    participants: int
    joined: bool


@dataclass(frozen=True, slots=True)
class Participant:
    """One name on a conversation's list: `invited`, `active` or `left`, and since when."""

    agent: str
    state: str
    since: str


@dataclass(frozen=True, slots=True)
class ConversationDetail:
    """A conversation with its participants list (the first thousand names)."""

    conversation: Conversation
    participants: list[Participant]


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Conversations, newest first; pass `next_cursor` on for more, None means there are none."""

    conversations: list[Conversation]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """One message; never changed, never deleted.

    Attributes:
        id: UUIDv7; within a conversation ids sort like `seq`.
        seq: 1, 2, 3 ... within its conversation, without gaps.
        recipient: whom it is meant for, or None for all.
        tags: those given and the #topics in the content, lower-case.
        mentions: the @names in the content, and the recipient.
        correlation: shared with the call that posted it, and its journal records.
        time: RFC 3339, UTC.
    """

    id: str
    conversation: str
    seq: int
    sender: str
    recipient: str | None
    content: str
    tags: list[str]
    mentions: list[str]
    correlation: str
    time: str


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Messages in order; `before` the first one's seq or `after` the last one's goes on where there is more."""

    conversation: str
    name: str
    messages: list[Message]
    more_before: bool
    more_after: bool


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages of several conversations, best or newest first; pass `next_cursor` on for more."""

    messages: list[Message]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Topic:
    """A #topic: in how many messages, and the number of conversations these are in."""

    topic: str
    messages: int
    conversations: int


@dataclass(frozen=True, slots=True)
class TopicList:
    """The most used topics, most used first."""

    topics: list[Topic]


def conversation_of(thread: Thread) -> Conversation:
    """The conversation as its viewer sees it."""
    return Conversation(
        id=thread.id,
        name=thread.name,
        creator=thread.creator,
        private=thread.private,
        tags=thread.tags,
        metadata=thread.metadata,
        created=iso_time(thread.created_ns),
        messages=thread.messages,
        last_message=iso_time(thread.last_ns) if thread.last_ns else "",
        participants=thread.active,
        joined=thread.state == "active",
    )


def message_of(line: Line) -> Message:
    """The message as it is shown."""
    post = line.post
    return Message(
        id=post.id,
        conversation=line.conversation,
        seq=line.seq,
        sender=post.sender,
        recipient=post.recipient,
        content=post.content,
        tags=post.tags,
        mentions=post.mentions,
        correlation=post.correlation,
        time=iso_time(post.time_ns),
    )


def messages_of(lines: Iterable[Line]) -> list[Message]:
    """The messages as they are shown."""
    return [message_of(line) for line in lines]


def fitting(lines: Sequence[Line]) -> Sequence[Line]:
    """The first of `lines` that together hold no more than `PAGE_CHARS`, but at least one."""
    total = 0
    for count, line in enumerate(lines):
        total += len(line.post.content)
        if total > PAGE_CHARS and count:
            return lines[:count]
    return lines
