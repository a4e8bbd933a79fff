"""The bus contract: what every transport promises, and what it does not.

`MessageBus` is the contract; `tests/bus` holds the one conformance suite that every transport passes.

Subjects are names joined by dots, e.g. `main.mad.rogers` or `main.default.conversation.7`. A subscription
may use `*` for one name and a last `>` for all that remain; an envelope's recipient may not. `subject()` builds one
from names that may hold any character.

    CenobyError
    ├── Unavailable   BusUnavailable   closed, nobody answers, or the deadline passed
    ├── InvalidInput  BusInvalid       a subject, payload or URL that no transport could carry
    └── Fault         BusFault         the answering side broke
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import msgspec

from cenoby.kernel.codec import CodecError
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import Fault, InvalidInput, Unavailable
from cenoby.kernel.events import Event, read_event

T = TypeVar("T")
Handler = Callable[[Envelope], Awaitable[Any]]

DEFAULT_DEPTH = 1024
_SUBJECTS_KEPT = 4096
CLOSE_SECONDS = 5.0
"""How long a handler under way may go on when its subscription closes, unless said."""
_NAME = re.compile(r"(?:[^\x00-\x20\s.*>%]|%[0-9A-F]{2})+")
_ESCAPED = re.compile(r"[\x00-\x20\s.*>%]")


class BusUnavailable(Unavailable):
    """The bus cannot deliver now; `retry_after` says when to try again, where waiting helps."""

    codes = {
        "bus_closed": "This bus was closed; the colony is stopping.",
        "bus_no_responder": "Nobody answers on that subject now.",
        "bus_deadline": "The deadline of the request passed before an answer came.",
        "bus_disconnected": "The broker cannot be reached now; the message says which and since when.",
    }


class BusInvalid(InvalidInput):
    """Something that no transport could carry."""

    codes = {
        "bus_subject_invalid": "The subject is not names joined by dots, or a wildcard stands where none may.",
        "bus_payload_invalid": "The payload or the answer has no plain form, so it cannot leave the process.",
        "bus_url_invalid": "The bus URL names no transport that is there.",
        "bus_insecure": "The broker is reached over a network without authentication or TLS; see bus_security.",
        "bus_refused": "The broker refused us: wrong user, password, key or certificate; the message says which.",
    }


class BusFault(Fault):
    """The answering side broke with something that is not one of Cenoby's own errors."""

    codes = {"bus_responder_failed": "The responder raised an unexpected error; its log holds the cause."}


class Subscription(Protocol):
    """One handler's place on the bus."""

    @property
    def waiting(self) -> int:
        """Envelopes delivered and not yet taken by the handler."""
        ...

    @property
    def dropped(self) -> int:
        """Envelopes lost so far because `depth` of them were waiting; whoever needs all of them reads the ledger."""
        ...

    async def close(self, *, seconds: float = CLOSE_SECONDS) -> None:
        """Deliver nothing more. A handler under way may finish within `seconds`; what still waits is dropped.

        A request that reached us before the broker knew of it is answered, too.
        """
        ...


