"""Sandbox tasks: whether a document holds something that acts when it is opened. Run in a cell, on untrusted bytes."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import Any, cast
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, WrongPasswordError
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject
from selectolax.lexbor import LexborHTMLParser

from cenoby.protection.files.acting import Acting

_MOST_OBJECTS = 100_000
_PDF_KEYS = {
    "/JS": "script",
    "/JavaScript": "script",
    "/XFA": "script",
    "/EmbeddedFiles": "embedded",
    "/EF": "embedded",
}
_PDF_ACTIONS = {
    "/JavaScript": "script", "/Rendition": "script", "/Launch": "launch", "/ImportData": "launch",
    "/SubmitForm": "launch", "/GoToE": "embedded",
}  # fmt: skip
_SCRIPTED = frozenset({"script", "foreignObject", "iframe", "embed", "object", "handler"})
_LINKS = frozenset({"href", "src", "data", "action", "formaction"})
_HARMFUL_LINKS = ("javascript:", "vbscript:", "data:text/html", "data:image/svg")


def active_in_pdf(body: bytes) -> Acting:
    """Scripts, programs that are launched, forms that are sent, and files within, anywhere among a PDF's objects."""
    try:
        reader = PdfReader(io.BytesIO(body))
        if reader.is_encrypted:
            return Acting(problem="it is protected by a password")
        return Acting(tuple(sorted(set(_acting(reader)))))
    except (FileNotDecryptedError, WrongPasswordError):
        return Acting(problem="it is protected by a password")
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # noqa: BLE001 - on damaged documents the library raises whatever comes up
        return Acting(problem=f"it is damaged ({type(error).__name__})")


def _acting(reader: PdfReader) -> Iterator[str]:
    left = [cast(Any, reader.trailer)]
    seen: set[tuple[int, int]] = set()
    looked = 0
    while left:
        looked += 1
        if looked > _MOST_OBJECTS:
            raise ValueError("more objects than anybody looks at")
        one = left.pop()
        if isinstance(one, IndirectObject):
            if (one.idnum, one.generation) in seen:
                continue
            seen.add((one.idnum, one.generation))
            one = one.get_object()
        if isinstance(one, DictionaryObject):
            yield from _acting_keys(one)
            left += one.values()
        elif isinstance(one, ArrayObject):
            left += cast(list[Any], one)


def _acting_keys(one: DictionaryObject) -> Iterator[str]:
    for key in one:
        if key in _PDF_KEYS:
            yield _PDF_KEYS[cast(str, key)]
    action = one.raw_get("/S") if "/S" in one else None
    if isinstance(action, IndirectObject):
        action = action.get_object()
    if isinstance(action, str) and action in _PDF_ACTIONS:
        yield _PDF_ACTIONS[action]


def active_in_svg(body: bytes) -> Acting:
    """Scripts, event handlers, pages within, and links that run something, in a picture made of XML."""
    try:
        root: Element = fromstring(body, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException:
        return Acting(problem="it declares a document type (DTD), in which entities could do harm")
    except (ParseError, ValueError, LookupError) as error:
        return Acting(problem=f"it is damaged ({type(error).__name__})")
    return Acting(("script",) if any(_acts(one.tag, one.attrib) for one in root.iter()) else ())


def active_in_html(body: bytes) -> Acting:
    """Scripts, event handlers, frames, and links that run something, in a page."""
    tree = LexborHTMLParser(body)
    acts = any(_acts(one.tag or "", {k: v or "" for k, v in one.attributes.items()}) for one in tree.css("*"))
    return Acting(("script",) if acts else ())


def _acts(tag: Any, attributes: dict[str, str]) -> bool:
    name = tag.rpartition("}")[2] if isinstance(tag, str) else ""
    if name in _SCRIPTED:
        return True
    for key, value in attributes.items():
        plain = key.rpartition("}")[2].lower()
        target = "".join(value.split()).lower()
        if plain.startswith("on") or (plain in _LINKS and target.startswith(_HARMFUL_LINKS)):
            return True
        # An animation may set a link later on.
        if plain in ("to", "values", "from") and "javascript:" in target:
            return True
    return False


# The smallest document: reading it makes the library load what it otherwise loads when first needed.
_SAMPLE = b"""%PDF-1.4
1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(a)>>>>endobj
trailer<</Root 1 0 R/Size 2>>
startxref
0
%%EOF
"""


def _load() -> None:
    for name in ("utf-8", "gbk", "latin-1", "ascii", "charmap", "cp1252", "utf-16", "utf-16-be", "utf-16-le"):
        codecs.lookup(name)
    if active_in_pdf(_SAMPLE).found != ("script",):
        raise ImportError("the PDF library does not read the sample document")
    if active_in_svg(b"<svg onload='x'/>").found != ("script",) or active_in_html(b"<p>x").found:
        raise ImportError("the parsers do not read their samples")


_load()
