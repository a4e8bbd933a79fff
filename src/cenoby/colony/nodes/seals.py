"""Signed envelopes between nodes: made with this node's key, believed only from enrolled nodes, and only once.

A message is refused, and that is journalled, where it has no signature or a wrong one, comes from a node that nobody
enrolled, was written for another subject than it came to, is older than half of `FRESH_SECONDS` by either clock, or was
seen before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from cenoby.access.enrolment import Enrolment
from cenoby.access.roles import AccessRefused
from cenoby.colony.events import MessageRefused
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import CodecError, pack, unpack
from cenoby.kernel.envelope import DEFAULT_TENANT, Envelope, Priority
from cenoby.kernel.events import BusEvent, tag_of
from cenoby.kernel.ids import new_id
from cenoby.kernel.signing import SigningKey

FRESH_SECONDS = 60.0
_SENT_BYTES = 8
"""Before the body stands when it was sent, Unix nanoseconds. An id does not say: it never steps back with the clock."""
T = TypeVar("T")


class SignedAnswer(msgspec.Struct, frozen=True):
    """The answer to a signed request."""

    node: str
    body: bytes
    signature: bytes


class Seals:
    """Signs what this node says, and opens what others say.

    Args:
        node: this node's name.
        key: its private key.
        enrolment: whom to believe.
        clock: the time.
        refused: told of each message that is refused.
    """

    def __init__(
        self,
        node: str,
        key: SigningKey,
        enrolment: Enrolment,
        clock: Clock,
        refused: Callable[[MessageRefused], None],
    ) -> None:
        self.node = node
        self._key = key
        self._enrolment = enrolment
        self._clock = clock
        self._refused = refused
        self._seen: set[str] = set()
        self._seen_before: set[str] = set()
        self._turn_ns = 0

    def seal(
        self,
        recipient: str,
        body: BusEvent,
        *,
        deadline_ns: int = 0,
        tenant: str = DEFAULT_TENANT,
        correlation: str = "",
        sender: str = "",
        priority: Priority = Priority.SYSTEM,
    ) -> Envelope:
        """A signed envelope with `body`; the other fields are those of an envelope."""
        unsigned = Envelope(
            id=new_id(),
            tenant=tenant,
            correlation=correlation,
            sender=sender or self.node,
            recipient=recipient,
            event=tag_of(body),
            payload=self._clock.now_ns().to_bytes(_SENT_BYTES) + pack(body),
            priority=priority,
            deadline_ns=deadline_ns,
            node=self.node,
        )
        return msgspec.structs.replace(unsigned, signature=self._key.sign(unsigned.signed_bytes()))

    async def open(self, envelope: Envelope, as_type: type[T], *, at: str) -> T:
        """The body of an envelope that an enrolled node signed.

        Args:
            envelope: as it came.
            as_type: what its body must be.
            at: the subject it came to. Whoever can write to the broker could bring it there, but not sign it for there.

        Raises:
            AccessRefused: `message_refused`.
            StoreUnavailable: whom to believe cannot be read.
        """
        reason = await self._problem(envelope, at)
        if not reason:
            try:
                return unpack(envelope.payload[_SENT_BYTES:], as_type)
            except CodecError as error:
                reason = f"its body is no {as_type.__name__}: {error.message}"
        self._refuse(reason, envelope.node, envelope.recipient, envelope.event)
        raise AccessRefused("message_refused", f"{envelope.event} from {envelope.node!r} was refused: {reason}.")

    @staticmethod
    def seconds_given(envelope: Envelope) -> float:
        """How long after it was sent a request is waited for, in seconds, by the one clock that wrote both times."""
        return (envelope.deadline_ns - _sent_ns(envelope)) / 1e9

    async def believes(self, node: str) -> bool:
        """Whether a node is enrolled."""
        return await self._enrolment.key_of(node) is not None

    def answer(self, request: Envelope, body: msgspec.Struct) -> SignedAnswer:
        """The signed answer to a request."""
        return self.answer_packed(request, pack(body))

    def answer_packed(self, request: Envelope, body: bytes) -> SignedAnswer:
        """The signed answer to a request, from its packed body."""
        return SignedAnswer(self.node, body, self._key.sign(_answer_bytes(request.id, self.node, body)))

    async def open_answer(self, request: Envelope, answer: Any, as_type: type[T]) -> tuple[str, T]:
        """Which node answered the request, and the body of its answer.

        Raises:
            AccessRefused: `message_refused`: no enrolled node signed it as the answer to this request.
            StoreUnavailable: whom to believe cannot be read.
        """
        node, reason = "", "it is not signed"
        try:
            signed = answer if isinstance(answer, SignedAnswer) else msgspec.convert(answer, SignedAnswer)
            node = signed.node
            key = await self._enrolment.key_of(node)
            if key is None:
                reason = "no such node is enrolled"
            elif not key.verifies(_answer_bytes(request.id, node, signed.body), signed.signature):
                reason = "its signature is wrong"
            else:
                return node, unpack(signed.body, as_type)
        except (msgspec.ValidationError, CodecError) as error:
            reason = str(error)
        self._refuse(reason, node, request.recipient, f"answer to {request.event}")
        raise AccessRefused("message_refused", f"The answer to {request.event} from {node!r} was refused: {reason}.")

    def _refuse(self, reason: str, node: str, subject: str, message: str) -> None:
        shown = [_printable(text) for text in (node[:63], subject[:200], message[:80], reason[:300])]
        self._refused(MessageRefused(node=shown[0], subject=shown[1], message=shown[2], notes=shown[3]))

    async def _problem(self, envelope: Envelope, at: str) -> str:
        if not envelope.signature or not isinstance(envelope.payload, bytes):
            return "it is not signed"
        key = await self._enrolment.key_of(envelope.node)
        if key is None:
            return "no such node is enrolled"
        if not key.verifies(envelope.signed_bytes(), envelope.signature):
            return "its signature is wrong"
        if envelope.recipient != at:
            return f"it was written for {envelope.recipient}"
        age = abs(self._clock.now_ns() - _sent_ns(envelope)) / 1e9
        if age > FRESH_SECONDS / 2:
            return f"it is {age:.0f} s old, or the clocks of the two machines differ by so much"
        return "" if self._is_new(envelope.id) else "it was seen before"

    def _is_new(self, identifier: str) -> bool:
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._turn_ns > FRESH_SECONDS * 1e9:
            # What lies further back than one turn is too old to be believed anyhow.
            self._seen_before, self._seen, self._turn_ns = self._seen, set(), now_ns
        if identifier in self._seen or identifier in self._seen_before:
            return False
        self._seen.add(identifier)
        return True


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)


def _sent_ns(envelope: Envelope) -> int:
    return int.from_bytes(envelope.payload[:_SENT_BYTES])


def _answer_bytes(request: str, node: str, body: bytes) -> bytes:
    return pack(("answer", request, node, body))
