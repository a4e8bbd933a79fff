"""Which sandbox task reads what was fetched: by what the server says it is, and by its first bytes."""

from __future__ import annotations

from cenoby.mads.marco.parsed import Reading
from cenoby.protection.files.archives import Listing
from cenoby.protection.files.checker import SANDBOX_MODULES as FILE_MODULES
from cenoby.protection.files.kinds import ARCHIVES, OOXML, kinds_of

SANDBOX_MODULES = (
    "cenoby.mads.marco.pages",
    "cenoby.mads.marco.feeds",
    "cenoby.mads.marco.documents",
    *FILE_MODULES,
)
"""The modules that the sandbox of Marco, and of the checker of files, must be able to load."""

READ_PDF = "cenoby.mads.marco.documents:read_pdf"
EXAMINE_ARCHIVE = "cenoby.protection.files.archives:examine_archive"
_READ_HTML = "cenoby.mads.marco.pages:read_html"
_READ_TEXT = "cenoby.mads.marco.pages:read_text"
_READ_XML = "cenoby.mads.marco.feeds:read_xml"
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_XML_TYPES = frozenset({"text/xml", "application/xml"})
_TEXT_TYPES = frozenset({"application/json", "application/javascript", "application/x-yaml", "application/yaml"})
_UNTYPED = frozenset({"", "application/octet-stream", "binary/octet-stream"})


def is_archive(kind: str, body: bytes) -> bool:
    """Whether it is an archive by its bytes, and nothing else by what is said of it."""
    found = next((one for one in kinds_of(body) if one in ARCHIVES and one is not OOXML), None)
    return found is not None and (kind in _UNTYPED or any(kind == one.name or kind in one.others for one in ARCHIVES))


def reader_of(kind: str, body: bytes) -> str | None:
    """The task; None where there is none that reads such a thing."""
    if kind == "application/pdf" or body.startswith(b"%PDF-"):
        return READ_PDF
    head = body[:512].lstrip().lower()
    if kind in _HTML_TYPES or (not kind and head.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))):
        return _READ_HTML
    if kind in _XML_TYPES or kind.endswith("+xml") or (not kind and head.startswith(b"<?xml")):
        return _READ_XML
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith("+json") or (not kind and not body):
        return _READ_TEXT
    return _READ_TEXT if not kind and b"\x00" not in body[:4096] else None


def listed(listing: Listing, start: int, max_chars: int) -> Reading:
    """What an archive holds, a line for each file: path, bytes, type."""
    lines = [f"{len(listing.members)} files, {sum(one.size for one in listing.members)} bytes"]
    lines += [f"{one.path!r}\t{one.size}\t{one.kind}" for one in listing.members]
    text = "\n".join(lines)
    return Reading(text=text[start : start + max_chars], total_chars=len(text))
