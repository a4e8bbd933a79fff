"""How values become bytes: msgpack between parts of Cenoby, JSON at the edge (both by msgspec)."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from cenoby.kernel.errors import InvalidInput

T = TypeVar("T")


class CodecError(InvalidInput):
    """Bytes that do not decode to what was expected."""

    codes = {
        "json_invalid": "The bytes are not valid JSON in UTF-8.",
        "message_invalid": "The bytes are not a valid message of the expected type.",
    }


_to_msgpack = msgspec.msgpack.Encoder()
_to_json = msgspec.json.Encoder()
_to_canonical_json = msgspec.json.Encoder(order="deterministic")
_from_json = msgspec.json.Decoder()


def pack(value: Any) -> bytes:
    """`value` as msgpack."""
    return _to_msgpack.encode(value)


def unpack(data: bytes | bytearray | memoryview, as_type: type[T]) -> T:
    """A value of `as_type` from msgpack.

    Raises:
        CodecError: the bytes are not a valid `as_type`.
    """
    try:
        return msgspec.msgpack.decode(data, type=as_type)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CodecError("message_invalid", f"The message does not decode: {error}.") from error


def to_json(value: Any) -> bytes:
    """`value` as compact JSON; structs and dataclasses become objects."""
    return _to_json.encode(value)


def from_json(data: bytes | str) -> Any:
    """Plain Python values from JSON.

    Raises:
        CodecError: not JSON, not UTF-8, or nested deeper than the interpreter's limit.
    """
    try:
        return _from_json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CodecError("json_invalid", f"The text is not valid JSON: {error}.") from error


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes, so that they can be hashed."""
    return _to_canonical_json.encode(value)


def digest(value: Any) -> str:
    """SHA-256 over the canonical JSON of `value`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