class MessageBus(Protocol):
    """Carries envelopes between the parts of a colony, wherever they run.

    Guarantees of every transport:
      - Publish is at most once: nothing is delivered twice, and nothing is kept for who is not there.
      - Envelopes of one sender on one subject reach one subscription in the order in which they were published.
      - A subscription's handler is called for one published envelope at a time. At most `depth` envelopes wait for it;
        then the newest are dropped and counted in `dropped`, so that a slow consumer costs itself and nobody else. A
        publisher never waits for a consumer; it only gives the loop a turn when a consumer lags.
      - A group shares its work: of the subscriptions with the same subject and group, one gets each published envelope.
        Order holds within one member. Subscriptions without group each get every envelope.
      - A request goes to exactly one subscription that has a group, whichever group it is; those without group only
        listen to what is published and never see requests. Requests to one responder run concurrently: whoever needs a
        queue in front puts a mailbox there.
      - A payload and an answer are plain values, frozen structs or dataclasses. A transport may pass them by reference
        or as their plain form: read them with `payload_as()` and `msgspec.convert`, and never change them.
      - A handler that fails on a published envelope is logged, and goes on with the next one.

    Reconnects, where there is a connection, show only as latency or as `BusUnavailable`.
    """

    async def publish(self, envelope: Envelope) -> None:
        """Send `envelope` to every subscription that matches its recipient, without waiting for any handler.

        Raises:
            BusInvalid: bus_subject_invalid, bus_payload_invalid.
            BusUnavailable: bus_closed.
        """
        ...

    async def subscribe(
        self, subject: str, handler: Handler, *, group: str = "", depth: int = DEFAULT_DEPTH
    ) -> Subscription:
        """Call `handler` for what is sent to `subject`; with a `group`, also answer requests by what it returns.

        Args:
            subject: exact, or a pattern with `*` and a last `>`.
            handler: an `async def handler(envelope)`; its result answers a request and is ignored otherwise.
            group: subscriptions of one group share the work.
            depth: published envelopes that may wait for this handler.

        Raises:
            BusInvalid: bus_subject_invalid.
            BusUnavailable: bus_closed.
        """
        ...

    async def request(self, envelope: Envelope) -> Any:
        """The answer of one responder.

        `envelope.deadline_ns` bounds the wait; 0 leaves that to the caller's own cancellation. When the deadline passes
        or the caller is cancelled, the responder may be cancelled too, or go on unheard: a responder that must finish
        what it began does so in a task of its own.

        Raises:
            CenobyError: what the responder raised, with the same class, code, message, `retry_after` and details.
            BusFault: bus_responder_failed, for any other exception of the responder.
            BusUnavailable: bus_no_responder, bus_deadline, bus_closed.
            BusInvalid: bus_subject_invalid, bus_payload_invalid.
        """
        ...

    async def close(self) -> None:
        """Close every subscription; whatever is called afterwards raises `BusUnavailable`."""
        ...


def subject(*names: str) -> str:
    """The subject made of `names`; characters with a meaning on the bus become `%XX`.

    Raises:
        BusInvalid: there is no name, or an empty one.
    """
    if not names or not all(names):
        raise BusInvalid("bus_subject_invalid", "A subject needs at least one name, and none may be empty.")
    return ".".join(_ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), n) for n in names)


def check_subject(text: str, *, pattern: bool) -> tuple[str, ...]:
    """The names in `text`; wildcards pass where `pattern` is true.

    Raises:
        BusInvalid: not a subject.
    """
    return _names(text, pattern)


@lru_cache(_SUBJECTS_KEPT)
def _names(text: str, pattern: bool) -> tuple[str, ...]:
    names = tuple(text.split("."))
    for position, name in enumerate(names):
        wildcard = name == "*" or (name == ">" and position == len(names) - 1)
        if not (wildcard and pattern) and not _NAME.fullmatch(name):
            raise BusInvalid("bus_subject_invalid", f"{text!r} is not a {'pattern' if pattern else 'subject'}.")
    return names


def matches(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether the pattern covers the subject with these names."""
    if pattern[-1] == ">":
        if len(names) < len(pattern):
            return False
        pattern, names = pattern[:-1], names[: len(pattern) - 1]
    return len(pattern) == len(names) and all(p in ("*", n) for p, n in zip(pattern, names, strict=True))


def payload_as(envelope: Envelope, as_type: type[T]) -> T:
    """The payload as `as_type`, whether the transport passed it by reference or in its plain form.

    An event of an earlier version is read as the present one (`kernel/events.py`).

    Raises:
        BusInvalid: the payload does not fit.
    """
    if type(envelope.payload) is as_type:
        return envelope.payload
    try:
        if issubclass(as_type, Event):
            return read_event(as_type, envelope.payload, envelope.event)
        return msgspec.convert(envelope.payload, as_type)
    except (msgspec.ValidationError, CodecError) as error:
        raise BusInvalid("bus_payload_invalid", f"The payload of {envelope.event} does not fit: {error}.") from error
