"""Text that goes out while it still grows: what is settled, redacted as it will be in the whole text.

A piece alone shows nothing: a key that comes in three pieces is in none of them. So all of the text is read again each
time, and only that part of it goes out about which nothing that may still come can change a detector's mind.
"""

from __future__ import annotations

from cenoby.protection.dlp.normalise import fold
from cenoby.protection.redact import Redactor

REACH = 256
"""Characters that are held back at least. What a detector finds holds no blank, or it is shorter than half of this (a
number in groups), or it is a private key, which is held from its first line on."""
_BLANKS = (b" ", b"\n", b"\t")
_FEWEST_NEW, _MOST_LOOKS = 16, 128


class RedactedStream:
    """Pieces of one text in, redacted pieces of it out; these add up to what `Redactor.text` makes of the whole.

    Args:
        redactor: blacks out.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pieces: list[str] = []
        self._size = 0
        self._look_at = REACH
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
        until, complete = _settled(text)
        return self._out(text, until, complete) if until > self._sent else ""

    def end(self) -> str:
        """All that was held back; the text is complete."""
        text = self._text()
        return self._out(text, len(text), len(text))

    def _text(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def _out(self, text: str, until: int, complete: int) -> str:
        out: list[str] = []
        for start, end, kind in self._redactor.spans(text):
            if start >= until:
                break
            if end > complete:
                until = start  # a private key whose last line has not come
                break
            if end > self._sent:
                out += (text[self._sent : start], f"[redacted:{kind}]")
                self._sent = end
        if until > self._sent:
            out.append(text[self._sent : until])
            self._sent = until
        return "".join(out)


def _settled(text: str) -> tuple[int, int]:
    """Up to where nothing changes any more, and up to where all words are complete: both at a blank, or 0."""
    folded, places = fold(text)
    complete = _last_blank(folded, len(folded))
    until = _last_blank(folded, complete - REACH)
    if until <= 0:
        return 0, 0
    return (until, complete) if places is None else (places[until], places[complete])


def _last_blank(text: bytes, before: int) -> int:
    return max(text.rfind(blank, 0, before) for blank in _BLANKS) if before > 0 else -1
