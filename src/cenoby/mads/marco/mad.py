"""Marco, the web: fetches pages and documents through the egress guard and opens them in the sandbox alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Annotated, ClassVar

from pydantic import Field

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.stages.files import file_refused
from cenoby.colony.tool import tool
from cenoby.kernel.errors import InvalidInput
from cenoby.kernel.events import by_name
from cenoby.kernel.settings_files import FileSettings
from cenoby.mads.marco.parsed import Reading
from cenoby.mads.marco.readers import EXAMINE_ARCHIVE, READ_PDF, is_archive, listed, reader_of
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_answer import Fetched
from cenoby.protection.files.archives import Listing
from cenoby.protection.files.checker import FileChecker
from cenoby.protection.files.errors import FileForbidden
from cenoby.protection.files.events import FileRefused
from cenoby.sandbox.cell import Sandbox

_ACCEPT = "text/html, application/xhtml+xml, application/pdf;q=0.9, text/*;q=0.8, application/json;q=0.7, */*;q=0.1"
_LARGEST_MEMBER = 4 * 1024 * 1024
Url = Annotated[str, Field(description="Address of the page, http:// or https://.", min_length=1, max_length=8192)]
MaxLinks = Annotated[int, Field(description="Most links to return.", ge=0, le=1000)]


class PageUnreadable(InvalidInput):
    """Something was fetched that is no readable page or document."""

    codes = {
        "page_type_unsupported": "What answered is neither a web page, nor text, nor an archive, nor a PDF document.",
        "page_unreadable": "The document is damaged, protected by a password, or made to do harm; the message says it.",
        "page_member_missing": "There is no such file in the archive, or it is no archive.",
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
    events = by_name(FileRefused)
    summary: ClassVar[str] = "Reads web pages and PDF documents, in the sandbox."

    def __init__(self, *, egress: EgressGuard, sandbox: Sandbox, files: FileSettings | None = None) -> None:
        self._egress = egress
        self._sandbox = sandbox
        self._files = files or FileSettings()
        self._checker = FileChecker(self._files, sandbox.call)

    @tool(action="web:fetch", effect="outside", idempotent=True, title="Fetch a page", timeout=60)
    async def fetch(
        self,
        call: Call,
        url: Url,
        max_chars: Annotated[int, Field(description="Most characters of text.", ge=1, le=200_000)] = 20_000,
        start: Annotated[int, Field(description="First character of text, to read on.", ge=0)] = 0,
        max_links: MaxLinks = 200,
        member: Annotated[str, Field(description="Path of a file in an archive, as listed.", max_length=1000)] = "",
    ) -> Page:
        """Fetch a web page, feed, archive or PDF document and return its readable text, title and links.

        Of an archive, the text lists its files, and `member` reads one of them. Addresses inside the machine or its
        network are refused.
        """
        fetched, reading = await self._open(call, url, start, max_chars, max_links, member)
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
        fetched, reading = await self._open(call, url, 0, 1, max_links)
        links = [Link(text, target) for text, target in reading.links]
        return Links(url=fetched.url, status=fetched.status, title=reading.title, links=links)

    async def _open(
        self, call: Call, url: str, start: int, max_chars: int, max_links: int, member: str = ""
    ) -> tuple[Fetched, Reading]:
        fetched = await self._egress.fetch("GET", url, {"Accept": _ACCEPT}, by=call.sender)
        kind, charset = _content_type(fetched.headers)
        body = fetched.body
        archive = is_archive(kind, body)
        if not archive and reader_of(kind, body) is None:
            raise _unsupported(kind)
        # An archive is looked into by whoever lists it, within the same bounds.
        await self._check(call, body, kind, inside=not archive)
        if archive:
            listing = await self._unpacked(fetched, member)
            if not member:
                return fetched, listed(listing, start, max_chars)
            body, kind, charset = listing.wanted or b"", "", ""
            await self._check(call, body, "", inside=True)
        elif member:
            raise PageUnreadable("page_member_missing", f"{fetched.url} is no archive; leave `member` out.")
        task = reader_of(kind, body)
        if task is None:
            raise _unsupported(kind)
        limits = {"start": start, "max_chars": max_chars, "max_links": max_links}
        told = limits if task == READ_PDF else limits | {"url": fetched.url, "charset": charset}
        reading: Reading = await self._sandbox.call(task, told | {"body": body}, returns=Reading)
        if reading.problem:
            raise PageUnreadable("page_unreadable", f"{fetched.url} cannot be read: {reading.problem}.")
        return fetched, reading

    async def _check(self, call: Call, body: bytes, kind: str, *, inside: bool) -> None:
        try:
            await self._checker.check("fetched", body, kind, inside=inside)
        except FileForbidden as error:
            await call.note(file_refused("fetched", call.tool, call.invocation, body, error))
            raise

    async def _unpacked(self, fetched: Fetched, member: str) -> Listing:
        arguments = {
            "body": fetched.body,
            "limits": self._files.archives.model_dump(),
            "wanted": member,
            "largest_wanted": _LARGEST_MEMBER,
        }
        listing: Listing = await self._sandbox.call(EXAMINE_ARCHIVE, arguments, returns=Listing)
        if listing.problem:
            raise PageUnreadable("page_unreadable", f"{fetched.url} is not opened: {listing.problem}.")
        if member and listing.wanted is None:
            raise PageUnreadable(
                "page_member_missing", f"{fetched.url} holds no file {member!r}; fetch it without `member` for a list."
            )
        return listing


def _unsupported(kind: str) -> PageUnreadable:
    return PageUnreadable(
        "page_type_unsupported",
        f"{kind or 'What answered'} is no page, text, archive or PDF document; there is nothing to read.",
    )


def _content_type(headers: Mapping[str, str]) -> tuple[str, str]:
    message = Message()
    message["content-type"] = headers.get("content-type", "")
    return message.get_content_type() if headers.get("content-type") else "", message.get_content_charset() or ""
