"""Canaries: texts that nobody has a reason to send, found wherever one turns up, whoever holds it.

Of a canary only a digest is kept, with a part of it, the mark, and where in it that stands: one automaton looks for all
marks, and where one is, the digest decides. Whoever reads the marks does not have the canaries; of a card, so little is
left to guess that whoever has the digest has the card.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from cenoby.protection.dlp.automaton import expression
from cenoby.protection.dlp.detector import Detector, Found
from cenoby.protection.dlp.normalise import fold

CANARY = "canary"
"""What the kind of such a find begins with; the id of the canary follows a colon, and is shown to nobody."""
CARD = "card"
_BLANKS = bytes.maketrans(b"\t\n\r\x0b\x0c", b"     ")
_CARD_DIGITS = re.compile(rb"(?:[0-9][ .-]?){12,19}")


class Canary(msgspec.Struct, frozen=True):
    """One canary.

    Attributes:
        id: of the canary.
        tenant: whose; empty for those of the settings, which are everybody's.
        label: what its owner calls it.
        kind: what it looks like (`minting.py`).
        mark, offset: a part of it, folded, in lower case, and where in it that stands.
        length: characters of all of it; of a card, digits.
        digest: SHA-256 of all of it, folded, in lower case, with the tenant before.
        made_by, made_ns: who had it made, and when, Unix nanoseconds.
    """

    id: str
    tenant: str
    label: str
    kind: str
    mark: str
    offset: int
    length: int
    digest: str
    made_by: str = ""
    made_ns: int = 0


def canonical(data: bytes) -> bytes:
    """A folded text as canaries are compared: lower case, every blank alike; places stay the same."""
    return data.lower().translate(_BLANKS)


def digest_of(tenant: str, text: bytes) -> str:
    """The digest of a canonical text."""
    return hashlib.sha256(b"cenoby canary 1\0" + tenant.encode() + b"\0" + text).hexdigest()


def of_settings(texts: Mapping[str, str]) -> list[Canary]:
    """The canaries that the settings name."""
    made: list[Canary] = []
    for label, text in texts.items():
        plain = canonical(fold(text)[0])
        shown = plain.decode("latin-1")
        made.append(Canary(f"settings/{label}", "", label, "settings", shown, 0, len(plain), digest_of("", plain)))
    return made


class Canaries:
    """All canaries of the colony, in memory; who looks for them sees a change at once.

    Args:
        fixed: those that never change.

    Attributes:
        detector: finds them; None where there are none.
    """

    def __init__(self, fixed: Iterable[Canary] = ()) -> None:
        self._fixed = tuple(fixed)
        self._by_id: dict[str, Canary] = {}
        self.detector: Detector | None = None
        self.keep(())

    def keep(self, canaries: Iterable[Canary]) -> None:
        """Look for these from now on, beside the fixed ones."""
        self._by_id = {one.id: one for one in (*self._fixed, *canaries)}
        # What a table holds may be from anywhere: a mark of other characters than a folded text has finds nothing.
        sought = [
            one for one in self._by_id.values() if one.mark and all(character <= "\xff" for character in one.mark)
        ]
        self.detector = _detector(sought) if sought else None

    def named(self, kind: str) -> Canary | None:
        """The canary that a find is of, by its kind; None where it was deleted meanwhile."""
        return self._by_id.get(kind.partition(":")[2])


def is_canary(kind: str) -> bool:
    """Whether a find is of a canary."""
    return kind.partition(":")[0] == CANARY


def _detector(canaries: list[Canary]) -> Detector:
    cards = {one.mark.encode("latin-1"): one for one in canaries if one.kind == CARD}
    others: dict[bytes, list[Canary]] = {}
    for one in canaries:
        if one.kind != CARD:
            others.setdefault(one.mark.encode("latin-1"), []).append(one)
    # People write cards in groups.
    grouped = [rb"[ .-]?".join(bytes((digit,)) for digit in mark) for mark in cards]
    plain = [re.escape(mark).replace(rb"\ ", rb"\s") for mark in others]
    trigger = b"(?i:" + b"|".join([*grouped, *plain]) + b")"
    look = expression(trigger)

    def find(data: bytes) -> Iterator[Found]:
        if look.search(data) is None:
            return
        text, position, taken = canonical(data), 0, 0
        while place := look.search(text, position):
            position = place.start() + 1
            start, end, canary = _met(text, place.start(), others) or _card_met(text, place.start(), cards) or _NONE
            if canary is not None and start >= taken:
                taken = end
                yield start, end, f"{CANARY}:{canary.id}"

    return Detector((CANARY,), "secret", trigger, find)


_Met = tuple[int, int, Canary | None]
_NONE: _Met = (0, 0, None)


def _met(text: bytes, place: int, canaries: Mapping[bytes, list[Canary]]) -> _Met | None:
    for mark, marked in canaries.items():
        if not text.startswith(mark, place):
            continue
        for one in marked:
            start, end = place - one.offset, place - one.offset + one.length
            if start >= 0 and digest_of(one.tenant, text[start:end]) == one.digest:
                return start, end, one
    return None


def _card_met(text: bytes, place: int, cards: Mapping[bytes, Canary]) -> _Met | None:
    shown = _CARD_DIGITS.match(text, place)
    if shown is None:
        return None
    digits = re.sub(rb"[^0-9]", b"", shown[0])
    for mark, one in cards.items():
        if digits.startswith(mark) and digest_of(one.tenant, digits[: one.length]) == one.digest:
            return place, place + len(shown[0].rstrip(b" .-")), one
    return None
