"""Errors and answers as they cross a process boundary: plain forms out, the same classes back in."""

from __future__ import annotations

from typing import Any

import msgspec

from cenoby.bus.contract import BusFault, BusInvalid
from cenoby.kernel.codec import pack, unpack
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import CenobyError, error_from_wire


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer on the wire: a value, or the error that came instead."""

    value: Any = None
    error: dict[str, Any] | None = None


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope as bytes.

    Raises:
        BusInvalid: bus_payload_invalid.
    """
    return _encode(envelope, f"The payload of {envelope.event}")


def decode_envelope(data: bytes) -> Envelope:
    """The envelope with its payload in plain form."""
    return unpack(data, Envelope)


def encode_answer(value: Any) -> bytes:
    """A responder's result as bytes.

    Raises:
        BusInvalid: bus_payload_invalid.
    """
    return _encode(Reply(value=value), "The answer")


def encode_error(error: Exception) -> bytes:
    """What a responder raised, as bytes; only Cenoby's own errors carry their message."""
    known = error if isinstance(error, CenobyError) else responder_failed(error)
    return pack({"error": known.to_wire()})


def decode_reply(data: bytes) -> Any:
    """The answer in plain form.

    Raises:
        CenobyError: the reply holds an error; it is rebuilt as the class that declares its code.
    """
    reply = unpack(data, Reply)
    if reply.error is not None:
        raise error_from_wire(reply.error)
    return reply.value


def responder_failed(error: BaseException) -> BusFault:
    """The typed fault for an exception that is not one of ours; names its type, never its text."""
    return BusFault(
        "bus_responder_failed",
        f"The responder failed unexpectedly ({type(error).__name__}); its log holds the cause.",
    )


def _encode(value: Any, what: str) -> bytes:
    try:
        return pack(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BusInvalid("bus_payload_invalid", f"{what} cannot leave the process: {error}.") from error
