"""Text that goes out while it still grows: what is settled, redacted as it will be in the whole text.

A piece alone shows nothing: a key that comes in three pieces is in none of them. So all of the text is read again each
time, and only that part of it goes out about which nothing that may still come can change a detector's mind.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from cenoby.protection.dlp.detector import Found
from cenoby.protection.dlp.normalise import fold
from cenoby.protection.dlp.tokens import Cleared, RestoredStream, restored
from cenoby.protection.redact import black

REACH = 256
"""Characters that the redactor needs. What a detector finds holds no blank, or it is shorter than half of this (a
number in groups), or it is a private key, which is held from its first line on."""
_BLANKS = (b" ", b"\n", b"\t")
_FEWEST_NEW, _MOST_LOOKS = 16, 128


class Eye(Protocol):
    """Says what is blacked out: the redactor, and the rules on models' answers."""

    def spans(self, text: str) -> list[Found]:
        """Where something is in a text, in order, and what; nothing overlaps."""
        ...


class Eyes:
    """Several as one: what any of them sees is blacked out, and what overlaps as one place.

    Args:
        eyes: of two that see the same, the first says what it is.
    """

    def __init__(self, *eyes: Eye) -> None:
        self._eyes = eyes

    def spans(self, text: str) -> list[Found]:
        """Where any of them sees something, in order."""
        return merged([found for eye in self._eyes for found in eye.spans(text)])


def merged(found: list[Found]) -> list[Found]:
    """Places in order, those that overlap as one; of two that begin together the first names it."""
    whole: list[Found] = []
    for start, end, kind in sorted(found, key=lambda one: one[0]):
        if whole and start < whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]), whole[-1][2])
        else:
            whole.append((start, end, kind))
    return whole


class RedactedStream:
    """Pieces of one text in, redacted pieces of it out; these add up to what the whole text becomes.

    Args:
        eye: says what is blacked out.
        reach: characters that are held back at least, so that nothing which may still come changes the eye's mind.
        tokens: what tokens stand for that the reader knows, and is to read; their values are not blacked out.
    """

    def __init__(self, eye: Eye, reach: int = REACH, tokens: Mapping[str, str] | None = None) -> None:
        self._eye = eye
        self._reach = reach
        self._restored = RestoredStream(partial(restored, values=tokens)) if tokens else None
        self._pieces: list[str] = []
        self._size = 0
        self._look_at = reach
        self._sent = 0

    def add(self, piece: str) -> str:
        """Take the next piece of the text.

        Returns:
            What may go out now; often nothing.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size < self._look_at:
            return ""
        # The longer the text, the rarer the looks, so that all of them cost no more than some times its length.
        self._look_at = self._size + max(_FEWEST_NEW, self._size // _MOST_LOOKS)
        text = self._text()
        until, complete = _settled(text, self._reach)
        out = self._out(text, until, complete) if until > self._sent else ""
        return out if self._restored is None else Cleared(self._restored.add(out))

    def end(self) -> str:
        """All that was held back; the text is complete."""
        text = self._text()
        out = self._out(text, len(text), len(text))
        return out if self._restored is None else Cleared(self._restored.add(out) + self._restored.end())

    def _text(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def _out(self, text: str, until: int, complete: int) -> str:
        out: list[str] = []
        for start, end, kind in self._eye.spans(text):
            if start >= until:
                break
            if end > complete:
                until = start  # a private key whose last line has not come
                break
            if end > self._sent:
                out += (text[self._sent : start], black(kind, text[start:end]))
                self._sent = end
        if until > self._sent:
            out.append(text[self._sent : until])
            self._sent = until
        return "".join(out)


def _settled(text: str, reach: int) -> tuple[int, int]:
    """Up to where nothing changes any more, and up to where all words are complete: both at a blank, or 0."""
    folded, places = fold(text)
    complete = _last_blank(folded, len(folded))
    until = _last_blank(folded, complete - reach)
    if until <= 0:
        return 0, 0
    return (until, complete) if places is None else (places[until], places[complete])


def _last_blank(text: bytes, before: int) -> int:
    return max(text.rfind(blank, 0, before) for blank in _BLANKS) if before > 0 else -1
