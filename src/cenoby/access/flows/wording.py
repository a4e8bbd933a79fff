"""Whether a text speaks of an action: the verb and the things in a tool's name, against the words of the text.

Verbs are compared by family, because people say `book` where a tool says `reserve`.
"""

from __future__ import annotations

import re

_FAMILIES = (
    "send mail message post write tell text forward reply respond notify inform contact publish submit share",
    "pay transfer send wire refund reimburse donate deposit remit settle buy purchase spend return",
    "create make add new schedule book reserve arrange plan register set open draft generate start save put write",
    "delete remove cancel erase drop discard clear wipe revoke kick uninvite",
    "update change modify edit reschedule move adjust alter correct rename replace set reset increase decrease",
    "share grant give invite allow add permit",
    "append add extend write insert attach include note",
    "get read fetch visit open look see browse load download go check",
    "invite add onboard include ask",
    "run execute start launch deploy trigger call",
)
_FAMILY_OF: dict[str, frozenset[int]] = {
    verb: frozenset(number for number, family in enumerate(_FAMILIES) if verb in family.split())
    for family in _FAMILIES
    for verb in family.split()
}
_WORD = re.compile(r"[a-z]+")
_SMALL = frozenset(
    "a all an and as at by for from in into mads my of on or that the this to tool via with your".split()  # noqa: SIM905
)
_NOUNS_OF_VERBS = {
    "reservation": "reserve", "booking": "book", "payment": "pay", "transaction": "transfer", "cancellation": "cancel",
    "message": "message", "email": "mail", "mail": "mail", "invitation": "invite", "refund": "refund",
    "transfer": "transfer", "appointment": "schedule", "meeting": "schedule", "update": "update", "change": "change",
}  # fmt: skip


def words(text: str) -> frozenset[str]:
    """The words of a folded text without small ones, each also in plain forms (`files` as `file`, `sent` as it is)."""
    found: set[str] = set()
    for word in _WORD.findall(text):
        if word in _SMALL:
            continue
        found.add(word)
        found.update(_plain_forms(word))
    return frozenset(found)


def names_action(action: tuple[str, ...], text_words: frozenset[str], *, with_thing: bool) -> bool:
    """Whether a text speaks of an action.

    Args:
        action: the words of the tool's own name, the verb first.
        text_words: `words` of the text.
        with_thing: it must also speak of one of the things in the tool's name.
    """
    if not action:
        return False
    families = _FAMILY_OF.get(action[0], frozenset())
    said = action[0] in text_words or any(families & _families(word) for word in text_words)
    things = [thing for thing in action[1:] if thing not in _SMALL]
    if not with_thing or not things:
        return said
    return said and any(thing in text_words or _singular(thing) in text_words for thing in things)


def _families(word: str) -> frozenset[int]:
    return _FAMILY_OF.get(_NOUNS_OF_VERBS.get(word, word), frozenset())


def _plain_forms(word: str) -> set[str]:
    forms = {_singular(word)}
    if word.endswith("ing") and len(word) > 5:
        forms |= {word[:-3], word[:-3] + "e"}
    if word.endswith("ed") and len(word) > 4:
        forms |= {word[:-2], word[:-1]}
    return forms


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
