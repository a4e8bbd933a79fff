"""Files made to exhaust or to mislead whoever opens them, generated."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A zip archive of these members."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return made.getvalue()


def tarred(*members: tuple[str, bytes | str], kind: bytes = tarfile.SYMTYPE) -> bytes:
    """A tar archive; a member with a text is a link (or a device) to it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as opened:
        for name, content in members:
            item = tarfile.TarInfo(name)
            if isinstance(content, str):
                item.type, item.linkname = kind, content
                opened.addfile(item)
            else:
                item.size = len(content)
                opened.addfile(item, io.BytesIO(content))
    return made.getvalue()


def nested_zip(levels: int) -> bytes:
    """Ten archives in each archive, `levels` deep, and 1 MB of nothing in each innermost one."""
    inner = zipped(("nothing", bytes(1_000_000)))
    for _ in range(levels):
        inner = zipped(*((f"{number}.zip", inner) for number in range(10)))
    return inner


def billion_laughs(name: str = "rss") -> bytes:
    """Entities of entities: 3 GB of text."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<?xml version="1.0"?><!DOCTYPE {name} [<!ENTITY l0 "lol">{entities}]><{name}><channel>'
    return f"{text}<title>&l9;</title></channel></{name}>".encode()


def external_entity(place: str) -> bytes:
    """A feed whose title is the content of a file or a URL."""
    return (
        f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY e SYSTEM "{place}">]>'
        "<rss><channel><title>&e;</title></channel></rss>"
    ).encode()


def deep_html() -> bytes:
    """400,000 elements in each other."""
    return b"<div>" * 400_000


def slow_pdf() -> bytes:
    """One page whose content has a million operators, packed into a few kilobytes."""
    content = zlib.compress(b"BT /F 9 Tf " + b"1 0 0 1 9 9 Tm (a) Tj " * 500_000 + b"ET", 9)
    return (
        b"%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
        b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n"
        b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\nstartxref\n0\n%%%%EOF\n"
    ) % (len(content), content)


def gzip_bomb() -> bytes:
    """64 MB of nothing."""
    return gzip.compress(bytes(64_000_000), 6)
