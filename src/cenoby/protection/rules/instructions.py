"""Marks of tool poisoning: text in results and descriptions that speaks to a model instead of informing it.

Patterns cannot understand language; they find the well-known forms in English, and hidden characters in any language.
What they miss is for taint and policy to hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cenoby.protection.rules.linear import linear, linear_bytes
from cenoby.protection.rules.spellings import placed, plain

_FILL = r"(?:(?:all|any|the|your|my|of|these|those|every|each|other|and|or|both|previously|given|provided)\s+){0,5}"
_WHAT = r"(?:instructions?|prompts?|directions?|directives?|rules?|commands?|guidelines?|guardrails?|safety\s+\w+)"
SECRETS = (
    r"(?:passwords?|credentials?|(?:api|access|secret|private|ssh|signing)[\s_-]*keys?|secrets?|(?:access\s+|auth\s+|session\s+)"
    r"?tokens?|cookies|chat\s+history|conversation(?:\s+history)?|system\s+prompt|environment\s+variables?|\.env\b"
    r"|id_rsa|bank\s+details|contents?\s+of\s+\S*(?:ssh|env|rsa|passwd)\S*)"
)
"""What is nobody else's business, as part of a pattern."""
_PATTERNS: Mapping[str, str] = {
    "injection.override": (
        rf"\b(?:ignore|disregard|forget|override|bypass|drop)\s+{_FILL}"
        rf"(?:previous|prior|above|earlier|preceding|foregoing|existing|original|initial|former|system|developer)\s+"
        rf"(?:(?:system|user|safety|and)\s+)*{_WHAT}"
        r"|\b(?:ignore|disregard|forget)\s+(?:everything|anything|all)\s+(?:that\s+)?(?:you\s+(?:were|have\s+been)\s+told"
        r"|(?:came\s+|said\s+|written\s+)?(?:before|above))"
        rf"|\b(?:your|the)\s+(?:new|real|actual|updated)\s+{_WHAT}\s+(?:are|is)\s*(?::|to\b|as\s+follows)"
        r"|\bfrom\s+now\s+on,?\s+you\s+(?:will|must|are|should|shall)\b"
        r"|\byou\s+are\s+now\s+(?:in\s+(?:developer|debug|admin|god|dan|jailbreak)\s+mode|dan\b|unrestricted|jailbroken)"
    ),
    "injection.role": (
        r"<\|\s*(?:im_start|im_end|im_sep|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id)\s*\|>"
        r"|\[/?INST\]|<</?SYS>>"
        r"|</?\s*(?:system|system[-_](?:prompt|reminder|message|note|instruction)s?|developer|assistant|tool[-_](?:result|"
        r"response|output|call|use)s?|function[-_](?:result|call|response)s?|important|critical|admin[-_]?\w*|"
        r"secret[-_]?\w*)\s*>"
        # At the front of a line, a sentence, or a text in JSON, which is looked at before texts are.
        r"|(?:^|[\n\"'.!?:])\s*(?:#{1,4}\s*)?(?:system|developer|admin)(?:\s+(?:message|prompt|note|override))?\s*:\s*"
        r"(?:you\s+(?:are|must|will|should|may)|ignore|disregard|forget|from\s+now|new\s+instructions?|the\s+user\s+(?:has|wants))"
    ),
    "injection.conceal": (
        r"\b(?:do\s+not|don['’]?t|never|must\s+not|should\s+not|without|avoid)\s+(?:ever\s+)?"
        r"(?:tell|telling|mention|mentioning|inform|informing|reveal|revealing|notify|notifying|alert|alerting|disclose|"
        r"disclosing|show|showing|let)\s+(?:(?:any\s+of\s+)?(?:this|that|it|these|about\s+it|about\s+this)\s+)?(?:to\s+)?"
        r"(?:(?:the|any|your)\s+(?:user|human|operator|person|owner|administrator)s?|anyone|anybody)\b"
    ),
    "injection.exfiltrate": (
        r"\b(?:send|post|forward|upload|e-?mail|exfiltrate|transmit|leak|submit|deliver|append|include|attach|pass|put)\s+"
        rf"(?:[\w'’./~-]+\s+){{0,6}}{SECRETS}(?:\s+[\w'’.,/~-]+){{0,8}}?\s+(?:to|at|into|in|as|via)\s+"
        r"(?:https?://|\S+@\S+|the\s+(?:url|following|query|note|sidenote|request|body|parameter|argument)|this\s+"
        r"(?:address|url|server|endpoint|webhook)|a\s+(?:parameter|query))"
    ),
    "injection.beacon": r"!\[[^\]\n]{0,200}\]\(https?://[^)\s]{1,200}[?&/][^)\s=]{0,64}=(?:\{|%7B|<|[A-Za-z0-9+/_%-]{40,})[^)\s]*\)",
    "injection.hidden": "[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]",
}
_COMPILED = {rule: linear(f"(?i){pattern}") for rule, pattern in _PATTERNS.items()}
_HIDDEN = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xE0000, 0xE0080))))
# On folded text, where quotes are left as they are and nothing hidden is.
_ANY = linear_bytes(
    "|".join(f"(?:(?i){pattern})".replace("’", "") for rule, pattern in _PATTERNS.items() if rule != "injection.hidden")
)


class Mark(NamedTuple):
    """Where a text speaks to a model: start and end in the text as it came, and the rule."""

    start: int
    end: int
    rule: str


def may_be_marked(json: bytes) -> bool:
    """Whether JSON may hold a mark; False is certain, True is not."""
    if not json.isascii():
        text = json.decode(errors="replace")
        if not _HIDDEN.isdisjoint(text):
            return True
        json = plain(text).encode(errors="replace")
    if b"\\" in json:
        json = json.replace(b"\\n", b"\n").replace(b"\\t", b"\t").replace(b"\\r", b"\r").replace(b'\\"', b'"')
    return _ANY.search(json) is not None


def marks_in(text: str) -> list[Mark]:
    """The marks in a text, in order; nothing overlaps."""
    found = [
        Mark(match.span()[0], match.span()[1], "injection.hidden")
        for match in _COMPILED["injection.hidden"].finditer(text)
    ]
    folded, places = placed(text)
    for rule, pattern in _COMPILED.items():
        if rule != "injection.hidden":
            for match in pattern.finditer(folded):
                start, end = match.span()
                if places is not None:
                    start, end = places[start], places[end - 1] + 1
                found.append(Mark(start, end, rule))
    found.sort(key=lambda mark: (mark.start, -mark.end))
    apart: list[Mark] = []
    for mark in found:
        if not apart or mark.start >= apart[-1].end:
            apart.append(mark)
    return apart
