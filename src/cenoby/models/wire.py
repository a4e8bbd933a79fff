"""The chat completions protocol that OpenAI made and everybody speaks: bodies out, answers in, both forgiving.

Reference: OpenAI API, `POST /chat/completions`, with what compatible servers leave out, add or spell differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from cenoby.kernel.codec import CodecError, from_json, to_json
from cenoby.models.catalogue import ModelRequest

_IMPLAUSIBLE_TOKENS = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one server wants otherwise than most.

    Attributes:
        limit_field: the name of the cap on output tokens; reasoning models want `max_completion_tokens`.
        stream_options: whether the server knows `stream_options`, without which some report no usage when streaming.
    """

    limit_field: str = "max_tokens"
    stream_options: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider reports them."""

    input_tokens: int
    output_tokens: int


@dataclass(slots=True)
class Reading:
    """An answer as far as it has been read.

    Attributes:
        parts: pieces of text in order.
        usage: the last complete report of tokens.
        finish_reason: why the model stopped; empty while it has not said.
        error: the provider's own words, where it reported an error inside an answer.
    """

    parts: list[str] = field(default_factory=list[str])
    usage: Usage | None = None
    finish_reason: str = ""
    error: str = ""

    def take(self, message: Any) -> str:
        """Read one answer or one chunk of a streamed answer (any JSON value); returns its text, which may be empty."""
        body = _object(message)
        self.error = self.error or error_text(body)
        self.usage = _usage(body.get("usage")) or self.usage
        choices = body.get("choices")
        choice = _object(cast(list[Any], choices)[0]) if isinstance(choices, list) and choices else {}
        self.usage = _usage(choice.get("usage")) or self.usage
        if isinstance(choice.get("finish_reason"), str):
            self.finish_reason = choice["finish_reason"]
        said = _object(choice.get("message")) or _object(choice.get("delta"))
        text = _text(said.get("content")) or _text(said.get("refusal")) or _text(choice.get("text"))
        if text:
            self.parts.append(text)
        return text


def request_body(request: ModelRequest, dialect: Dialect, *, stream: bool) -> bytes:
    """The JSON body of a request."""
    body: dict[str, Any] = {
        "model": request.model.provider_name,
        "messages": [{"role": role, "content": text} for role, text in request.messages],
        dialect.limit_field: request.max_output_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if stream:
        body["stream"] = True
        if dialect.stream_options:
            body["stream_options"] = {"include_usage": True}
    return to_json(body)


def other_dialect(dialect: Dialect, complaint: str) -> Dialect | None:
    """The dialect to try after the server turned a request down with `complaint`; None if that is not the trouble."""
    if dialect.limit_field == "max_tokens" and "max_completion_tokens" in complaint:
        return Dialect(limit_field="max_completion_tokens", stream_options=dialect.stream_options)
    if dialect.stream_options and "stream_options" in complaint:
        return Dialect(limit_field=dialect.limit_field, stream_options=False)
    return None


def error_text(body: Mapping[str, Any]) -> str:
    """The provider's own words in an error object, in any of the shapes in use; empty if there is none."""
    found = body.get("error") or body.get("detail")
    if not found:
        return ""
    if isinstance(found, str):
        return found
    inner = _object(found)
    message = inner.get("message")
    kind = inner.get("code") or inner.get("type")
    if isinstance(message, str) and message:
        return f"{message} ({kind})" if isinstance(kind, str) and kind not in message else message
    return to_json(found).decode()


def error_of(data: bytes) -> str:
    """The provider's own words in the body of an error answer, JSON or not; lenient with bad encodings."""
    text = data.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return text
    try:
        return error_text(_object(from_json(text))) or text
    except CodecError:
        return text


def _object(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [_object(part) for part in cast(list[Any], content)]
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _usage(value: Any) -> Usage | None:
    report = _object(value)
    counts = (
        _count(report.get("prompt_tokens", report.get("input_tokens"))),
        _count(report.get("completion_tokens", report.get("output_tokens"))),
    )
    # Servers that count nothing report zeros; a prompt of no tokens does not exist.
    return Usage(*counts) if counts[0] > 0 and counts[1] >= 0 else None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _IMPLAUSIBLE_TOKENS:
        return -1
    return int(value) if float(value).is_integer() else -1
