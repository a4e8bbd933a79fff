"""What one major version of a published API is, as a document that those who build on it keep."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cenoby.colony.tool import Effect
from cenoby.kernel.codec import CodecError


@dataclass(frozen=True)
class ApiTool:
    """One published tool: what it takes and gives (JSON Schema), and what its caller must know of it.

    Attributes:
        priced: calls cost money, which the provider's ledger reserves for the calling agent.
        sensitive: names of arguments that nobody may journal.
        sensitive_result: the result may not be journalled either.
        timeout: seconds it may take.
        waits: a call mostly waits for news.
        output: None where it answers with content blocks.
    """

    description: str
    effect: Effect
    idempotent: bool
    priced: bool
    sensitive: list[str]
    sensitive_result: bool
    timeout: float
    waits: bool
    input: dict[str, Any]
    output: dict[str, Any] | None


@dataclass(frozen=True)
class ApiDocument:
    """One major version of an API.

    Attributes:
        until: last day (UTC, `2027-03-01`) on which it is served; None without end.
        tools: by published name.
        events: JSON Schema of each event by its tag, e.g. `conversation_created.v2`.
    """

    api: str
    version: int
    until: str | None
    tools: dict[str, ApiTool]
    events: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def document_text(document: ApiDocument) -> str:
    """The document as a file has it: equal documents give equal text, one line for each thing that may change."""
    return json.dumps(msgspec.to_builtins(document), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_document(data: bytes | str) -> ApiDocument:
    """A document from its text.

    Raises:
        CodecError: it is none.
    """
    try:
        return msgspec.json.decode(data, type=ApiDocument)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CodecError(
            "message_invalid", f"It is no document of an API as `cenoby api schema` prints it: {error}."
        ) from None
