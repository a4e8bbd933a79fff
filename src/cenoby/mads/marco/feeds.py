"""Sandbox task: XML as text with its links: feeds (RSS, Atom) and sitemaps by their entries. Runs in a cell.

No document type is accepted, so that there are no entities: neither those that unfold without end nor those that read
files or URLs. What declares one is not read at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from cenoby.mads.marco.charset import decode_page
from cenoby.mads.marco.pages import absolute, read_html
from cenoby.mads.marco.parsed import Reading, one_line, visible

_LONGEST_TITLE = 500
_LONGEST_SUMMARY = 2000
_MOST_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class _Entry:
    title: str
    link: str
    when: str
    summary: str


def read_xml(body: bytes, url: str, charset: str, start: int, max_chars: int, max_links: int) -> Reading:
    """Entries of a feed or sitemap, one a paragraph; of other XML the text as it stands.

    XML that is damaged, or declares a document type, gives a `problem`.
    """
    text = decode_page(body, charset)
    try:
        root: Element = fromstring(text, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException:
        return Reading(problem="it declares a document type (DTD), in which entities could do harm; none is read")
    except (ParseError, ValueError) as error:
        return Reading(problem=f"the XML is damaged ({one_line(str(error), 200)})")
    read = _READERS.get(_name(root))
    if read is None:
        plain = visible(text)
        return Reading(text=plain[start : start + max_chars], total_chars=len(plain))
    entries = list(_first(read(root)))
    whole = "\n\n".join(_paragraph(entry) for entry in entries)
    links: dict[str, str] = {}
    for entry in entries:
        place = absolute(url, entry.link)
        if place and len(links) < max_links:
            links.setdefault(place, entry.title)
    return Reading(
        title=_title(root),
        text=whole[start : start + max_chars],
        total_chars=len(whole),
        complete=len(entries) < _MOST_ENTRIES,
        links=tuple((label, place) for place, label in links.items()),
    )


def _first(entries: Iterator[_Entry]) -> Iterator[_Entry]:
    for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False):
        yield entry


def _entries_of_rss(root: Element) -> Iterator[_Entry]:
    for item in _all(root, "item"):
        summary = _text(item, "description") or _text(item, "encoded")
        when = _text(item, "pubDate") or _text(item, "date")
        yield _Entry(_text(item, "title"), _text(item, "link"), when, _plain(summary))


def _entries_of_atom(root: Element) -> Iterator[_Entry]:
    for item in _all(root, "entry"):
        links = [one for one in item if _name(one) == "link" and one.get("rel", "alternate") == "alternate"]
        link = links[0].get("href", "") if links else ""
        summary = _text(item, "summary") or _text(item, "content")
        yield _Entry(_text(item, "title"), link, _text(item, "updated"), _plain(summary))


def _entries_of_sitemap(root: Element) -> Iterator[_Entry]:
    for item in root:
        if _name(item) in ("url", "sitemap"):
            yield _Entry("", _text(item, "loc"), _text(item, "lastmod"), "")


_READERS: dict[str, Callable[[Element], Iterator[_Entry]]] = {
    "rss": _entries_of_rss,
    "RDF": _entries_of_rss,
    "feed": _entries_of_atom,
    "urlset": _entries_of_sitemap,
    "sitemapindex": _entries_of_sitemap,
}


def _paragraph(entry: _Entry) -> str:
    head = " | ".join(part for part in (entry.title, entry.when, one_line(entry.link, 4096)) if part)
    return f"{head}\n{entry.summary}".strip()


def _title(root: Element) -> str:
    channel = next(_all(root, "channel"), root)
    return _text(channel, "title")


def _all(root: Element, name: str) -> Iterator[Element]:
    return (one for one in root.iter() if _name(one) == name)


def _text(parent: Element, name: str) -> str:
    found = next((one for one in parent if _name(one) == name), None)
    return "" if found is None else one_line("".join(found.itertext()), _LONGEST_TITLE if name == "title" else 20_000)


def _plain(summary: str) -> str:
    if "<" not in summary:
        return one_line(summary, _LONGEST_SUMMARY)
    return one_line(read_html(summary.encode(), "", "utf-8", 0, _LONGEST_SUMMARY, 0).text, _LONGEST_SUMMARY)


def _name(element: Element) -> str:
    # Comments and instructions have a function for a name.
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""  # pyright: ignore


if read_xml(b"<rss><channel><title>a</title></channel></rss>", "", "", 0, 1, 0).title != "a":
    raise ImportError("the XML parser does not read the sample feed")
