"""What Rogers announces on the bus; all of it is on disk already."""

from __future__ import annotations

from typing import Any

from cenoby.kernel.events import BusEvent
from cenoby.mads.rogers.pages import Conversation, Message
from cenoby.mads.rogers.sql import State


def _nested_message(fields: dict[str, Any]) -> dict[str, Any]:
    return {"message": fields}


def _nested_conversation(fields: dict[str, Any]) -> dict[str, Any]:
    return {"conversation": fields}


class MessagePosted(BusEvent, frozen=True, tag="message_posted.v2"):
    """On `<colony>.<tenant>.conversation.<id>`: a message was posted there.

    The first version was the message itself.
    """

    message: Message
    upgraders = {1: _nested_message}


class ConversationCreated(BusEvent, frozen=True, tag="conversation_created.v2"):
    """On `<colony>.<tenant>.conversation.<id>`: the conversation is new.

    The first version was the conversation itself.
    """

    conversation: Conversation
    upgraders = {1: _nested_conversation}


class ParticipantChanged(BusEvent, frozen=True, tag="participant_changed.v1"):
    """On `<colony>.<tenant>.conversation.<id>`: somebody was invited, joined or left."""

    conversation: str
    agent: str
    state: State


class Mention(BusEvent, frozen=True, tag="mention.v1"):
    """On `<colony>.<tenant>.mention.<agent>`: a message names that agent."""

    agent: str
    conversation: str
    name: str
    message: str
    seq: int
    sender: str
