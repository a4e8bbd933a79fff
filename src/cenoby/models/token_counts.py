"""How many tokens a prompt has at most and at least, without anybody's vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

_TOKENS_PER_MESSAGE = 16
"""Room for the role and the separators that a chat template puts around one message."""
_TOKENS_PER_PROMPT = 64
"""Room for what a provider puts before the first message."""
_LONGEST_AVERAGE_BYTES = 8
"""No text that people write averages more bytes per token in any vocabulary in use (English prose has 4 to 5)."""


class TokenCounter:
    """Bounds on the tokens of a prompt.

    Byte-level vocabularies (BPE, SentencePiece with byte fallback) never make more than one token of one byte, so the
    number of bytes is a bound that holds for every text. What a provider adds by itself shows in the usage that it
    reports; `correct` remembers it per model, so that only the first such call can cost more than was reserved.
    """

    def __init__(self) -> None:
        self._added: dict[str, int] = {}

    def at_most(self, model: str, texts: Sequence[str]) -> int:
        """Upper bound on the input tokens of a prompt of these messages, for the budget."""
        return _size(texts) + _TOKENS_PER_MESSAGE * len(texts) + max(_TOKENS_PER_PROMPT, self._added.get(model, 0))

    def at_least(self, texts: Sequence[str]) -> int:
        """Tokens that a prompt of these messages certainly has, for turning down what can never fit a context."""
        return _size(texts) // _LONGEST_AVERAGE_BYTES

    def correct(self, model: str, texts: Sequence[str], reported: int) -> None:
        """Learn from the input tokens that a provider reported for a prompt."""
        added = reported - _size(texts) - _TOKENS_PER_MESSAGE * len(texts)
        if added > self._added.get(model, _TOKENS_PER_PROMPT):
            self._added[model] = added


def _size(texts: Sequence[str]) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
