"""Sandbox tasks: a web page, or plain text, as clean text with its links. Runs in a cell, on untrusted bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from cenoby.mads.marco.charset import decode_page
from cenoby.mads.marco.parsed import Reading, one_line, visible

_LONGEST_TITLE = 500
_LONGEST_LINK_TEXT = 200
_LONGEST_URL = 4096
_SCHEMES = frozenset({"http", "https", "mailto"})

# Elements whose content nobody reads on the page.
_SILENT = frozenset(
    {"head", "script", "style", "template", "noframes", "iframe", "object", "embed", "applet", "svg", "math",
     "canvas", "audio", "video", "map", "datalist", "select", "textarea", "dialog"}
)  # fmt: skip
_PARAGRAPHS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "section", "article",
     "header", "footer", "nav", "aside", "main", "form", "fieldset", "figure", "hr", "details", "address"}
)  # fmt: skip
_LINES = frozenset(
    {"div", "li", "tr", "dt", "dd", "caption", "figcaption", "summary", "legend", "option", "center", "body", "hgroup"}
)
_HIDING_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])"
)


def read_html(body: bytes, url: str, charset: str, start: int, max_chars: int, max_links: int) -> Reading:
    """The readable text of an HTML page from character `start` on, its title, and its links made absolute.

    Text of scripts, styles, embedded objects and elements hidden by their own attributes is left out.
    """
    tree = LexborHTMLParser(decode_page(body, charset))
    root = tree.root
    if root is None:
        return Reading()
    title = tree.css_first("head > title")
    base = tree.css_first("base[href]")
    place = absolute(url, (base.attributes.get("href") or "") if base else "") or url
    text = _Layout().run(root)
    return Reading(
        title=one_line(title.text(), _LONGEST_TITLE) if title else "",
        text=text[start : start + max_chars],
        total_chars=len(text),
        links=tuple(_links(tree, place, max_links)),
    )


def read_text(body: bytes, url: str, charset: str, start: int, max_chars: int, max_links: int) -> Reading:
    """Plain text, JSON, XML and the like as they are, without invisible characters."""
    del url, max_links
    text = visible(decode_page(body, charset))
    return Reading(text=text[start : start + max_chars], total_chars=len(text))


def _links(tree: LexborHTMLParser, place: str, limit: int) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for node in tree.css("a[href], area[href]"):
        if len(seen) == limit:
            return
        url = absolute(place, node.attributes.get("href") or "")
        if url and url not in seen and url != place:
            seen.add(url)
            label = node.text() or node.attributes.get("title") or node.attributes.get("aria-label") or ""
            yield one_line(label or _picture_text(node), _LONGEST_LINK_TEXT), url


def _picture_text(node: LexborNode) -> str:
    picture = node.css_first("img[alt]")
    return (picture.attributes.get("alt") or "") if picture else (node.attributes.get("alt") or "")


def absolute(place: str, reference: str) -> str:
    """The URL that `reference` means on a page at `place`; empty where nobody should follow it."""
    plain = visible(reference).strip().replace("\n", "").replace("\t", "")
    if not plain or plain.startswith("#"):
        return ""
    try:
        url = urljoin(place, plain)
        scheme = urlsplit(url).scheme
    except ValueError:
        return ""
    return url if scheme in _SCHEMES and len(url) <= _LONGEST_URL else ""


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    if "hidden" in attributes:
        return True
    style = attributes.get("style")
    return style is not None and _HIDING_STYLE.search(style.lower()) is not None


class _Layout:
    """Lays a tree out as lines, as a text browser would; without recursion, for pages nest deeper than the stack."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._lines = 0
        self._gap = ""
        self._bullet = ""
        self._preformatted = 0

    def run(self, root: LexborNode) -> str:
        node: LexborNode | None = root
        entered: list[str] = []
        while node is not None:
            if self._enter(node):
                entered.append(node.tag or "")
                if node.first_child is not None:
                    node = node.first_child
                    continue
                self._leave(entered.pop())
            while entered and node is not None and node.next is None:
                node = node.parent
                self._leave(entered.pop())
            node = node.next if entered and node is not None else None
        return "".join(self._parts).strip()

    def _enter(self, node: LexborNode) -> bool:
        tag = node.tag or "-"
        if tag == "-text":
            self._text(visible(node.text_content or ""))
        if tag.startswith("-") or tag in _SILENT or _is_hidden(node):
            return False
        self._break_line(tag)
        if tag == "br":
            self._lines = min(self._lines + 1, 2)
        elif tag == "img":
            self._text(one_line(node.attributes.get("alt") or "", _LONGEST_LINK_TEXT))
        elif tag == "li":
            self._bullet = "- "
        elif tag in ("td", "th"):
            self._gap = "\t"
        self._preformatted += tag == "pre"
        return True

    def _leave(self, tag: str) -> None:
        self._preformatted -= tag == "pre"
        self._break_line(tag)

    def _break_line(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._lines = 2
        elif tag in _LINES:
            self._lines = max(self._lines, 1)

    def _text(self, text: str) -> None:
        words = text.split()
        if self._preformatted and text:
            self._put(text)
        elif not words:
            self._gap = self._gap or (" " if text else "")
        else:
            if text[0].isspace():
                self._gap = self._gap or " "
            self._put(" ".join(words))
            self._gap = " " if text[-1].isspace() else ""

    def _put(self, text: str) -> None:
        if self._lines:
            self._parts.append("\n" * self._lines if self._parts else "")
        elif self._parts:
            self._parts.append(self._gap)
        self._parts += [self._bullet, text]
        self._lines, self._gap, self._bullet = 0, "", ""
