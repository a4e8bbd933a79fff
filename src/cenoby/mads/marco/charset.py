"""Bytes of a page to text: which character set it is in (HTML standard, "determining the character encoding").

Runs inside a cell, where nothing can be loaded any more, so all decoders of the web are loaded with this module.
"""

from __future__ import annotations

import codecs
import re

# WHATWG labels that differ from Python's, or mean a superset there.
_WEB_NAMES = {
    "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-1": "cp1252", "iso8859-1": "cp1252", "latin1": "cp1252",
    "l1": "cp1252", "iso-8859-9": "cp1254", "latin5": "cp1254", "iso-8859-11": "cp874", "tis-620": "cp874",
    "windows-874": "cp874", "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "big5": "big5hkscs",
    "shift_jis": "cp932", "sjis": "cp932", "shift-jis": "cp932", "x-sjis": "cp932", "windows-31j": "cp932",
    "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "x-mac-cyrillic": "mac-cyrillic", "macintosh": "mac-roman",
    "iso-8859-8-i": "iso8859-8", "visual": "iso8859-8", "utf-16": "utf-16-le", "unicode": "utf-16-le",
    "utf8": "utf-8", "x-user-defined": "cp1252",
}  # fmt: skip
_DECODERS = (
    "utf-8", "utf-16-le", "utf-16-be", "cp866", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6",
    "iso8859-7", "iso8859-8", "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16", "koi8-r",
    "koi8-u", "mac-roman", "mac-cyrillic", "cp874", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255",
    "cp1256", "cp1257", "cp1258", "gb18030", "big5hkscs", "euc_jp", "iso2022_jp", "cp932", "cp949",
)  # fmt: skip
_DECODERS_OF_DOCUMENTS = ("gbk", "gb2312", "cp950", "utf-16", "latin-1", "ascii", "charmap")
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_HEAD_BYTES = 1024
_IN_META = re.compile(rb"""<meta[^>]{0,512}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE)
_IN_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_:.-]{2,40})["']""", re.IGNORECASE)


def load_decoders() -> frozenset[str]:
    """Load all decoders that pages and documents may need; returns Python's names of those that pages may ask for."""
    for name in _DECODERS_OF_DOCUMENTS:
        codecs.lookup(name)
    return frozenset(codecs.lookup(name).name for name in _DECODERS)


_loaded = load_decoders()


def decode_page(body: bytes, declared: str = "") -> str:
    """`body` as text; what does not decode becomes U+FFFD.

    Order: byte order mark, `declared` (from the Content-Type header), a declaration in the first 1024 bytes, UTF-8
    where the whole body is valid UTF-8, and windows-1252.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    name = _known(declared) or _in_document(body[:_HEAD_BYTES])
    if name:
        return body.decode(name, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        # A body cut off inside its last character is still UTF-8.
        cut_off = error.start >= len(body) - 3 and error.reason == "unexpected end of data"
        return body.decode("utf-8" if cut_off else "cp1252", "replace")


def _in_document(head: bytes) -> str:
    found = _IN_XML.search(head) or _IN_META.search(head)
    if found is None:
        return ""
    name = _known(found[1].decode("ascii"))
    # A declaration that could be read byte by byte cannot be true when it says UTF-16.
    return "utf-8" if name.startswith("utf-16") else name


def _known(label: str) -> str:
    plain = label.strip().strip("\"'").lower()
    try:
        name = codecs.lookup(_WEB_NAMES.get(plain, plain)).name
    except (LookupError, ValueError):
        return ""
    return name if name in _loaded else ""
