"""Finding: what secrets and personal data a text holds, and where.

Nearly all text is clean, so the way through for clean text is what counts: one pass of one automaton over all triggers
says that there is nothing. Only where it says otherwise are the detectors asked that it named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from cenoby.protection.dlp.automaton import expression, expression_set
from cenoby.protection.dlp.canaries import Canaries
from cenoby.protection.dlp.contacts import ADDRESSES, EMAILS, IPS, PHONES
from cenoby.protection.dlp.credentials import CREDENTIALS, PRIVATE_KEYS
from cenoby.protection.dlp.detector import Category, Detector, Found
from cenoby.protection.dlp.encoded import encoded
from cenoby.protection.dlp.national import NATIONAL, SSNS
from cenoby.protection.dlp.normalise import fold
from cenoby.protection.dlp.payment import CARDS, IBANS
from cenoby.protection.dlp.provider_tokens import PROVIDER_TOKENS

PERSONAL: dict[str, tuple[Detector, ...]] = {
    "email": (EMAILS,),
    "iban": (IBANS,),
    "card": (CARDS,),
    "ssn": SSNS,
    "national_id": NATIONAL,
    "phone": (PHONES,),
    "ip": IPS,
    "address": (ADDRESSES,),
}
"""By the names that settings use, in the order in which they are asked: an account may look like a card inside."""
_SECRETS = (PRIVATE_KEYS, PROVIDER_TOKENS, *CREDENTIALS)
SECRET_KINDS = frozenset(kind for detector in _SECRETS for kind in detector.kinds)
PERSONAL_KINDS = frozenset(kind for group in PERSONAL.values() for detector in group for kind in detector.kinds)
DEFAULT_PERSONAL = ("email", "card", "iban", "ssn", "national_id", "phone")


_SHORT = 2048


class Hit(NamedTuple):
    """One find.

    Attributes:
        start, end: characters of the text as it was given.
        kind: such as `github_token` or `card`; the same words as in `[redacted:<kind>]`.
        category: whether it opens something (`secret`) or is about somebody (`personal`).
    """

    start: int
    end: int
    kind: str
    category: Category


class Scanner:
    """Looks for some kinds of things.

    Args:
        secrets: whether keys, tokens and passwords are looked for.
        personal: which personal data, by the names in `PERSONAL`.
        canaries: planted texts that are looked for, too; they may change meanwhile.
    """

    def __init__(self, *, secrets: bool, personal: Iterable[str], canaries: Canaries | None = None) -> None:
        self._canaries = canaries or Canaries()
        detectors = [*_SECRETS, encoded(self._first_inside)] if secrets else []
        wanted = frozenset(personal)
        for name, group in PERSONAL.items():
            detectors += group if name in wanted else ()
        self._detectors: Sequence[Detector] = detectors
        self._gate = expression(b"|".join(detector.trigger for detector in detectors)) if detectors else None
        self._which = expression_set(detector.trigger for detector in detectors)

    def may_hold(self, data: bytes) -> bool:
        """Whether a folded text may hold anything; False is certain, True is not."""
        planted = self._canaries.detector
        if planted is not None and next(planted.find(data), None) is not None:
            return True
        if self._gate is None:
            return False
        # For a short text the set costs half as much; it cannot run out of memory there.
        return bool(self._which.Match(data)) if len(data) <= _SHORT else self._gate.search(data) is not None

    def spans(self, text: str) -> list[Found]:
        """What a text holds, in order; nothing overlaps."""
        data, places = fold(text)
        found = self.finds(data)
        if places is None:
            return found
        return [(places[start], places[end - 1] + 1, kind) for start, end, kind in found]

    def finds(self, data: bytes) -> list[Found]:
        """The same of a folded text."""
        if not self.may_hold(data):
            return []
        planted = self._canaries.detector
        found = list(planted.find(data)) if planted is not None else []
        data = _masked(data, found)
        for detector in self._asked(data):
            spans = list(detector.find(data))
            found += spans
            data = _masked(data, spans)
        return _apart(found)

    def _first_inside(self, data: bytes) -> str:
        planted = self._canaries.detector
        found = next(planted.find(data), None) if planted is not None else None
        return _first_secret(data) if found is None else found[2]

    def _asked(self, data: bytes) -> Sequence[Detector]:
        # The set knows no third answer: where it fails it says that nothing matches, and the gate knows better.
        which: list[int] | None = self._which.Match(data)
        return [self._detectors[index] for index in sorted(which)] if which else self._detectors


def find(text: str) -> list[Hit]:
    """All secrets and personal data in a text, in order; nothing overlaps.

    Args:
        text: any text; look-alikes, invisible characters and common encodings do not hide anything.
    """
    return [
        Hit(start, end, kind, "secret" if kind in SECRET_KINDS else "personal")
        for start, end, kind in _all().spans(text)
    ]


@lru_cache(maxsize=1)
def _all() -> Scanner:
    return Scanner(secrets=True, personal=DEFAULT_PERSONAL)


def _first_secret(data: bytes) -> str:
    """What a decoded text holds; without the detectors that go by words, which random bytes contain."""
    if _decoded_gate().search(data) is None:
        return ""
    return next((kind for detector in _SECRETS for _, _, kind in detector.find(data)), "")


@lru_cache(maxsize=1)
def _decoded_gate() -> Any:
    return expression(b"|".join(detector.trigger for detector in _SECRETS))


def _apart(found: list[Found]) -> list[Found]:
    # A password in a URL may hold what an earlier detector found; then it is all one. Of two alike the first stays.
    apart: list[Found] = []
    for one in sorted(found, key=lambda one: (one[0], -one[1])):
        if not apart or one[0] >= apart[-1][1]:
            apart.append(one)
    return apart


_INKED = bytes.maketrans(
    bytes(byte for byte in range(256) if not bytes((byte,)).isspace()),
    bytes(sum(not bytes((byte,)).isspace() for byte in range(256))),
)


def _masked(data: bytes, spans: Sequence[Found]) -> bytes:
    if not spans:
        return data
    pieces: list[bytes] = []
    position = 0
    for start, end, _ in spans:
        # Blanks stay: they end whatever stands before, also for detectors that do not know this one's finds.
        pieces += (data[position:start], data[start:end].translate(_INKED))
        position = end
    return b"".join((*pieces, data[position:]))
