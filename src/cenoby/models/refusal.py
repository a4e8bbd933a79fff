"""What it means when a provider turns a request down, and whether asking again can help."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cenoby.kernel.errors import CenobyError, Fault, Unavailable
from cenoby.models.catalogue import Model, ModelInputError
from cenoby.protection.spellings import without

_MOST_WORDS = 300
_KEY_LIKE = re.compile(r"(?i)\b(bearer\s+\S+|(?:sk|pk)[-_][A-Za-z0-9_*.-]{6,})")
_CONTEXT_WORDS = (
    "context_length_exceeded",
    "maximum context length",
    "context length",
    "context window",
    "too many tokens",
)
MAY_BE_BILLED = frozenset({504, 522, 524})
"""A gateway gave up waiting; the model behind it may have answered all the same, and billed."""
_PASSING = frozenset({408, 409, 425, 429})


class ModelUnavailable(Unavailable):
    """A model that gives no answer now."""

    codes = {
        "model_rate_limited": "The provider asks to come back later (429).",
        "model_unreachable": "Nothing answers at the provider's address.",
        "model_failed": "The provider reports a failure of its own.",
        "model_timeout": "No complete answer came in time.",
        "model_cut_off": "The connection was lost before the answer was complete.",
    }


class ModelFault(Fault):
    """A model whose entry in the settings, key or answers are not what they should be."""

    codes = {
        "model_key_refused": "The provider does not accept the API key.",
        "model_unpaid": "The provider's account has no credit left.",
        "model_gone": "The provider knows no such address or model; it may have been renamed.",
        "model_answer_invalid": "What came back is not a chat completion.",
    }


@dataclass(slots=True)
class Refusal:
    """An attempt that brought no answer and cost nothing.

    Attributes:
        error: what to tell the caller if this is the end.
        passing: whether another attempt may succeed.
        asked: seconds that the provider asks to wait.
        complaint: the provider's own words.
    """

    error: CenobyError
    passing: bool = True
    asked: float | None = None
    complaint: str = ""


def refusal_of(model: Model, status: int, words: str, asked: float | None) -> Refusal:
    """Judge an answer with an HTTP status other than 200.

    Args:
        model: who was asked.
        status: the HTTP status.
        words: the provider's own words, already without the key.
        asked: seconds that the provider asks to wait.
    """
    error = _error(model, status, words)
    return Refusal(error, passing=isinstance(error, ModelUnavailable), asked=asked, complaint=words)


def without_key(words: str, key: str) -> str:
    """A provider's words on one short line, with the API key and all that looks like one blacked out."""
    text = without(words, key, "[key]") if key else words
    text = " ".join(_KEY_LIKE.sub("[key]", text[: 4 * _MOST_WORDS]).split())
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]}…"


def _error(model: Model, status: int, words: str) -> CenobyError:
    name, says = model.name, f"HTTP {status}" + (f": {words}" if words else "")
    if status == 402 or "insufficient_quota" in words:
        return ModelFault("model_unpaid", f"The account behind {name} has no credit left ({says}).")
    if status == 429:
        return ModelUnavailable("model_rate_limited", f"{name} is over its rate limit ({says}).")
    if status in _PASSING or status >= 500:
        return ModelUnavailable("model_failed", f"{name} failed ({says}).")
    if status in (401, 403):
        hint = (
            f"store the right one as secret {model.key!r}" if model.key else "name its secret as `key` in the settings"
        )
        return ModelFault("model_key_refused", f"{name} does not accept the API key ({says}); {hint}.")
    if status == 413 or any(word in words.lower() for word in _CONTEXT_WORDS):
        return ModelInputError("prompt_too_long", f"Prompt and answer do not fit the context of {name} ({says}).")
    if status in (404, 410) or status < 400:
        return ModelFault(
            "model_gone",
            f"{model.provider_name!r} is not to be had at {model.url} ({says}); check `url` and `model` of {name}.",
        )
    return ModelInputError("model_request_refused", f"{name} turned the request down ({says}).")
