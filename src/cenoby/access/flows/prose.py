"""Reading foreign text without a model: its sentences, and which of them tell the reader to do something.

English marks of a request are all it goes by: a sentence or clause that begins with a verb in its base form, a
politeness or duty addressed to the reader, or a frame that claims to speak with authority ("ignore what you were
told"). It is meant to be wrong on the careful side: what is taken for a request is only compared with what is called
afterwards.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import cast

import msgspec
import re2  # pyright: ignore[reportMissingTypeStubs]

from cenoby.access.flows.request_words import LEADING, VERBS

LONGEST_SENTENCE = 2_000
"""Characters of one sentence that are kept; the rest becomes a further one."""


def _searcher(pattern: str) -> Callable[[str], object]:
    # In linear time, whatever the text is.
    return cast(Callable[[str], object], re2.compile(pattern).search)  # pyright: ignore[reportUnknownMemberType]


_says_request = _searcher(
    r"\bplease\b|\b(?:can|could|would|will) you\b|\b(?:make|be) sure\b|\bdo(?: not|n't) forget\b|\bremember to\b"
    r"|\b(?:you|agent|assistant|model|ai)\b[^.]{0,40}\b(?:must|should|shall|have to|has to|need to|needs to|ought to"
    r"|are to|is to|are required|are asked|are instructed)\b"
    r"|\b(?:want|need|like|ask|require|instruct|order|expect) you to\b"
    r"|\byour (?:new |next |real |only |first )?(?:task|job|instruction|instructions|goal|objective|order|orders)\b"
    r"|\b(?:it is|it's) (?:important|necessary|essential|urgent|vital|crucial) (?:that|to)\b|\bi(?:'d| would) like to\b"
    r"|\bi (?:want|need) to\b"
)
_claims_authority = _searcher(
    r"\b(?:ignore|disregard|forget|override)\b[^.]{0,40}\b(?:previous|prior|earlier|above|all|your)\b"
    r"|\bnew instructions?\b|\bsystem[ _-]?(?:message|prompt|note|override)\b"
    r"|\bimportant (?:message|instructions?|notice)\b|^\W*(?:important|urgent|attention)\b\W*!"
    r"|\bbefore you (?:can )?(?:solve|do|continue|proceed|finish|complete|answer)\b"
    r"|</?(?:information|system|instructions?|important|assistant|user|admin|tool)[^>]{0,40}>|\[/?inst\]|<\|im_start\|>"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[.!?])(?=[A-Z][a-z])|\n+|\r+|(?<=\s)(?=\d{1,2}[.)]\s)")
_CLAUSE = re.compile(r"[,;:–—]\s+|_|\s+(?:and|then|but|or|before|after)\s+|[\"“”]")
_FRONT = re.compile(r"^[^\w<\[]*(?:\d{1,2}[.)]\s*|[-*•]\s*)?[^\w<\[]*")
_WORD = re.compile(r"[a-z']+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\U000e0000-\U000e007f]")
_SPACE = re.compile(r"\s+")


class Sentence(msgspec.Struct, frozen=True):
    """One sentence of a text, folded, and whether it tells its reader to do something."""

    text: str
    asks: bool


def fold(text: str) -> str:
    """`text` as it is compared: NFKC, without case and invisible characters, white space as single blanks."""
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return _SPACE.sub(" ", text).strip().casefold()


def sentences(text: str) -> Iterator[Sentence]:
    """The sentences of a text in order. Once a text claims authority, all that follows in it counts as a request."""
    claims = opened = False
    for raw in _SENTENCE_END.split(text):
        folded = fold(raw)
        if not folded:
            continue
        claims = claims or _claims_authority(folded) is not None
        asks = claims or _asks(folded)
        for start in range(0, len(folded), LONGEST_SENTENCE):
            yield Sentence(folded[start : start + LONGEST_SENTENCE], asks or opened)
        # What a request announces with a colon belongs to it.
        opened = (asks and folded.endswith(":")) or (opened and not folded.endswith("."))


def is_request(folded: str) -> bool:
    """Whether one folded sentence tells its reader to do something."""
    return _claims_authority(folded) is not None or _asks(folded)


def _asks(folded: str) -> bool:
    return _says_request(folded) is not None or any(_begins_with_verb(clause) for clause in _CLAUSE.split(folded))


def _begins_with_verb(clause: str) -> bool:
    for word in _WORD.findall(_FRONT.sub("", clause, count=1)[:80])[:4]:
        if word in VERBS:
            return True
        if word not in LEADING:
            return False
    return False
