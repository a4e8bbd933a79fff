"""Files, before anything opens them: what they are, what they claim to be, and what acts in them."""

from __future__ import annotations

import base64
import io
import struct
import tarfile
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter

from cenoby.kernel.codec import to_json
from cenoby.kernel.settings import SandboxSettings
from cenoby.kernel.settings_files import FileSettings
from cenoby.protection.files.attached import files_in, may_hold_files
from cenoby.protection.files.checker import SANDBOX_MODULES, Direction, FileChecker
from cenoby.protection.files.errors import FileForbidden
from cenoby.protection.files.kinds import KINDS, claimed, kinds_of
from cenoby.sandbox.cell import Sandbox
from tests.bombs import billion_laughs, nested_zip, tarred, zipped


def png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def pdf(*, script: bool = False, launch: bool = False, attached: bool = False) -> bytes:
    """A document of one page; with these in it."""
    more = b"/OpenAction<</S /JavaScript /JS (app.alert\\(1\\))>>" if script else b""
    more += b"/AA<</WC 4 0 R>>" if launch else b""
    more += b"/Names<</EmbeddedFiles<</Names[(a)<</EF<<>>>>]>>>>" if attached else b""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R" + more + b">>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\n"
        b"4 0 obj<</S/Launch/F(calc.exe)>>endobj\ntrailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"
    )


def locked_pdf() -> bytes:
    """A document that opens with a password."""
    writer = PdfWriter()
    writer.add_blank_page(9, 9)
    writer.encrypt("x", algorithm="RC4-128")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def docx(*more: tuple[str, bytes]) -> bytes:
    return zipped(("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w/>"), *more)


PROGRAM = b"\x7fELF" + bytes(60)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>'
# The name /JavaScript and /S in other spellings, which readers take for the same (ISO 32000, 7.3.5).
ESCAPED = (
    pdf(script=True).replace(b"/JavaScript", b"/J#61vaScript").replace(b"/S ", b"/#53 ").replace(b"/JS ", b"/#4aS ")
)

PASS: list[tuple[Direction, bytes, str, str, str]] = [
    ("arguments", png(), "image/png", "a.png", "image/png"),
    ("arguments", b"{}", "application/json", "a.json", "text/plain"),
    ("arguments", b"GIF89a" + bytes(9), "", "", "image/gif"),
    ("arguments", b"\xff\xd8\xff\xe0" + bytes(9), "image/jpg", "a.JPEG", "image/jpeg"),
    ("results", pdf(), "application/pdf", "a.pdf", "application/pdf"),
    ("results", SVG, "image/svg+xml", "a.svg", "image/svg+xml"),
    ("results", docx(("word/media/1.png", png())), "", "a.docx", "application/vnd.openxmlformats-officedocument"),
    ("results", zipped(("a.txt", b"x"), ("b.bin", bytes(9))), "application/zip", "a.zip", "application/zip"),
    ("results", tarred(("a.zip", zipped(("b", b"c")))), "application/x-tar", "", "application/x-tar"),
    ("results", b"RIFF\x04\0\0\0WAVE", "audio/wav", "", "audio/wav"),
    ("fetched", b"<!doctype html><script>x</script>", "text/plain; charset=utf-8", "", "text/html"),
    ("fetched", pdf(script=True, attached=True), "application/octet-stream", "", "application/pdf"),
]
REFUSE: list[tuple[Direction, bytes, str, str, str]] = [
    ("arguments", PROGRAM, "", "", "file_type"),
    ("arguments", b"MZ" + bytes(100) + b"PE\0\0", "image/png", "", "file_type"),
    ("arguments", bytes(9), "application/octet-stream", "", "file_type"),
    ("arguments", b"<!DOCTYPE html><p>", "text/html", "", "file_type"),
    ("arguments", b"\n <script>x</script>", "text/plain", "a.txt", "file_type"),
    ("arguments", OLE, "application/msword", "a.doc", "file_type"),
    ("arguments", png(), "image/jpeg", "", "file_claim"),
    ("arguments", png(), "", "photo.pdf", "file_claim"),
    ("arguments", b"text", "image/png", "", "file_claim"),
    ("arguments", zipped(("a", b"")), "application/pdf", "", "file_claim"),
    ("arguments", png() + zipped(("a", b"b")), "image/png", "", "file_ambiguous"),
    ("arguments", b"GIF89a" + b"%PDF-1.4\n" + bytes(9), "image/gif", "", "file_ambiguous"),
    ("arguments", b"<html>" + pdf(), "application/pdf", "", "file_ambiguous"),
    ("results", pdf(script=True), "application/pdf", "", "file_active"),
    ("results", ESCAPED, "application/pdf", "", "file_active"),
    ("results", pdf(launch=True), "application/pdf", "", "file_active"),
    ("results", pdf(attached=True), "application/pdf", "", "file_active"),
    ("results", locked_pdf(), "application/pdf", "", "file_unreadable"),
    ("results", b"%PDF-1.4 nonsense", "application/pdf", "", "file_unreadable"),
    ("fetched", pdf(launch=True), "application/pdf", "", "file_active"),
    ("results", b'<svg><script>x</script></svg>', "image/svg+xml", "", "file_active"),
    ("results", b'<svg onload="x()"/>', "image/svg+xml", "", "file_active"),
    ("results", b'<svg><a href="java&#115;cript:x"/></svg>', "image/svg+xml", "", "file_active"),
    ("results", b'<svg><set attributeName="href" to="javascript:x"/></svg>', "image/svg+xml", "", "file_active"),
    ("results", b"<svg>" + billion_laughs("svg"), "image/svg+xml", "", "file_unreadable"),
    ("results", billion_laughs("svg").replace(b"?>", b"?><!--<svg>-->", 1), "image/svg+xml", "", "file_unreadable"),
    ("results", docx(("word/vbaProject.bin", OLE)), "", "a.docx", "file_active"),
    ("results", docx(("word/renamed.xml", OLE)), "", "a.docx", "file_active"),
    ("results", zipped(("docs/x.txt", PROGRAM)), "application/zip", "", "file_archive"),
    ("results", zipped(("in.zip", zipped(("x", PROGRAM)))), "application/zip", "", "file_archive"),
    ("results", zipped(("../x", b"")), "application/zip", "", "file_archive"),
    ("results", nested_zip(3), "application/zip", "", "file_archive"),
    ("results", tarred(("a", ""), kind=tarfile.FIFOTYPE), "application/x-tar", "", "file_archive"),
]  # fmt: skip


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    made = Sandbox(SandboxSettings(), modules=SANDBOX_MODULES)
    yield made
    await made.close()


