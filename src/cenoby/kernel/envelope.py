"""The envelope: what travels on the bus."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from cenoby.kernel.codec import pack

DEFAULT_TENANT = "default"
"""The tenant of a colony that has no others."""


class Priority(IntEnum):
    """Which mailbox lane a message waits in; lower numbers are served first."""

    SYSTEM = 0
    INTERACTIVE = 1
    NORMAL = 2
    BULK = 3


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message between parts of a colony.

    Attributes:
        id: UUIDv7 of this message; a durable bus drops a second message with the same id.
        tenant: whose message this is; nothing crosses tenants.
        correlation: id shared by everything that one call from outside set off.
        causation: id of the message or journal record that led to this one; empty for the first.
        sender: the agent or MAD it comes from.
        recipient: the bus subject it goes to.
        event: the name of the typed payload, `<what>.v<version>`, e.g. `tool_call.v1`.
        payload: the typed payload (a frozen struct in memory, its plain form after a codec round-trip).
        priority: which mailbox lane it waits in.
        deadline_ns: Unix nanoseconds after which nobody waits for the answer; 0 means none.
        notes: free prose for readers; no code decides on it.
        node: the node that signed it; empty where nobody did. What is signed has its payload packed, as bytes.
        signature: that node's Ed25519 signature over all the other fields.
    """

    id: str
    tenant: str
    correlation: str
    sender: str
    recipient: str
    event: str
    payload: Any
    causation: str = ""
    priority: Priority = Priority.INTERACTIVE
    deadline_ns: int = 0
    notes: str = ""
    node: str = ""
    signature: bytes = b""

    def signed_bytes(self) -> bytes:
        """What a signature of this envelope covers: every other field, in order, under a word that says what it is."""
        return pack(
            (
                "envelope",
                self.id,
                self.tenant,
                self.correlation,
                self.causation,
                self.sender,
                self.recipient,
                self.event,
                int(self.priority),
                self.deadline_ns,
                self.notes,
                self.node,
                self.payload,
            )
        )
