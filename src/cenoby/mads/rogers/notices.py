"""What Rogers announces on the bus."""

from __future__ import annotations

from typing import Any

import msgspec

from cenoby.bus.contract import MessageBus, subject
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id
from cenoby.mads.rogers.feed import MESSAGE_EVENT
from cenoby.mads.rogers.ledger import Posted
from cenoby.mads.rogers.pages import Conversation
from cenoby.mads.rogers.sql import State, Viewer

EVENTS = {
    MESSAGE_EVENT: "On `<colony>.<tenant>.conversation.<id>`: a message was posted there.",
    "conversation_created.v1": "On `<colony>.<tenant>.conversation.<id>`: the conversation is new.",
    "participant_changed.v1": "On `<colony>.<tenant>.conversation.<id>`: somebody was invited, joined or left.",
    "mention.v1": "On `<colony>.<tenant>.mention.<agent>`: a message names that agent.",
    "resource_updated.v1": "On `<colony>.<tenant>.resource`: who reads the MCP resource `uri` should read it again.",
}


class MentionNotice(msgspec.Struct, frozen=True):
    """`mention.v1` on `<colony>.<tenant>.mention.<agent>`: a message names that agent."""

    agent: str
    conversation: str
    name: str
    message: str
    seq: int
    sender: str


class ParticipantNotice(msgspec.Struct, frozen=True):
    """`participant_changed.v1` on the conversation's subject: `agent` is now `invited`, `active` or `left`."""

    conversation: str
    agent: str
    state: State


class Notices:
    """Rogers' voice on the bus.

    What concerns one conversation (`message_posted.v1` and others) goes to `<colony>.<tenant>.conversation.<id>`, and
    `{"uri": ...}` to `<colony>.<tenant>.resource` for those who read it again. All of it is on disk already; the bus
    delivers at most once, so whoever must miss nothing reads the ledger.

    Args:
        bus: where to announce.
        colony: the colony's name.
    """

    def __init__(self, bus: MessageBus, colony: str) -> None:
        self._bus = bus
        self._colony = colony

    async def posted(self, viewer: Viewer, posted: Posted) -> None:
        """A message: to the conversation, to whom it names, and to those who follow the resource."""
        message = posted.message
        about = message.conversation, message.correlation
        await self._conversation(viewer, *about, MESSAGE_EVENT, message)
        for agent in posted.notify:
            notice = MentionNotice(agent, message.conversation, posted.name, message.id, message.seq, message.sender)
            to = subject(self._colony, viewer.tenant, "mention", agent)
            await self._publish(viewer, to, message.correlation, "mention.v1", notice)
        await self._resource(viewer, *about)

    async def created(self, viewer: Viewer, conversation: Conversation, correlation: str) -> None:
        """A new conversation."""
        await self._conversation(viewer, conversation.id, correlation, "conversation_created.v1", conversation)
        await self._resource(viewer, conversation.id, correlation)

    async def participant(self, viewer: Viewer, conversation: str, agent: str, state: State, correlation: str) -> None:
        """Somebody was invited, joined, or left."""
        notice = ParticipantNotice(conversation, agent, state)
        await self._conversation(viewer, conversation, correlation, "participant_changed.v1", notice)

    async def _conversation(
        self, viewer: Viewer, conversation: str, correlation: str, event: str, payload: Any
    ) -> None:
        to = subject(self._colony, viewer.tenant, "conversation", conversation)
        await self._publish(viewer, to, correlation, event, payload)

    async def _resource(self, viewer: Viewer, conversation: str, correlation: str) -> None:
        to = subject(self._colony, viewer.tenant, "resource")
        uri = {"uri": f"cenoby://conversations/{conversation}"}
        await self._publish(viewer, to, correlation, "resource_updated.v1", uri)

    async def _publish(self, viewer: Viewer, to: str, correlation: str, event: str, payload: Any) -> None:
        await self._bus.publish(
            Envelope(
                id=new_id(),
                tenant=viewer.tenant,
                correlation=correlation,
                sender=viewer.agent,
                recipient=to,
                event=event,
                payload=payload,
            )
        )
