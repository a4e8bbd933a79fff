"""Files within JSON: MCP's blobs, pictures and sound, and `data:` URLs, in arguments and in results."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any, NamedTuple, cast
from urllib.parse import unquote_to_bytes

from cenoby.protection.rules.linear import linear_bytes

_MARKS = linear_bytes('"blob"|"mimeType"|(?i);base64,')
_DEEPEST = 200


class Attached(NamedTuple):
    """One file.

    Attributes:
        body: its bytes; None where they are not the base64 that they are said to be.
        media_type: as said; empty where nothing is.
        name: as said, or the end of its URI.
    """

    body: bytes | None
    media_type: str
    name: str


def may_hold_files(text: bytes) -> bool:
    """Whether a value of which `text` is the JSON may hold files; quick, for nearly none does."""
    return _MARKS.search(text) is not None


def files_in(value: Any, depth: int = 0) -> Iterator[Attached]:
    """Every file in plain JSON types."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        known = cast(dict[str, Any], value)
        found = _attached(known)
        if found is not None:
            yield found
        for name, inner in known.items():
            if found is None or name not in ("blob", "data"):
                yield from files_in(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in cast(list[Any], value):
            yield from files_in(inner, depth + 1)
    elif isinstance(value, str) and value[:5].lower() == "data:" and ";base64," in value[:300].lower():
        head, _, data = value.partition(",")
        media_type = head[5:].partition(";")[0]
        yield Attached(_decoded(unquote_to_bytes(data).decode("latin-1")), media_type, "")


def _attached(known: dict[str, Any]) -> Attached | None:
    blob = known.get("blob")
    if not isinstance(blob, str):
        blob = known.get("data") if isinstance(known.get("mimeType"), str) else None
    if not isinstance(blob, str):
        return None
    media_type, uri = known.get("mimeType"), known.get("uri")
    name = known.get("name") or known.get("filename") or (uri if isinstance(uri, str) else "")
    plain = name.partition("?")[0].rpartition("/")[2] if isinstance(name, str) else ""
    return Attached(_decoded(blob), media_type if isinstance(media_type, str) else "", plain)


def _decoded(text: str) -> bytes | None:
    plain = "".join(text.split())
    try:
        # Who opens it may be lenient about the alphabet and the padding; this reads both, and nothing else.
        return base64.b64decode(plain.translate(_URL_SAFE) + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


_URL_SAFE = str.maketrans("-_", "+/")
