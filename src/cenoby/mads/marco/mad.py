"""Marco, the web: fetches pages and documents through the egress guard and opens them in the sandbox alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Annotated, ClassVar

from pydantic import Field

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool
from cenoby.kernel.errors import InvalidInput
from cenoby.mads.marco.parsed import Reading
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_answer import Fetched
from cenoby.protection.egress_rules.sender import Sender
from cenoby.sandbox.cell import Sandbox

SANDBOX_MODULES = ("cenoby.mads.marco.pages", "cenoby.mads.marco.documents")
"""The modules that Marco's sandbox must be able to load."""

_ACCEPT = "text/html, application/xhtml+xml, application/pdf;q=0.9, text/*;q=0.8, application/json;q=0.7, */*;q=0.1"
_TEXT_TYPES = frozenset(
    {"application/json", "application/xml", "application/javascript", "application/x-yaml", "application/yaml"}
)  # fmt: skip
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})

Url = Annotated[str, Field(description="Address of the page, http:// or https://.", min_length=1, max_length=8192)]
MaxLinks = Annotated[int, Field(description="Most links to return.", ge=0, le=1000)]


class PageUnreadable(InvalidInput):
    """Something was fetched that is no readable page or document."""

    codes = {
        "page_type_unsupported": "What answered is neither a web page, nor text, nor a PDF document.",
        "page_unreadable": "The document is damaged, or protected by a password.",
    }


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page: its visible text and its absolute address."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Page:
    """A fetched page or document.

    Attributes:
        url: address that answered, after redirects.
        status: HTTP status; an error page is a page too.
        content_type: as the server said, without parameters.
        title: title of the page or document.
        text: readable text, from the character that was asked for.
        total_chars: characters of the whole text, or for a document read in part, of the pages read so far.
        next_start: `start` for the next part; null at the end.
        pages: pages of a document; 0 for a web page.
        links: links with absolute addresses, each address once.
        redirects: addresses on the way, in order.
    """

    url: str
    status: int
    content_type: str
    title: str
    text: str
    total_chars: int
    next_start: int | None
    pages: int
    links: list[Link]
    redirects: list[str]


@dataclass(frozen=True, slots=True)
class Links:
    """The links of a page or document; fields as in a fetched page."""

    url: str
    status: int
    title: str
    links: list[Link]


class Marco(Mad):
    """The web, always contained: bytes come in through the guard, and only a cell looks into them."""

    name: ClassVar[str] = "marco"
    summary: ClassVar[str] = "Reads web pages and PDF documents, in the sandbox."

    def __init__(self, *, egress: EgressGuard, sandbox: Sandbox) -> None:
        self._egress = egress
        self._sandbox = sandbox

    @tool(action="web:fetch", effect="outside", idempotent=True, title="Fetch a page", timeout=60)
    async def fetch(
        self,
        call: Call,
        url: Url,
        max_chars: Annotated[int, Field(description="Most characters of text.", ge=1, le=200_000)] = 20_000,
        start: Annotated[int, Field(description="First character of text, to read on.", ge=0)] = 0,
        max_links: MaxLinks = 200,
    ) -> Page:
        """Fetch a web page or PDF document and return its readable text, title and links.

        Addresses inside the machine or its network are refused.
        """
        fetched, reading = await self._open(call.sender, url, start, max_chars, max_links)
        end = start + len(reading.text)
        return Page(
            url=fetched.url,
            status=fetched.status,
            content_type=_content_type(fetched.headers)[0],
            title=reading.title,
            text=reading.text,
            total_chars=reading.total_chars,
            next_start=end if end < reading.total_chars or not reading.complete else None,
            pages=reading.pages,
            links=[Link(text, target) for text, target in reading.links],
            redirects=list(fetched.hops[:-1]),
        )

    @tool(action="web:fetch", effect="outside", idempotent=True, title="List a page's links", timeout=60)
    async def links(self, call: Call, url: Url, max_links: MaxLinks = 1000) -> Links:
        """Fetch a web page or PDF document and return its links alone, absolute, each address once."""
        fetched, reading = await self._open(call.sender, url, 0, 1, max_links)
        links = [Link(text, target) for text, target in reading.links]
        return Links(url=fetched.url, status=fetched.status, title=reading.title, links=links)

    async def _open(self, by: Sender, url: str, start: int, max_chars: int, max_links: int) -> tuple[Fetched, Reading]:
        fetched = await self._egress.fetch("GET", url, {"Accept": _ACCEPT}, by=by)
        kind, charset = _content_type(fetched.headers)
        limits = {"start": start, "max_chars": max_chars, "max_links": max_links}
        if kind == "application/pdf" or fetched.body.startswith(b"%PDF-"):
            task, arguments = "cenoby.mads.marco.documents:read_pdf", limits
        else:
            task = f"cenoby.mads.marco.pages:{_reader(kind, fetched.body)}"
            arguments = limits | {"url": fetched.url, "charset": charset}
        reading: Reading = await self._sandbox.call(task, arguments | {"body": fetched.body}, returns=Reading)
        if reading.problem:
            raise PageUnreadable("page_unreadable", f"{fetched.url} cannot be read: {reading.problem}.")
        return fetched, reading


def _content_type(headers: Mapping[str, str]) -> tuple[str, str]:
    message = Message()
    message["content-type"] = headers.get("content-type", "")
    return message.get_content_type() if headers.get("content-type") else "", message.get_content_charset() or ""


def _reader(kind: str, body: bytes) -> str:
    head = body[:512].lstrip().lower()
    if kind in _HTML_TYPES or (not kind and head.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))):
        return "read_html"
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml")) or (not kind and not body):
        return "read_text"
    if not kind and b"\x00" not in body[:4096]:
        return "read_text"
    raise PageUnreadable(
        "page_type_unsupported",
        f"{kind or 'What answered'} is no page, text or PDF document; there is nothing to read.",
    )
