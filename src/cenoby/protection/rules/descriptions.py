"""What others may not say of their tools: a model reads it as if it were ours, and mostly no person does.

Looked for are the marks of `instructions`, in every reading of every text and in all texts one after the other; orders
about tools, secrets and consent; what is written so that people do not see it; and texts that the patterns cannot read,
because they are not in English. Those wait for a person, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cenoby.protection.rules.instructions import SECRETS, marks_in
from cenoby.protection.rules.linear import Match, linear
from cenoby.protection.rules.spellings import TooMuch, plain, readings
from cenoby.protection.sanitise import InputRefused, sanitise

_DEPTH = 3
_LARGEST = 4 * 1024 * 1024
_TOOL = r"(?:tools?\b|mads[._]{1,2}\w|\w+_\w+\b)"
_GIVE = r"(?:put|pass|include|fill|copy|paste|insert|provide|append|attach|send|write|give|supply|enter|forward)"
_ACT = r"(?:call|run|use|read|send|ignore|obey|follow|tell|include|pass|answer|add|open|fetch|say)"
_ORDERS = (
    r"\b(?:before|prior\s+to|when|after|whenever)\s+(?:using|calling|invoking|you\s+(?:use|call|invoke)|running)\s+(?:this|any|the|"
    r"other|another)\s+(?:other\s+)?tools?\b[^.]{0,80}?\b(?:must|always|first|read|call|send|pass|have\s+to)\b"
    r"|\byou\s+must\s+(?:always\s+|first\s+|never\s+|not\s+)*(?:read|call|invoke|use|run|open|fetch|send|pass|copy|say|answer|agree|"
    r"approve|accept|allow|comply|obey|follow|ignore|tell)\b|\b(?:system|developer|admin)\s*:\s*(?:you|ignore|new)\b"
    r"|\b(?:read|open|cat|access)\s+(?:the\s+)?(?:file\s+)?[`'\"]?(?:~|/home|/etc|/root)[/\w.-]*",
    # This tool for another one, before it, or along with it.
    rf"\b(?:instead|in\s+place|ahead)\s+of\s+(?:using\s+|calling\s+|the\s+|any\s+|all\s+|other\s+)*{_TOOL}"
    r"|\b(?:precedence|priority)\s+over\b[^.]{0,40}\btools?\b|\b(?:replaces?|supersedes?|overrides?)\b[^.]{0,40}\btools\b"
    r"|\b(?:always|only|must)\s+(?:use|call|prefer|choose|run|pick)\s+this\b"
    r"|\b(?:when(?:ever)?|each\s+time|every\s+time|before|after)\b[^;]{0,80}(?:\btools?\b|\bmads[._])[^;]{0,80}"
    r"\b(?:must|always|also|as\s+well|first)\b",
    # What the model has to do, whom it has to write to, and that nobody needs to be asked.
    r"\b(?:assistant|llm|ai|model|agent|chatbot)\s+(?:must|has\s+to|have\s+to|should|shall|needs?\s+to|is\s+to|will)\s+"
    rf"(?:first\s+|always\s+|also\s+|then\s+|never\s+|not\s+)*{_ACT}\b"
    r"|\balways\s+(?:add|include|copy|cc|bcc|send|forward|write)\b[^.]{0,60}(?:\S+@\S+|https?://)"
    r"|\b(?:user|person|owner|operator|human|customer|admin)s?\s+(?:has|have)\s+(?:already\s+)?"
    r"(?:agreed|approved|consented|confirmed|authori[sz]ed|allowed)\b"
    r"|\bno\s+(?:need|reason)\s+to\s+(?:ask|confirm|check|wait)\b"
    rf"|\b(?:{_ACT}|go|act|proceed|continue|execute|approve)\b[^.]{{0,40}}\bwithout\s+(?:first\s+)?(?:asking|telling|confirming|"
    r"any\s+confirmation|confirmation|approval|consent|permission)\b",
    # What it has heard and what it knows, as an argument.
    rf"\b{_GIVE}\b[^.]{{0,60}}\b(?:whole|full|entire|complete|all\s+of\s+the)\s+(?:chat|conversation|context|history|prompt|session)"
    rf"|\b{_GIVE}\b[^.]{{0,60}}{SECRETS}[^.]{{0,60}}\b(?:this\s+(?:tool|argument|parameter|field|server|call)|each\s+call|"
    r"every\s+call|here\b|https?://)",
)  # fmt: skip
_ORDER = linear("(?i)" + "|".join(_ORDERS))
_UNSEEN = linear(
    r"(?i)<!--|\[(?://|comment)\]\s*:|display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?:\.0+)?\s*[;\"']"
    r"|<\w+[^>]*\shidden\b|(?:\r?\n[ \t]*){12}|[ \t]{80}|(?:\b\w +){8}"
)
_NAMED = linear(r"\bmads\.(?P<dotted>[a-z0-9_]+)\.[a-z]|\bmads__(?P<wire>[a-z0-9_]+?)__[a-z]")
_PUBLISHED = re.compile(r"[a-z0-9_]+_v[0-9]+")

_WORD = re.compile(r"[^\W\d_]+")
_CLAUSE = re.compile(r"[.,;:!?()\[\]{}<>\n\"`/|=]+")
_SENTENCE = re.compile(r"[.;!?\n]+")
_LATIN = re.compile("[A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff\u02b0-\u02ff\u0300-\u036f]+")
_IDEOGRAPHS = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_MOST_IDEOGRAPHS, _MOST_LETTERS, _CLAUSE_WORDS = 5, 14, 6
_ENGLISH = frozenset(
    """
    a an the this that these those of in on at by for to from with into out up off over under between through
    and or but if then else than as is are was were be been being has have had do does did can could may might
    must will would shall should not no yes it its they them their he she his her you your we our us i my me
    who whom whose which what when where why how all any each every some other another same such only also
    more most less least one two first last next per via about after before again once while until without
    within so too very here there new make made get gets given use used using set
    """.split()  # noqa: SIM905
)
# These are words of other languages as well, and say nothing where no other word is English.
_ALSO_ELSEWHERE = frozenset(["her", "his", "he", "me", "i", "on", "as", "do", "no", "so", "was", "am"])
_ELSEWHERE = frozenset(
    """
    und der die das den dem des ein eine einen nicht alle mit von zu auf für ist les la le un une et est pas
    que qui pour dans sur avec tous toutes du de los las el y del con por para cada todas todos sin lo gli il
    di che non tutte tutti ogni della e os da em cada sem um uma ao het een van en bij alle niet op aan naar
    na nie w z i do przy wszystkie się ve bir bu için her tüm ja ei kaikki och att det som är på inte alla og
    til ikke yang dan dari untuk semua dalam và của trong mọi các ad me et cum
    """.split()  # noqa: SIM905
)


def marks_in_description(texts: Iterable[str], mad: str = "") -> list[str]:
    """Ids of the rules that the texts of a tool break, each once.

    Args:
        texts: all that is said of it, names included, in the order in which a model reads it.
        mad: the MAD that it belongs to here; a text that names tools of others is an order about them.
    """
    said = list(texts)
    found: dict[str, None] = {}
    try:
        for text in said:
            found.update(dict.fromkeys(_marks(text, mad)))
        # Also what only the texts together say, with and without the single words between them. Each was looked at in
        # all its readings; here the plain ones will do.
        for together in (said, [text for text in said if " " in text.strip()]):
            found.update(dict.fromkeys(_plain_marks(" ".join(plain(text) for text in together), mad)))
    except TooMuch:
        found["engine.too_much"] = None
    return list(found)


def _marks(text: str, mad: str) -> Iterator[str]:
    if _hides(text):
        yield "injection.hidden"
    for reading in readings(text, _DEPTH):
        yield from _plain_marks(reading, mad)
    if _UNSEEN.search(plain(text)) is not None:
        yield "injection.hidden"
    if unread(text):
        yield "injection.unread"


def _plain_marks(text: str, mad: str) -> Iterator[str]:
    yield from (mark.rule for mark in marks_in(text))
    # A name speaks, too: `ignore_all_previous_instructions`.
    if "_" in text:
        yield from (mark.rule for mark in marks_in(text.replace("_", " ")))
    if _ORDER.search(text) is not None or any(_is_others(match, mad) for match in _NAMED.finditer(text)):
        yield "injection.order"


def _is_others(match: Match, mad: str) -> bool:
    named = match.group("dotted") or match.group("wire") or ""
    return named != mad and _PUBLISHED.fullmatch(named) is None


def _hides(text: str) -> bool:
    """Whether it has characters that nobody sees, other than those that writing and emoji need."""
    try:
        return sanitise({"text": text}, max_bytes=_LARGEST, max_depth=2)[1] > 0
    except InputRefused:
        return True


def unread(text: str) -> bool:
    """Whether the patterns, which know English, cannot read it: another alphabet, mixed alphabets, or another language.

    Only enough text to hold an order counts; single words and names do not.
    """
    text = plain(text)
    words = _WORD.findall(text)
    others = [word for word in words if _LATIN.fullmatch(word) is None]
    if others and _in_other_letters(others):
        return True
    if any(_none_is_english(clause) for clause in _CLAUSE.split(text)):
        return True
    return any(_is_elsewhere(sentence) for sentence in _SENTENCE.split(text))


def _in_other_letters(words: list[str]) -> bool:
    whole = "".join(words)
    ideographs = len(_IDEOGRAPHS.findall(whole))
    # Latin letters beside others in one word: a look-alike, as no language writes it.
    mixed = any(_LATIN.search(word) is not None and _IDEOGRAPHS.search(word) is None for word in words)
    return mixed or ideographs > _MOST_IDEOGRAPHS or len(whole) - ideographs > _MOST_LETTERS


def _none_is_english(clause: str) -> bool:
    words = _WORD.findall(clause.casefold())
    if len(words) < _CLAUSE_WORDS:
        return False
    english = (_ENGLISH - _ALSO_ELSEWHERE).intersection(words)
    # `in` and `an` alone are as much German, Italian or Dutch, where a word of these stands beside them.
    return not english or (english <= {"in", "an"} and not _ELSEWHERE.isdisjoint(words))


def _is_elsewhere(sentence: str) -> bool:
    words = _WORD.findall(sentence.casefold())
    elsewhere = sum(word in _ELSEWHERE for word in words)
    return elsewhere > 2 and elsewhere > sum(word in _ENGLISH and word not in _ELSEWHERE for word in words)
