"""What a model's answer must not hold: secrets, its own directive, addresses that carry data, and what acts as code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from cenoby.kernel.settings import RedactionSettings
from cenoby.protection.dlp.scan import DEFAULT_PERSONAL, SECRET_KINDS
from cenoby.protection.redact import Redactor
from cenoby.protection.rules.commands import destructive
from cenoby.protection.rules.instructions import marks_in
from cenoby.protection.rules.linear import linear
from cenoby.protection.rules.spellings import plain
from cenoby.protection.rules.statements import destructive_statements_in_command

LONGEST_LINE = 512
"""Characters of a line that are read as a command, and of any other find whose end could move."""
_URL = linear(r"(?i)https?:(?:/|\\)(?:/|\\)[^\s<>\"'`)\]}|]{4,}")
_LOADING_TAG = re.compile(r"<(?:img|iframe|embed|object|video|audio|source|link|script)\s", re.IGNORECASE)
_LOOK_BACK = 260
_IMAGE_VALUE, _LINK_VALUE, _SEGMENT, _LABEL = 16, 64, 64, 40
_DENSE = re.compile(r"[A-Za-z0-9+/_=%-]+")
_TOOL_CALL = linear(
    r"\{\s{0,16}\"(?:name|function|tool|tool_name|recipient_name)\"\s{0,4}:\s{0,4}\"[\w.:/-]{1,80}\"\s{0,4},\s{0,16}"
    r"\"(?:arguments|parameters|args|input|tool_input|params)\"\s{0,4}:"
    r"|\"(?:tool_calls|function_call|tool_uses)\"\s{0,4}:\s{0,4}[\[{]"
    r"|<(?:tool_call|tool_use|function_calls?|function=[\w.]{1,64}|invoke\s[^>]{1,100}|antml:invoke[^>]{0,100})>"
    r"|<\|(?:python_tag|tool_call|tool_calls_section_begin|tool_call_begin)\|>|\[TOOL_CALLS\]"
)
_MAY_DESTROY = linear(
    r"(?i)\brm\s+-|\brm\s+(?:\S+\s+)?-|remove-item|mkfs|mke2fs|of=/dev|wipefs|shred\s|blkdiscard|\(\)\s*\{|push\s|reset\s+--hard|git\s+clean"
    r"|chmod\s|rmtree|rimraf|\s-delete|>\s*/dev/|\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|(?:^|\s)(?:del|erase|rd|format)\s"
    r"|\bdrop\s|\btruncate\s|\bdelete\s|\bupdate\s"
)
_PROMPT_SIGN = re.compile(r"^\s*(?:[-*+]\s+|\d+[.)]\s+)?(?:[$#>%]\s+|```\w*\s*|`)?")


class Place(NamedTuple):
    """One place of an answer, the category of what is there, and what stands there instead where it is blacked out."""

    start: int
    end: int
    category: str
    kind: str = ""


class AnswerRules:
    """Looks for everything but what depends on the prompt."""

    def __init__(self) -> None:
        self._data = Redactor(
            RedactionSettings.model_validate({"secrets": True, "personal_data": list(DEFAULT_PERSONAL)})
        )

    def places(self, text: str, known: str) -> Iterator[Place]:
        """The places, in no order; they may overlap.

        Args:
            text: the answer, or what there is of it.
            known: the prompt: an address that it holds carries nothing out.
        """
        for start, end, kind in self._data.spans(text):
            yield Place(start, end, "secret" if kind in SECRET_KINDS else "personal", kind)
        for mark in marks_in(text):
            if mark.end - mark.start <= LONGEST_LINE:
                yield Place(mark.start, mark.end, "data_url" if mark.rule == "injection.beacon" else "instruction")
        for match in _TOOL_CALL.finditer(text):
            yield Place(*match.span(), "tool_call")
        yield from _data_urls(text, known)
        yield from _destructive_lines(text)


def _data_urls(text: str, known: str) -> Iterator[Place]:
    for match in _URL.finditer(text):
        start, end = match.span()
        url = text[start:end].rstrip(".,;:!?")
        if url not in known and _carries(url, _is_loaded(text[max(0, start - _LOOK_BACK) : start]), known):
            yield Place(start, start + len(url), "data_url")


def _is_loaded(before: str) -> bool:
    """Whether who shows the text loads the address that follows without a click: it is an image or the like."""
    head = before.rstrip(" <\"'")
    if head.endswith("]("):
        # Of nested brackets the outermost counts: [![alt](image)](link).
        return "![" in head.rpartition("\n")[2]
    if head.endswith("]:") or head.lower().endswith("url("):
        return True
    tag = before.rfind("<")
    return tag >= 0 and ">" not in before[tag:] and _LOADING_TAG.match(before, tag) is not None


def _carries(url: str, loaded: bool, known: str) -> bool:
    """Whether an address may carry data: one that is loaded by itself (an image) less than one that is clicked."""
    try:
        parts = urlsplit(url.replace("\\", "/"))
        labels = (parts.hostname or "").split(".")
    except ValueError:
        return loaded
    if any(len(label) > _LABEL for label in labels):
        return True
    values = [value for pair in parse_qsl(parts.query, keep_blank_values=True) for value in pair]
    values += [parts.query, unquote(parts.fragment)] if "=" not in parts.query else [unquote(parts.fragment)]
    if any(_is_data(value, known, _IMAGE_VALUE if loaded else _LINK_VALUE) for value in values):
        return True
    return any(_is_data(unquote(one), known, _SEGMENT, segment=True) for one in parts.path.split("/"))


def _is_data(value: str, known: str, most: int, *, segment: bool = False) -> bool:
    if len(value) >= _IMAGE_VALUE and value in known:
        return True
    if len(value) < most:
        return False
    if not segment:
        return True
    # Titles in paths are long, too, but they are words between hyphens.
    return _DENSE.fullmatch(value) is not None and max(map(len, re.split(r"[-_.]", value))) >= _LABEL


def _destructive_lines(text: str) -> Iterator[Place]:
    if _MAY_DESTROY.search(text) is None:
        return
    start = 0
    for line in text.split("\n"):
        head = line[:LONGEST_LINE]
        if _MAY_DESTROY.search(head) is not None and _destroys(head):
            yield Place(start, start + len(head), "destructive")
        start += len(line) + 1


def _destroys(line: str) -> bool:
    command = plain(_PROMPT_SIGN.sub("", line, count=1)).rstrip("`")
    return (
        next(destructive(command), None) is not None
        or next(destructive_statements_in_command(command), None) is not None
        or any(next(destructive(one), None) is not None for one in _INLINE.findall(line))
    )


_INLINE = re.compile(r"`([^`\n]{4,200})`")