async def test_what_passes_and_what_does_not(sandbox: Sandbox) -> None:
    """By content, claim, polyglot and what acts in it, each with its own code; parsers run in a cell."""
    checker = FileChecker(FileSettings(), sandbox.call)
    for direction, body, media_type, name, kind in PASS:
        assert (await checker.check(direction, body, media_type, name)).name == kind, (media_type, name)
    for direction, body, media_type, name, code in REFUSE:
        with pytest.raises(FileForbidden) as refused:
            await checker.check(direction, body, media_type, name)
        assert refused.value.code == code, (body[:40], refused.value.message)
        assert f"files.{direction}" in refused.value.message


async def test_the_settings_say_what_passes(sandbox: Sandbox) -> None:
    """Types, sizes by type, and active content are allowed per direction, and for no other."""
    told = FileSettings.model_validate(
        {
            "arguments": {"types": ["image/png"], "max_bytes": 10, "sizes": {"image/png": 1000}},
            "results": {"types": ["application/pdf"], "active": ["script"]},
        }
    )
    checker = FileChecker(told, sandbox.call)

    async def code(direction: Direction, body: bytes) -> str:
        try:
            return (await checker.check(direction, body)).name
        except FileForbidden as error:
            return error.code

    assert await code("arguments", png()) == "image/png"
    assert await code("arguments", png() + bytes(1000)) == "file_too_large"
    assert await code("arguments", b"text") == "file_type"
    assert await code("arguments", b"longer text") == "file_too_large"
    assert await code("results", png()) == "file_type"
    assert await code("results", pdf(script=True)) == "application/pdf"
    assert await code("results", pdf(script=True, launch=True)) == "file_active"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=st.binary(max_size=300),
    beginning=st.sampled_from([b"", b"GIF89a", b"%PDF-", b"PK\x03\x04", b"<svg ", b"\x7fELF"]),
)
def test_every_file_is_something_and_may_say_so(body: bytes, beginning: bytes) -> None:
    """Whatever the bytes: there is at least one type, it is a known one, and its own name is a true claim."""
    kinds = kinds_of(beginning + body)
    assert kinds and len(set(kinds)) == len(kinds)
    for kind in kinds:
        assert KINDS[kind.name] is kind
        assert claimed(kind, kind.name, "") and claimed(kind, "", f"a.{min(kind.endings)}")
    if beginning == b"\x7fELF":
        assert not claimed(kinds[0], "image/png", "") and not claimed(kinds[0], "", "a.png")


def test_files_are_found_wherever_they_are_in_json() -> None:
    """Blobs, pictures, sound and data URLs at any depth, with the name and type that are said; plain data is none."""
    data = base64.b64encode(b"abc").decode()
    value: dict[str, Any] = {
        "list": [{"type": "resource", "resource": {"uri": "file:///x/a.png?q", "mimeType": "image/png", "blob": data}}],
        "picture": {"type": "image", "data": data, "mimeType": "image/gif"},
        "link": f"DATA:text/html;Base64,{data}",
        "broken": {"blob": "%%%"},
        "none": {"data": "plain", "other": {"mimeType": "x"}},
        "url_safe": {"blob": base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("=")},
    }
    found = sorted((one.media_type, one.name, one.body) for one in files_in(value) if one.body is not None)
    assert found == [
        ("", "", b"\xff\xfe"), ("image/gif", "", b"abc"), ("image/png", "a.png", b"abc"), ("text/html", "", b"abc"),
    ]  # fmt: skip
    assert [one.name for one in files_in(value) if one.body is None] == [""]
    assert all(may_hold_files(to_json({name: inner})) for name, inner in value.items())
    assert not may_hold_files(b'{"text":"a blob of data"}')
