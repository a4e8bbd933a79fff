"""What comes out of a cell: the reading of one page or document, checked against this shape before it is used."""

from __future__ import annotations

import re

import msgspec

# Control characters, and those that show nothing but may hide instructions: soft hyphen, zero-width and directional
# marks, invisible operators, the byte order mark, and tags. Joiners stay: scripts and emoji need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


class Reading(msgspec.Struct, frozen=True):
    """A page or document as it was understood.

    Attributes:
        title: its title, or nothing.
        text: the part of its text that was asked for.
        total_chars: length of the whole text, characters; for a document cut short, of what was read.
        complete: whether `total_chars` counts everything.
        links: (text, absolute URL), each URL once.
        pages: pages of a document; 0 for a web page.
        problem: why it could not be read, for people; empty where it could.
    """

    title: str = ""
    text: str = ""
    total_chars: int = 0
    complete: bool = True
    links: tuple[tuple[str, str], ...] = ()
    pages: int = 0
    problem: str = ""


def visible(text: str) -> str:
    """`text` without characters that a reader would not see (line ends and tabs stay)."""
    return _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str, limit: int) -> str:
    """`text` on one line, at most `limit` characters."""
    return " ".join(visible(text).split())[:limit]
