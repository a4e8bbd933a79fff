"""Errors and answers as they cross a process boundary: plain forms out, the same classes back in."""

from __future__ import annotations

from typing import Any

import msgspec

from cenoby.bus.contract import BusFault, BusInvalid
from cenoby.kernel.codec import pack, unpack
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import FAMILIES, CenobyError, Fault, error_codes


class ErrorForm(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `CenobyError.to_wire` says."""

    code: str
    message: str
    family: str
    retry_after: float | None = None
    details: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer on the wire: a value, or the error that came instead."""

    value: Any = None
    error: ErrorForm | None = None


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
        raise rebuild_error(reply.error)
    return reply.value


def rebuild_error(form: ErrorForm) -> CenobyError:
    """The error that `form` describes; its family's own class where nobody here declares the code."""
    declared = error_codes().get(form.code)
    if declared is not None:
        error = declared[0].__new__(declared[0])
    else:
        family = FAMILIES.get(form.family, Fault)
        error = family.__new__(family)
        # A newer node may know codes that this process does not; they must reach the caller all the same.
        vars(error)["codes"] = {form.code: form.message}
    CenobyError.__init__(error, form.code, form.message, retry_after=form.retry_after, details=form.details)
    return error


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
