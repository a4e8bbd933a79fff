"""Sandbox task: a PDF document as text with its links. Runs in a cell, on untrusted bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

from pypdf import PageObject, PdfReader
from pypdf.errors import FileNotDecryptedError, PyPdfError, WrongPasswordError

from cenoby.mads.marco.charset import load_decoders
from cenoby.mads.marco.parsed import Reading, one_line, visible

_LONGEST_TITLE = 500
_LONGEST_URL = 4096
_MOST_PAGES = 2000

# The smallest document with text: reading it makes the library load what it otherwise loads when first needed.
_SAMPLE = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 27>>stream
BT /F 9 Tf 9 9 Td (a) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
startxref
0
%%EOF
"""


def read_pdf(body: bytes, start: int, max_chars: int, max_links: int) -> Reading:
    """The text of a PDF document from character `start` on, until `max_chars` are found, with its title and web links.

    A document that cannot be read gives a `problem`.
    """
    try:
        return _read(PdfReader(io.BytesIO(body)), start, max_chars, max_links)
    except (FileNotDecryptedError, WrongPasswordError):
        return Reading(problem="the document is protected by a password")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - on damaged documents the library raises whatever comes up
        return Reading(problem=f"the document is damaged ({type(error).__name__}: {one_line(str(error), 200)})")


def _read(reader: PdfReader, start: int, max_chars: int, max_links: int) -> Reading:
    parts: list[str] = []
    size = 0
    links: dict[str, str] = {}
    pages = len(reader.pages)
    read = 0
    for page in reader.pages[:_MOST_PAGES]:
        text = visible(page.extract_text()).strip() + "\n\n"
        parts.append(text)
        size += len(text)
        read += 1
        for url in _links(page):
            if len(links) < max_links:
                links.setdefault(url, f"page {read}")
        if size > start + max_chars:
            break
    text = "".join(parts).rstrip()
    return Reading(
        title=_title(reader),
        text=text[start : start + max_chars],
        total_chars=len(text),
        complete=read == pages,
        links=tuple((label, url) for url, label in links.items()),
        pages=pages,
    )


def _title(reader: PdfReader) -> str:
    try:
        found = reader.metadata.title if reader.metadata else None
    except (PyPdfError, ValueError, TypeError, AttributeError):
        return ""  # a broken title is no reason not to read the text
    return one_line(str(found or ""), _LONGEST_TITLE)


def _links(page: PageObject) -> Iterator[str]:
    for annotation in page.annotations or ():
        entry = cast(dict[str, Any], annotation.get_object())
        action = entry.get("/A")
        url = action.get_object().get("/URI") if action is not None else None
        if isinstance(url, str | bytes):
            plain = one_line(url if isinstance(url, str) else url.decode("utf-8", "replace"), _LONGEST_URL)
            if plain.startswith(("http://", "https://", "mailto:")):
                yield plain


load_decoders()
if read_pdf(_SAMPLE, 0, 10, 0).text != "a":
    raise ImportError("the PDF library does not read the sample document")
