"""What Rogers announces on the bus."""

from __future__ import annotations

from cenoby.bus.contract import MessageBus, subject
from cenoby.colony.events import ResourceUpdated
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.events import BusEvent, tag_of
from cenoby.kernel.ids import new_id
from cenoby.mads.rogers.events import ConversationCreated, Mention, MessagePosted, ParticipantChanged
from cenoby.mads.rogers.ledger import Posted
from cenoby.mads.rogers.pages import Conversation
from cenoby.mads.rogers.sql import State, Viewer


class Notices:
    """Rogers' voice on the bus.

    What concerns one conversation goes to `<colony>.<tenant>.conversation.<id>`, and to `<colony>.<tenant>.resource`
    for those who read it again. All of it is on disk already; the bus delivers at most once, so whoever must miss
    nothing reads the ledger.

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
        await self._conversation(viewer, *about, MessagePosted(message=message))
        for agent in posted.notify:
            mention = Mention(
                agent=agent,
                conversation=message.conversation,
                name=posted.name,
                message=message.id,
                seq=message.seq,
                sender=message.sender,
            )
            to = subject(self._colony, viewer.tenant, "mention", agent)
            await self._publish(viewer, to, message.correlation, mention)
        await self._resource(viewer, *about)

    async def created(self, viewer: Viewer, conversation: Conversation, correlation: str) -> None:
        """A new conversation."""
        await self._conversation(viewer, conversation.id, correlation, ConversationCreated(conversation=conversation))
        await self._resource(viewer, conversation.id, correlation)

    async def participant(self, viewer: Viewer, conversation: str, agent: str, state: State, correlation: str) -> None:
        """Somebody was invited, joined, or left."""
        changed = ParticipantChanged(conversation=conversation, agent=agent, state=state)
        await self._conversation(viewer, conversation, correlation, changed)

    async def _conversation(self, viewer: Viewer, conversation: str, correlation: str, event: BusEvent) -> None:
        to = subject(self._colony, viewer.tenant, "conversation", conversation)
        await self._publish(viewer, to, correlation, event)

    async def _resource(self, viewer: Viewer, conversation: str, correlation: str) -> None:
        to = subject(self._colony, viewer.tenant, "resource")
        await self._publish(viewer, to, correlation, ResourceUpdated(uri=f"cenoby://conversations/{conversation}"))

    async def _publish(self, viewer: Viewer, to: str, correlation: str, event: BusEvent) -> None:
        await self._bus.publish(
            Envelope(
                id=new_id(),
                tenant=viewer.tenant,
                correlation=correlation,
                sender=viewer.agent,
                recipient=to,
                event=tag_of(event),
                payload=event,
            )
        )
