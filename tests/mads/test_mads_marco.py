"""Marco whole: a real server, the egress guard, and real cells around the parsers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from types import SimpleNamespace
from typing import cast

import pytest

from cenoby.colony.invocation import Call
from cenoby.colony.tool import tools_of
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event, name_of
from cenoby.kernel.settings import EgressSettings, SandboxSettings
from cenoby.mads.marco.mad import Marco, PageUnreadable
from cenoby.mads.marco.readers import SANDBOX_MODULES
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_policy import EgressRefused
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.files.errors import FileForbidden
from cenoby.sandbox.cell import Sandbox
from cenoby.sandbox.process import SandboxError

NOTED: list[Event] = []


async def note(event: Event) -> None:
    NOTED.append(event)


ADA = Sender("ada", "default", ("developer",), "mads.marco.fetch")
CALL = cast(Call, SimpleNamespace(sender=ADA, tool=ADA.tool, invocation="i", note=note))

PAGES: Mapping[str, tuple[str, str, bytes]] = {
    "/": (
        "200 OK",
        "text/html; charset=utf-8",
        "<title>Wörter</title><script>no</script><p>Hello <b>wörld</b></p><a href=/next>Next</a>".encode(),
    ),
    "/old": ("301 Moved Permanently", "text/html\r\nlocation: /", b""),
    "/inside": ("302 Found", "text/html\r\nlocation: http://169.254.169.254/latest/meta-data/", b""),
    "/gone": ("404 Not Found", "text/html", b"<h1>Nothing here</h1>"),
    "/russian": ("200 OK", "text/html", '<meta charset="windows-1251"><p>Привет'.encode("cp1251")),
    "/japanese": ("200 OK", "text/html; charset=shift_jis", "<p>日本語".encode("shift_jis")),
    "/odd-charset": ("200 OK", "text/html; charset=os", b"<p>plain"),
    "/json": ("200 OK", "application/problem+json", b'{"a": 1}'),
    "/untyped": ("200 OK", "", b"<!DOCTYPE html><title>T</title>x"),
    "/picture": ("200 OK", "image/png", b"\x89PNG\r\n\x1a\n"),
    "/deep": ("200 OK", "text/html", b"<div>" * 400_000),
    "/broken.pdf": ("200 OK", "application/pdf", b"%PDF-1.7\nnonsense"),
    "/paper.pdf": (
        "200 OK",
        "application/octet-stream",
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>"
        b"/Annots[<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/URI/URI(https://a.example/)>>>>]>>endobj\n"
        b"4 0 obj<</Length 34>>stream\nBT /F 9 Tf 9 9 Td (On paper) Tj ET\nendstream endobj\n"
        b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n",
    ),
}


@asynccontextmanager
async def website() -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        status, kind, body = PAGES[path]
        typed = f"content-type: {kind}\r\n" if kind else ""
        writer.write(f"HTTP/1.1 {status}\r\n{typed}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode())
        writer.write(body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def hosted(cpu_seconds: int = 10) -> AsyncIterator[tuple[Marco, str]]:
    async with website() as address, EgressGuard(EgressSettings(allow=[address])) as egress:
        sandbox = Sandbox(SandboxSettings(cpu_seconds=cpu_seconds), modules=SANDBOX_MODULES)
        try:
            yield Marco(egress=egress, sandbox=sandbox), f"http://{address}"
        finally:
            await sandbox.close()


async def code_of(marco: Marco, url: str) -> str:
    with pytest.raises((EgressRefused, PageUnreadable, FileForbidden, SandboxError)) as caught:
        await marco.fetch(CALL, url)
    return cast(CenobyError, caught.value).code


async def test_a_page_is_fetched_as_text_with_links() -> None:
    """Title, clean text and absolute links come back, over a redirect too."""
    async with hosted() as (marco, site):
        page = await marco.fetch(CALL, f"{site}/old")
    assert asdict(page) == {
        "url": f"{site}/",
        "status": 200,
        "content_type": "text/html",
        "title": "Wörter",
        "text": "Hello wörld\n\nNext",
        "total_chars": 17,
        "next_start": None,
        "pages": 0,
        "links": [{"text": "Next", "url": f"{site}/next"}],
        "redirects": [f"{site}/old"],
    }


async def test_a_page_is_read_in_parts() -> None:
    """`next_start` leads through the text and ends with null."""
    async with hosted() as (marco, site):
        first = await marco.fetch(CALL, f"{site}/", max_chars=10, max_links=0)
        rest = await marco.fetch(CALL, f"{site}/", max_chars=10, start=first.next_start or 0)
    assert (first.text, first.next_start, first.links) == ("Hello wörl", 10, [])
    assert (rest.text, rest.next_start) == ("d\n\nNext", None)


async def test_links_alone() -> None:
    """`links` answers without the text."""
    async with hosted() as (marco, site):
        found = await marco.links(CALL, f"{site}/")
    assert [link.url for link in found.links] == [f"{site}/next"]
    assert found.title == "Wörter"


async def test_what_is_not_html_is_read_for_what_it_is() -> None:
    """Error pages, other character sets, JSON, untyped pages and mislabelled PDF documents are read in a cell."""
    async with hosted() as (marco, site):
        got = {path: await marco.fetch(CALL, site + path) for path in PAGES if path in _READABLE}
    assert {path: page.text for path, page in got.items()} == _READABLE
    assert got["/gone"].status == 404
    assert got["/paper.pdf"].pages == 1
    assert got["/paper.pdf"].links[0].url == "https://a.example/"


_READABLE = {
    "/gone": "Nothing here",
    "/russian": "Привет",
    "/japanese": "日本語",
    "/odd-charset": "plain",
    "/json": '{"a": 1}',
    "/untyped": "x",
    "/paper.pdf": "On paper",
}


async def test_what_cannot_be_read_is_refused_by_code() -> None:
    """Addresses inside, pictures, damaged documents, and pages made to exhaust the parser are typed errors."""
    async with hosted(cpu_seconds=1) as (marco, site):
        codes = {path: await code_of(marco, site + path) for path in ("/inside", "/picture", "/broken.pdf", "/deep")}
        codes["metadata"] = await code_of(marco, "http://169.254.169.254/")
        codes["loopback"] = await code_of(marco, "http://localhost/")
        assert (await marco.fetch(CALL, f"{site}/")).status == 200
    assert codes == {
        "/inside": "egress_address",
        "/picture": "page_type_unsupported",
        "/broken.pdf": "file_unreadable",
        "/deep": "sandbox_timeout",
        "metadata": "egress_address",
        "loopback": "egress_address",
    }
    assert [name_of(event) for event in NOTED] == ["file_refused"]


def test_the_tools_are_published_as_declared() -> None:
    """Names, actions and schemas are what the rest of the colony relies on."""
    marco = Marco(egress=EgressGuard(EgressSettings()), sandbox=Sandbox(SandboxSettings(), modules=SANDBOX_MODULES))
    tools = {item.name: item for item in tools_of(marco, marco.name)}
    assert set(tools) == {"mads.marco.fetch", "mads.marco.links"}
    for item in tools.values():
        assert item.says.action == "web:fetch"
        assert item.says.idempotent
        assert item.input_schema["required"] == ["url"]
        assert item.output_schema is not None


def test_a_mad_is_summed_up_in_a_sentence() -> None:
    """What `status` and the architecture print between other sentences ends like one."""
    assert Marco.summary.endswith(".")
