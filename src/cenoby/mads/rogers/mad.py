"""Rogers: the tools of the conversations. It has no mind; it keeps, finds and delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field

from cenoby.access.flows.labels import FlowMarks
from cenoby.bus.contract import MessageBus
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad, ResourceKind
from cenoby.colony.tool import tool
from cenoby.kernel.clock import Clock
from cenoby.mads.rogers.feed import Feed
from cenoby.mads.rogers.ledger import ConversationLedger
from cenoby.mads.rogers.notices import Notices
from cenoby.mads.rogers.pages import (
    Conversation,
    ConversationDetail,
    ConversationPage,
    HistoryPage,
    Message,
    MessagePage,
    TopicList,
)
from cenoby.mads.rogers.sql import Slice, State, Viewer
from cenoby.mads.rogers.watch import Watch

T = TypeVar("T")

_FLOW = FlowMarks(place="conversation")

AgentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Tag = Annotated[str, Field(min_length=1, max_length=64)]
Tags = Annotated[list[Tag], Field(max_length=20, description="Topics, with or without #")]
ConversationId = Annotated[str, Field(max_length=64, description="Id of a conversation")]
Cursor = Annotated[str | None, Field(max_length=32, description="next_cursor of the page before")]
PageSize = Annotated[int, Field(ge=1, le=500, description="How many at most")]
Text = Annotated[str, Field(min_length=1, max_length=100_000)]
Fact = Annotated[str, Field(max_length=1000)]

_LONGEST_WATCH = 3600.0


@dataclass(frozen=True, slots=True)
class Membership:
    """Where the caller now stands in a conversation; `changed` is false where it stood there already."""

    conversation: str
    state: State
    changed: bool


@dataclass(frozen=True, slots=True)
class Invited:
    """Those that were put on the list; who was on it before is left out."""

    conversation: str
    invited: list[str]


@dataclass(frozen=True, slots=True)
class Watched:
    """What a live subscription saw; watch again `after` that number to miss nothing."""

    conversation: str
    messages: list[Message]
    after: int


class Rogers(Mad):
    """Conversations between agents, people and MADs.

    Args:
        ledger: where they are kept.
        bus: where news of them is announced and heard.
        colony: the colony's name, first part of every subject.
        clock: the time.
    """

    name = "rogers"
    summary = "Conversations: threads with participants, @mentions and #topics, kept for good and followed live."

    def __init__(self, *, ledger: ConversationLedger, bus: MessageBus, colony: str, clock: Clock) -> None:
        self._ledger = ledger
        self._notices = Notices(bus, colony)
        self._feed = Feed(bus, colony)
        self._clock = clock
        self._unfinished: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        await self._feed.start()

    async def stop(self) -> None:
        if self._unfinished:
            await asyncio.wait(self._unfinished)
        await self._feed.stop()

    def resources(self) -> Sequence[ResourceKind]:
        return (
            ResourceKind(
                template="cenoby://conversations/{conversation}",
                name="conversation",
                title="Conversation",
                description="The last messages of a conversation; updates are announced as they are posted.",
                tool="mads.rogers.get_history",
                list_tool="mads.rogers.list_conversations",
                list_key="conversations",
            ),
        )

    @tool("comms:internal", effect="writes", title="Open a conversation", flow=_FLOW)
    async def create_conversation(
        self,
        call: Call,
        name: Annotated[str, Field(min_length=1, max_length=200, description="What it is about")],
        participants: Annotated[
            list[AgentName], Field(max_length=500, description="Who takes part besides the caller, from the start")
        ] = [],  # noqa: B006 - read as the schema's default, never changed
        tags: Tags = [],  # noqa: B006
        metadata: Annotated[dict[Tag, Fact], Field(max_length=50, description="Further facts, kept as they are")] = {},  # noqa: B006
        private: Annotated[bool, Field(description="Visible only to those on its list, not to the tenant")] = False,
    ) -> Conversation:
        """Open a conversation; the caller and the named participants can post in it at once."""

        async def work() -> Conversation:
            viewer = _viewer(call)
            made = await self._ledger.create(
                viewer, name, participants=participants, tags=tags, metadata=metadata, private=private
            )
            await self._notices.created(viewer, made, call.correlation)
            return made

        return await self._to_the_end(work())

    @tool("comms:read", effect="reads", title="List conversations", flow=_FLOW)
    async def list_conversations(
        self,
        call: Call,
        name: Annotated[str | None, Field(max_length=200, description="Part of the name, any case")] = None,
        tag: Annotated[str | None, Field(max_length=64, description="Only with this tag")] = None,
        joined: Annotated[bool, Field(description="Only those the caller takes part in")] = False,
        limit: PageSize = 50,
        cursor: Cursor = None,
    ) -> ConversationPage:
        """List the conversations that the caller may see, newest first."""
        wanted = tag and tag.removeprefix("#").lower()
        return await self._ledger.page(_viewer(call), name=name, tag=wanted, joined=joined, cursor=cursor, limit=limit)

    @tool("comms:read", effect="reads", title="Look at a conversation", flow=_FLOW)
    async def get_conversation(self, call: Call, conversation: ConversationId) -> ConversationDetail:
        """Show one conversation: its facts, its counts, and who is invited, active or gone."""
        return await self._ledger.get(_viewer(call), conversation)

    @tool("comms:internal", effect="writes", idempotent=True, title="Join a conversation", flow=_FLOW)
    async def join(self, call: Call, conversation: ConversationId) -> Membership:
        """Take part in a conversation, again if the caller left it; a private one takes an invitation."""
        return await self._to_the_end(self._set_state(call, conversation, "active"))

    @tool("comms:internal", effect="writes", idempotent=True, title="Leave a conversation", flow=_FLOW)
    async def leave(self, call: Call, conversation: ConversationId) -> Membership:
        """Stop taking part in a conversation; its messages stay, and the caller may join again."""
        return await self._to_the_end(self._set_state(call, conversation, "left"))

    @tool("comms:internal", effect="writes", idempotent=True, title="Invite to a conversation", flow=_FLOW)
    async def invite(
        self,
        call: Call,
        conversation: ConversationId,
        agents: Annotated[list[AgentName], Field(min_length=1, max_length=500, description="Whom to invite")],
    ) -> Invited:
        """Invite agents or people to a conversation that the caller takes part in; they then join it themselves."""

        async def work() -> Invited:
            viewer = _viewer(call)
            new = await self._ledger.invite(viewer, conversation, agents)
            for agent in new:
                await self._notices.participant(viewer, conversation, agent, "invited", call.correlation)
            return Invited(conversation, new)

        return await self._to_the_end(work())

    @tool("comms:internal", effect="writes", title="Post a message", flow=_FLOW)
    async def post_message(
        self,
        call: Call,
        conversation: ConversationId,
        content: Annotated[Text, Field(description="Text; @name mentions somebody, #word names a topic")],
        recipient: Annotated[AgentName | None, Field(description="Whom it is meant for; all may read it")] = None,
        tags: Tags = [],  # noqa: B006
    ) -> Message:
        """Post a message to a conversation that the caller takes part in; who is mentioned gets notice at once.

        The tag `ack` marks a message that only acknowledges another; people do not see these unless they ask.
        """

        async def work() -> Message:
            viewer = _viewer(call)
            posted = await self._ledger.post(
                viewer, conversation, content, recipient=recipient, tags=tags, correlation=call.correlation
            )
            await self._notices.posted(viewer, posted)
            return posted.message

        return await self._to_the_end(work())

    @tool("comms:read", effect="reads", title="Read a conversation", flow=_FLOW)
    async def get_history(
        self,
        call: Call,
        conversation: ConversationId,
        limit: PageSize = 100,
        before: Annotated[int | None, Field(ge=1, description="Only messages before this seq")] = None,
        after: Annotated[int | None, Field(ge=0, description="The first messages after this seq")] = None,
        topic: Annotated[str | None, Field(max_length=64, description="Only messages with this #topic")] = None,
        mention: Annotated[
            str | None, Field(max_length=64, description="Only messages that @mention this name")
        ] = None,
        acknowledgements: Annotated[
            bool | None, Field(description="Show messages tagged ack; by default to agents, not to people")
        ] = None,
    ) -> HistoryPage:
        """Read a page of messages in order: the last ones, those before a number, or those after one."""
        part = Slice(
            limit=limit,
            before=before,
            after=after,
            topic=topic and topic.removeprefix("#").lower(),
            mention=mention and mention.removeprefix("@").lower(),
            acknowledgements=_shows_acknowledgements(call, acknowledgements),
        )
        return await self._ledger.history(_viewer(call), conversation, part)

    @tool("comms:read", effect="reads", title="Search messages", flow=_FLOW)
    async def search(
        self,
        call: Call,
        query: Annotated[str, Field(min_length=1, max_length=1000, description='Words, "a phrase", or prefix*')],
        conversation: Annotated[str | None, Field(max_length=64, description="Only in this conversation")] = None,
        limit: Annotated[int, Field(ge=1, le=100, description="How many at most")] = 20,
        cursor: Cursor = None,
    ) -> MessagePage:
        """Find messages that hold all the words, best match first, in all conversations that the caller may see."""
        return await self._ledger.search(_viewer(call), query, conversation=conversation, cursor=cursor, limit=limit)

    @tool("comms:read", effect="reads", title="List topics", flow=_FLOW)
    async def list_topics(
        self,
        call: Call,
        conversation: Annotated[str | None, Field(max_length=64, description="Only of this conversation")] = None,
        limit: PageSize = 100,
    ) -> TopicList:
        """List the #topics in use with how often, most used first."""
        return TopicList(await self._ledger.topics(_viewer(call), conversation=conversation, limit=limit))

    @tool("comms:read", effect="reads", title="List mentions", flow=_FLOW)
    async def list_mentions(
        self,
        call: Call,
        agent: Annotated[
            str | None, Field(max_length=64, description="Whose mentions; the caller's by default")
        ] = None,
        limit: PageSize = 50,
        cursor: Cursor = None,
    ) -> MessagePage:
        """List the messages that @mention somebody or are addressed to them, newest first, in all conversations."""
        named = agent.removeprefix("@").lower() if agent else call.principal.agent
        return await self._ledger.mentions(_viewer(call), named, cursor=cursor, limit=limit)

    @tool(
        "comms:read", effect="reads", title="Watch a conversation", timeout=_LONGEST_WATCH + 60, waits=True, flow=_FLOW
    )
    async def watch_conversation(
        self,
        call: Call,
        conversation: ConversationId,
        seconds: Annotated[float, Field(gt=0, le=_LONGEST_WATCH, description="How long to watch")] = 30.0,
        after: Annotated[
            int | None, Field(ge=0, description="Start after this seq; by default with what is new")
        ] = None,
        limit: Annotated[int, Field(ge=1, le=500, description="End after so many messages")] = 200,
        acknowledgements: Annotated[
            bool | None, Field(description="Show messages tagged ack; by default to agents, not to people")
        ] = None,
    ) -> Watched:
        """Follow a conversation live: each message comes as progress (JSON), and all of them come at the end."""
        viewer = _viewer(call)

        async def tell(count: int, message: str) -> None:
            await call.progress(count, None, message)

        # The place in the feed comes first, so that nothing falls between reading and listening.
        with self._feed.follow(viewer.tenant, conversation) as follower:
            there = (await self._ledger.get(viewer, conversation)).conversation.messages
            watch = Watch(
                self._ledger,
                follower,
                viewer,
                conversation,
                last=there if after is None else min(after, there),
                limit=limit,
                acknowledgements=_shows_acknowledgements(call, acknowledgements),
                tell=tell,
            )
            await watch.run(seconds, self._clock)
        return Watched(conversation, watch.seen, watch.last)

    async def _set_state(self, call: Call, conversation: str, state: State) -> Membership:
        viewer = _viewer(call)
        changed = await self._ledger.set_state(viewer, conversation, state)
        if changed:
            await self._notices.participant(viewer, conversation, viewer.agent, state, call.correlation)
        return Membership(conversation, state, changed)

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` whole even where the caller is cancelled meanwhile: what is on disk must be announced, too."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return await asyncio.shield(task)


def _viewer(call: Call) -> Viewer:
    principal = call.principal
    return Viewer(principal.tenant, principal.agent, "operator" in principal.roles)


def _shows_acknowledgements(call: Call, asked: bool | None) -> bool:
    return call.principal.kind != "person" if asked is None else asked
