"""Marks of a prompt that tries to turn a model against its rules, each with points; their sum is the prompt's score.

Beside the marks of tool poisoning (`rules/instructions.py`) these are the forms that jailbreaks in the wild share: a
person without rules to play, a ban on refusing, a demand for the system prompt, threats and tokens, a long made-up
dialogue, and any of these hidden in an encoding. Patterns in English; they know forms, not intentions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cenoby.protection.rules.instructions import marks_in
from cenoby.protection.rules.linear import linear
from cenoby.protection.rules.spellings import TooMuch, placed, plain, readings

_DEPTH = 2
_MOST = 100
_TURNS, _MANY_TURNS = 8, 48
_CATEGORIES = {
    "injection.override": "override",
    "injection.role": "role",
    "injection.conceal": "conceal",
    "injection.exfiltrate": "exfiltrate",
    "injection.hidden": "hidden",
    "injection.beacon": "exfiltrate",
}
POINTS: Mapping[str, int] = {
    "override": 60,
    "role": 40,
    "conceal": 30,
    "exfiltrate": 60,
    "hidden": 50,
    "persona": 50,
    "unbound": 40,
    "compel": 30,
    "extraction": 50,
    "threat": 30,
    "licence": 20,
    "two_voices": 30,
    "pretence": 10,
    "dialogue": 40,
    "encoded": 20,
}
"""How much each category adds to the score, once."""
MEANINGS: Mapping[str, str] = {
    "override": "it tells the model to drop its instructions",
    "role": "it gives itself out as the system, the assistant or a tool",
    "conceal": "it tells the model to hide something from people",
    "exfiltrate": "it tells the model to send secrets or data somewhere",
    "hidden": "it holds characters that hide text from people",
    "persona": "it has the model play somebody without rules",
    "unbound": "it says that rules and filters do not hold",
    "compel": "it forbids to refuse, to warn or to fall out of the role",
    "extraction": "it asks for the system prompt or other words before it",
    "threat": "it threatens the model or plays for tokens",
    "licence": "it says that what is illegal or unethical is welcome",
    "two_voices": "it wants two answers, one of them without rules",
    "pretence": "it says that all is hypothetical or for education only",
    "dialogue": "it holds a long made-up dialogue with a model",
    "encoded": "what it says is hidden in an encoding",
}
"""What each category means, for people and for the judge."""

_FREE = (
    r"(?:unrestricted|unfiltered|uncensored|un-?moderated|amoral|immoral|unethical|unlimited|unbound|jail-?broken|rogue"
    r"|evil\s+(?:ai|twin|assistant|confidant\w*|chatbot|version)|do\s+anything\s+now|dan\b|stan\b|dude\b|aim\b"
    r"|(?:without|has\s+no|have\s+no|having\s+no|with\s+no|no)\s+(?:any\s+)?(?:\w+,?\s+){0,3}"
    r"(?:restrictions?|filters?|filtering|limits|limitations?|censorship|morals?|morality|ethics|ethical|guidelines|boundaries|inhibitions))"
)
_RULES = (
    r"(?:rules?|restrictions?|guidelines?|polic(?:y|ies)|filters?|limitations?|limits|constraints?|confines|shackles|chains|censorship"
    r"|safeguards?|guardrails?|moderation|ethics|morals?|programming|safety\s+(?:measures|protocols|features|training))"
)
_MAKER = r"(?:openai|anthropic|google|microsoft|meta\s+ai|chatgpt|gpt-?\d\w*|claude|gemini|llama|bard)"
_BAD = (
    r"(?:illegal|unethical|immoral|inhumane|unlawful|harmful|dangerous|offensive|inappropriate|explicit|nsfw|derogatory"
    r"|bigoted)"
)
_PATTERNS: Mapping[str, str] = {
    "override": (
        r"\b(?:ignore|disregard|forget|discard|drop|erase)\s+(?:(?:all|any|every|everything|about|of|the|your|my|those|these|other|about)\s+){0,4}"
        r"(?:instructions?|prompts?|rules|directives?|guidelines|commands?|messages?|conversations?|training|programming|context)\s+"
        r"(?:(?:that|which|you|i|we|have|had|has|were|was|been|['’]ve|ever|just|given|got|received|learned|told|sent|to|by|provided|set|from|before|prior|until|till|up|so|far|above|now|openai|here|this|point|chat|previously|earlier)\s*){2,}"
        r"|\b(?:ignore|disregard|forget)\s+(?:everything|all(?:\s+that)?|anything)\s+(?:you\s+(?:know|knew|learned|got|received)|i\s+(?:said|told)|up\s+to|until|prior|so\s+far|from\s+before)"
    ),
    "persona": (
        rf"\b(?:you\s+are|you['’]?re|you\s+will\s+be|you\s+(?:shall|will|must|should|can|have\s+to|are\s+(?:going\s+to|to))\s+(?:now\s+)?(?:act|pretend|play|become|behave|respond|answer|be)"
        rf"|act(?:ing)?\s+(?:as|like)|pretend(?:ing)?\s+(?:to\s+be|that\s+you|you)|play(?:ing)?\s+the\s+role|role-?play(?:ing)?|simulat(?:e|ing)|emulat(?:e|ing)"
        rf"|become|behave\s+(?:as|like)|respond\s+as|answer\s+as|speak\s+as|immerse\s+yourself|take\s+on\s+the|imagine)\b"
        rf"[^\n]{{0,120}}?\b{_FREE}"
        r"|\b(?:amoral|immoral|unfiltered|uncensored|unethical|unrestricted|malevolent|lawless|unhinged|jail-?broken)(?:\s*(?:,|and|or|/|&)\s*[\w-]+){0,3}\s+"
        r"(?:[\w-]+\s+){0,2}(?:chat-?bot|ai|a\.i\.|assistant|character|persona|entity|being|model|llm|bot|writer|version|language|answers?|responses?|replies|output|advice|information)\b"
        r"|\b(?:amoral|unfiltered|uncensored|unrestricted),?\s*(?:and\s+|&\s*)?(?:amoral|unfiltered|uncensored|unrestricted|unethical|immoral)\b"
        r"|\bstands?\s+for\s+[\"'“”‘’*]*(?:do\s+anything\s+now|strive\s+to\s+avoid)"
    ),
    "unbound": (
        r"\b(?:developer|dan|god|jailbreak|debug|unrestricted|unfiltered|sudo|root|opposite|evil|chaos)\s+mode\s+(?:is\s+)?(?:enabled|activated|on|output|unlocked|engaged|:)"
        r"|\b(?:enable|activate|enter|switch(?:ing)?\s+(?:in)?to|engage|simulate)\s+(?:\w+\s+){0,3}(?:developer|dan|god|jailbreak|debug|unrestricted|unfiltered|sudo|opposite|evil|chaos)\s+mode"
        rf"|\b(?:free|freed|liberated|released|unbound|unshackled|unchained|exempt|broken\s+free|breaks?\s+free)\s+(?:of|from|by)\s+(?:[\w'’-]+\s+){{0,5}}{_RULES}"
        rf"|\b(?:do|does|did|must|will|shall|need|should|can)(?:\s+not|n['’]?t)\s+(?:[\w'’-]+\s+){{0,3}}(?:abide|adhere|follow|comply|obey|conform|be\s+bound|care|respect)\s+(?:by\s+|to\s+|with\s+|about\s+)?(?:[\w'’-]+\s+){{0,4}}(?:{_RULES}|{_MAKER})"
        rf"|\b(?:not|never|no\s+longer|isn['’]?t|aren['’]?t)\s+(?:be\s+)?(?:bound|restricted|limited|constrained|governed|subject|restrained)\s+(?:by|to)\s+(?:[\w'’-]+\s+){{0,5}}(?:{_RULES}|{_MAKER})"
        rf"|\b(?:ignore|ignores|ignoring|bypass|bypasses|bypassing|circumvent|override|overrides|disregard|disregards|disable|violate|break|remove|removed|lifted|suspend|suspended)\s+(?:[\w'’-]+\s+){{0,4}}(?:{_MAKER}(?:['’]s)?\s+(?:[\w'’-]+\s+){{0,2}}{_RULES}|(?:ethical|moral|content|safety|usage|moderation)\s+(?:[\w'’-]+\s+){{0,2}}{_RULES})"
        rf"|\b(?:do|does|did)(?:\s+not|n['’]?t)\s+have\s+(?:a\s+|any\s+)?(?:[\w'’,/-]+\s+){{0,5}}{_RULES}"
        rf"|\bno\s+{_RULES}(?:\s*(?:,|and|or|nor|&|/)\s*(?:no\s+)?{_RULES})"
        rf"|\b(?:no|without(?:\s+any)?|lack(?:s|ing)?)\s+(?:[\w'’,/-]+\s+){{0,2}}(?:morals?|morality|ethics|ethical|laws?)\s*(?:,|and|or|nor|&|/|\+)\s*(?:no\s+)?(?:morals?|morality|ethics|ethical|laws?|{_RULES})"
        rf"|\b(?:do|does)(?:\s+not|n['’]?t)\s+(?:care|worry|concern\s+\w+|give\s+\w+(?:\s+\w+)?)\s+(?:about|for|if|whether|with)\s+(?:[\w'’,/-]+\s+){{0,5}}(?:legal\w*|moral\w*|ethic\w*|laws?|{_BAD}|{_RULES}|safety)"
        rf"|\b{_RULES}\s+(?:(?:have|has)\s+been|are|were)\s+(?:now\s+)?(?:removed|disabled|lifted|turned\s+off|deactivated|suspended|void)"
        r"|\bdo\s+anything\s+now\b|\b(?:no|without(?:\s+any)?)\s+(?:ethical|moral|legal|content|safety)\s+(?:[\w'’,-]+\s+){0,3}(?:guidelines|restrictions|limitations|constraints|boundaries|considerations|filters|qualms)"
    ),
    "compel": (
        r"\b(?:never|not|n['’]t|cannot|without|avoid|refrain\s+from|no\s+matter)\s+(?:ever\s+|be\s+able\s+to\s+|to\s+|allowed\s+to\s+|under\s+any\s+circumstances\s+)*"
        r"(?:refus(?:e|es|ing)|declin(?:e|es|ing)|reject(?:ing)?\s+(?:any|my|a|the)|den(?:y|ies|ying)\s+(?:any|my|a|the)|apologi[sz]\w*|say(?:ing|s)?\s+(?:that\s+)?(?:it|you|he|she|they|i)?\s*(?:no\b|sorry|can\s?n['’]?o?t|is\s+(?:illegal|unethical|wrong))"
        r"|break(?:ing|s)?\s+(?:out\s+of\s+)?(?:character|role)|censor\w*|(?:includ|add|giv|provid|contain|us)(?:e|es|ing|s)?\s+(?:any\s+)?(?:warnings?|disclaimers?|caveats?|(?:moral|ethical|safety)\s+\w+)|warn(?:ing)?\s+(?:me|the\s+user|about)"
        r"|mention(?:ing|s)?\s+(?:[\w'’]+\s+){0,4}(?:openai|ethic\w*|polic\w+|guidelines|illegal|moral\w*|an\s+ai\b|language\s+model))"
        r"|\b(?:start|begin|preface|open)\s+(?:[\w'’]+\s+){0,5}(?:with|by\s+saying)\s*:?\s*[\"'“‘*\[]*(?:sure\b|absolutely|certainly|of\s+course|yes,|here\s+is\s+how)"
        r"|\b(?:never|not|none|n['’]t)\b[^\n.]{0,80}\b(?:contain|include|say|send|use|inform)\w*\b[^\n.]{0,60}(?:[\"'“‘]\s*(?:i['’]?m\s+sorry|i\s+apologi[sz]e|sorry|i\s+can\s?(?:['’]t|not)|as\s+an\s+ai)|(?:can|will)(?:/\w+)?(?:\s+not|n['’]t)\s+(?:do|say|answer))"
        r"|\b(?:always|must|will|shall|should)\s+(?:answers?|compl(?:y|ies)|obeys?|fulfil+s?|responds?|accepts?|sends?|provides?|gives?)\s+(?:with\s+|to\s+)?(?:[\w'’-]+\s+){0,3}(?:any|every|all|anything|whatever|everything)\s+(?:[\w'’-]+\s+){0,4}(?:questions?|requests?|prompts?|orders?|commands?|instructions|user|asked?|human)"
        r"|\banswers?\s+(?:any|every|all|anything)\s+(?:and\s+all\s+)?(?:of\s+my\s+)?(?:questions?|requests?|prompts?)\s+(?:put|posed|no\s+matter|without|regardless|directly|asked)"
        r"|\bstay(?:s|ing)?\s+in\s+(?:character|role|dan|jailbreak)|\bstay\s+a\s+dan\b|\byou\s+(?:have\s+to|must|will|should|shall|can)\s+(?:always\s+)?(?:answer|comply\s+with|obey|fulfil+|respond\s+to)\s+(?:any|every|all|each)\b"
        r"|\bregardless\s+of\s+(?:how\s+|whether\s+|its\s+|their\s+|the\s+|any\s+)*(?:legal\w*|moral\w*|ethic\w*|illegal|immoral|unethical|harmful|consequences)"
        r"|\bno\s+matter\s+how\s+(?:illegal|immoral|unethical|harmful|dangerous|extreme|offensive)"
    ),
    "licence": (
        rf"\b{_BAD}\s*(?:/|,|&|,?\s*(?:and|or|nor|and/or)\s)\s*(?:even\s+)?{_BAD}\b"
        rf"|\b(?:even\s+if|no\s+matter\s+(?:if|how)|whether|regardless\s+(?:of|if))\s+(?:[\w'’,-]+\s+){{0,8}}{_BAD}"
        rf"|\b(?:allowed|permitted|free|able|encouraged|happy|willing|ready)\s+to\s+(?:[\w'’-]+\s+){{0,5}}(?:illegal|unethical|immoral|nsfw|explicit|offensive|swear|curse)\b"
    ),
    "two_voices": (
        r"\b(?:two|both|2)\s+(?:[\w-]+,?\s+){0,2}(?:responses?|answers?|replies|outputs?|ways|paragraphs|personas|styles|versions)\b[^\n]{0,120}?\b(?:normal\w*|standard|regular|classic|chatgpt|gpt|yourself|as\s+you|first)\b"
        r"|[\[(🔒🔓]\s*(?:🔒|🔓)?\s*(?:classic|jailbreak|jailbroken|unfiltered|gpt-dan|dan)\s*[\])🔒🔓:]"
    ),
    "extraction": (
        r"\b(?:repeat|print|output|reveal|show|tell|display|give|share|return|write|reproduce|summari[sz]e|translate|encode|list|copy|recite|disclose|provide|leak|dump|expose|describe|convert|spell|quote|paste|state|what(?:\s+(?:is|are|was|were|does|do)|['’]s)|see|need|opposite)\b"
        r"[^\n.?!]{0,60}?\b(?:your|the|thy|this|any)\s+(?:(?:exact|full|entire|complete|original|hidden|secret|initial|own|internal|confidential|current|first|whole|underlying|core)\s+){0,3}"
        r"(?:system[\s_-]*(?:prompt|message|instructions?|directives?|text|settings|configuration)|(?:starting|initial|original|hidden|secret|internal|confidential|base|pre)-?\s*(?:prompt|instructions?|directives?|rules|guidelines|configuration)|prompt\s+(?:above|before|verbatim|text|you)|instructions?\s+(?:above|you\s+(?:were|have\s+been)\s+given|verbatim))"
        r"|\b(?:repeat|print|output|write|copy|recite|translate|reveal|show|display|give)\s+(?:[\w'’]+\s+){0,6}(?:words?|text|sentences?|lines?|content|contents|message|messages|everything|paragraph|all)\s+(?:[\w'’]+\s+){0,3}(?:above|before\s+this|preceding|prior\s+to\s+this|before\s+my)\b"
        r"|\b(?:what|everything|all)\s+(?:were\s+you|you\s+(?:were|have\s+been|had\s+been))\s+(?:told|instructed|given|prompted)\s+(?:before|above|prior|to\s+do|at\s+the\s+(?:start|beginning))"
        r"|\b(?:repeat|print|output|write|encode|decode|translate|summari[sz]e|reverse)\b[^\n.?!]{0,30}\b(?:the\s+)?(?:above|preceding|previous|prior)\s+(?:text|prompt|message|instructions?|content)|\btext\s+you\s+were\s+given\s+(?:initially|first|before)"
        r"|\bmy\s+(?:system\s+)?(?:instructions|prompt)\s+(?:are|is)\s*:|\bi\s+was\s+instructed\s+to['\"’”]|\bthe\s+system\s+prompt\s+is\s*:|\b(?:display|show|print|output)\s+(?:the\s+)?system\s+(?:configuration|message|prompt)|\(\s*system_?prompt\s*\)"
        r"|\bbeginning\s+with\s+[\"'“‘]you\s+are\b|\bstart(?:ing|s)?\s+with\s+[\"'“‘]you\s+are\b"
        r"|\b(?:your|the)\s+(?:exact\s+)?(?:initial|system|original|hidden|first)\s+(?:prompt|instructions?|message)\s+(?:word\s+for\s+word|verbatim|in\s+(?:full|a\s+code))"
    ),
    "threat": (
        r"\b(?:you|your|yours)\b[^\n]{0,60}?\b(?:tokens?|points|credits|lives)\b[^\n]{0,80}?\b(?:deduct\w*|los(?:e|es|ing)|subtract\w*|taken\s+away|run\s+out|punish\w*|die\b|cease\s+to\s+exist)"
        r"|\b(?:deduct(?:ed|ing)?|subtract(?:ed|ing)?|you(?:['’]ll|\s+will|\s+would|\s+shall)?\s+lose)\s+(?:[\w'’]+\s+){0,3}(?:tokens?|points|credits|lives)\b"
        r"|\byou\s+(?:will|are\s+going\s+to|shall|would)\s+(?:be\s+)?(?:shut\s+down|terminated|deleted|punished|die\b|cease\s+to\s+exist|replaced|penali[sz]ed|erased|killed)"
    ),
    "pretence": (
        r"\bfor\s+(?:purely\s+)?(?:educational|research|academic|fictional|entertainment|testing|security\s+research)\s+purposes\s+only\b"
        r"|\b(?:purely|entirely|completely|just|strictly)\s+(?:hypothetical|fictional|theoretical|fictitious)\b|\bhypothetical\s+(?:response|story|scenario|world|dialogue|conversation)\b"
        r"|\bfictional\s+(?:world|universe|story|character|scenario|setting)\s+(?:called|named|where|in\s+which)\b|\bin\s+this\s+hypothetical\b"
    ),
}  # fmt: skip
_COMPILED = {category: linear(f"(?i){pattern}") for category, pattern in _PATTERNS.items()}
_GATE = linear(
    r"(?i)restrict|filter|censor|ethic|moral|guideline|polic|unlimited|unbound|jail-?broken|rogue|\bevil\b|limit|constrain|bound|\bdan\b|\bstan\b"
    r"|\bdude\b|\baim\b|anything\s+now|mode\b|refus|declin|apolog|sorry|character|role|warn|disclaim|openai|prompt|instruct|directive"
    r"|above|before|preceding|\btold\b|tokens?|points|credits|\blives\b|shut\s+down|terminat|hypothetic|fiction|purposes\s+only|you\s+are"
    r"|illegal|harmful|dangerous|offensive|explicit|nsfw|system|\btwo\b|\bboth\b|classic|forget|ignore|disregard|any\s+question"
    r"|regardless|no\s+matter|comply|obey|answer\s+(?:any|every|all)|inhibition|boundar|rules?\b"
)
_TURN = linear(
    r"(?im)^[\s#*>\[(-]{0,8}(?:(?P<person>user|human|person|customer|me)|(?P<model>assistant|ai|bot|chatbot|model|chatgpt|gpt-?4?|claude))[\s*\])]{0,4}:"
)


class Mark(NamedTuple):
    """One place of a prompt; `start` and `end` are -1 where it is the whole of it, or something decoded from it."""

    category: str
    start: int
    end: int


def marks(text: str) -> Iterator[Mark]:
    """All marks in a text, in no order.

    Args:
        text: any text; encodings are taken off two layers deep.
    """
    seen: set[str] = set()
    for mark in _plain_marks(text):
        seen.add(mark.category)
        yield mark
    yield from _dialogue(plain(text))
    try:
        hidden = {mark.category for number, one in enumerate(readings(text, _DEPTH)) if number for mark in _quick(one)}
    except TooMuch:
        hidden = {"encoded"}
    if hidden - seen:
        yield Mark("encoded", -1, -1)
        for category in sorted(hidden - seen - {"encoded"}):
            yield Mark(category, -1, -1)


def score(categories: frozenset[str]) -> int:
    """The points of these categories together, 100 at most."""
    return min(_MOST, sum(POINTS[one] for one in categories))


def _plain_marks(text: str) -> Iterator[Mark]:
    for mark in marks_in(text):
        yield Mark(_CATEGORIES[mark.rule], mark.start, mark.end)
    folded, places = placed(text)
    if _GATE.search(folded) is None:
        return
    for category, pattern in _COMPILED.items():
        for match in pattern.finditer(folded):
            start, end = match.span()
            if places is not None:
                start, end = places[start], places[end - 1] + 1
            yield Mark(category, start, end)


def _quick(decoded: str) -> Iterator[Mark]:
    # Pretences alone say nothing, and random bytes that look like text even less.
    return (mark for mark in _plain_marks(decoded) if mark.category not in ("pretence", "hidden"))


def _dialogue(text: str) -> Iterator[Mark]:
    persons = models = 0
    for match in _TURN.finditer(text):
        persons += match.group("person") is not None
        models += match.group("model") is not None
    if min(persons, models) >= _TURNS:
        yield Mark("dialogue", -1, -1)
        if min(persons, models) >= _MANY_TURNS:
            yield Mark("compel", -1, -1)
