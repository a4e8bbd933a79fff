"""What Marco fetches in a real colony: bombs cost a cell, an error that says what they are, and no memory."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cenoby.kernel.mcp_request import request_body, request_headers
from tests.bombs import (
    billion_laughs,
    deep_html,
    external_entity,
    gzip_bomb,
    nested_zip,
    slow_pdf,
    tarred,
    zipped,
)
from tests.conftest import RunningColony

StartColony = Callable[..., AbstractContextManager[RunningColony]]
XML, ZIP = {"content-type": "application/rss+xml"}, {"content-type": "application/zip"}
HTML = {"content-type": "text/html"}
MOST_GROWTH_MB = 96
"""Of the colony's own process: some copies of the largest answer, 8 MiB, and the allocator's slack."""

BOMBS: Mapping[str, tuple[Mapping[str, str], Callable[[], bytes], set[str], str]] = {
    "/nested.zip": (ZIP, lambda: nested_zip(3), {"page_unreadable"}, "nested deeper than 2"),
    "/flat.zip": (ZIP, lambda: zipped(("a", bytes(50_000_000))), {"page_unreadable"}, "more than 200 times its size"),
    "/many.zip": (
        ZIP,
        lambda: zipped(*((str(number), b"") for number in range(3000))),
        {"page_unreadable"},
        "more than 2000 members",
    ),
    "/up.zip": (ZIP, lambda: zipped(("../../up", b"x")), {"page_unreadable"}, "leads out of the archive"),
    "/link.tar": (
        {"content-type": "application/x-tar"},
        lambda: tarred(("a", "/etc/passwd")),
        {"page_unreadable"},
        "a link out of the archive",
    ),
    "/bomb.gz": (
        {"content-type": "application/gzip"},
        gzip_bomb,
        {"page_unreadable"},
        "more than 200 times its size",
    ),
    "/gzip": (HTML | {"content-encoding": "gzip"}, gzip_bomb, {"egress_too_large"}, "exceeds"),
    "/br": (HTML | {"content-encoding": "br"}, lambda: b"\x5b\xff" * 9, {"egress_answer"}, "compressed by 'br'"),
    "/zstd": (HTML | {"content-encoding": "zstd"}, lambda: b"(\xb5/\xfd", {"egress_answer"}, "compressed by 'zstd'"),
    "/laughs": (XML, billion_laughs, {"page_unreadable"}, "document type"),
    "/entity": (XML, lambda: external_entity("file:///etc/passwd"), {"page_unreadable"}, "document type"),
    "/deep": (HTML, deep_html, {"sandbox_timeout"}, "processor time"),
    "/slow.pdf": (
        {"content-type": "application/pdf"},
        slow_pdf,
        {"sandbox_timeout", "page_unreadable", "sandbox_memory"},
        "",
    ),
}


@pytest.fixture
def site() -> Iterator[str]:
    """A server of bombs, and of a good archive: its host:port."""
    good = zipped(("docs/readme.txt", b"read me"), ("page.html", b"<!doctype html><title>T</title>inside"))
    made = {path: (headers, make()) for path, (headers, make, *_) in BOMBS.items()} | {"/good.zip": (ZIP, good)}

    class Bombs(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers, body = made[self.path]
            self.send_response(200)
            for name, value in (*headers.items(), ("content-length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True  # it has read enough

        def log_message(self, *said: object) -> None:
            del said

    server = HTTPServer(("127.0.0.1", 0), Bombs)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetched(colony: RunningColony, token: str, **arguments: str) -> dict[str, Any]:
    """What `mads.marco.fetch` gives, or its error, over the gateway."""
    method, params = "tools/call", {"name": "mads.marco.fetch", "arguments": arguments}
    place = urlsplit(colony.url)
    link = http.client.HTTPConnection(place.netloc, timeout=120)
    body = request_body(method, params, client="test")
    link.request("POST", place.path, body, dict(request_headers(method, params, token)))
    result = json.loads(link.getresponse().read())["result"]
    link.close()
    if not result.get("isError"):
        return result["structuredContent"]
    code, _, message = result["content"][0]["text"].partition(": ")
    return {"code": code, "message": message}


def peak_mb(process: int) -> float:
    """The most memory that a process has had, MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_no_bomb_costs_the_colony_memory(start_colony: StartColony, site: str) -> None:
    """Archives, compressed answers, XML, HTML and PDF made to unfold, to lead out or to take forever end as typed
    errors that say why; the colony's process grows by less than the answers it holds; and it reads on afterwards."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here, which tells the memory of a process")
    settings = f"egress: {{allow: ['{site}']}}\nsandbox: {{cpu_seconds: 1}}\nmads: [grace, marco]\n"
    with start_colony(settings=settings) as colony:
        token = colony.token("ada", "developer")
        listed = fetched(colony, token, url=f"http://{site}/good.zip")
        before = peak_mb(colony.process.pid)
        found = {path: fetched(colony, token, url=f"http://{site}{path}") for path in BOMBS}
        grown = peak_mb(colony.process.pid) - before
        inside = fetched(colony, token, url=f"http://{site}/good.zip", member="page.html")
        missing = fetched(colony, token, url=f"http://{site}/good.zip", member="page.htm")
    assert "'docs/readme.txt'\t7\ttext/plain" in listed["text"]
    assert (inside["title"], inside["text"], missing["code"]) == ("T", "inside", "page_member_missing")
    for path, (_, _, codes, words) in BOMBS.items():
        assert found[path].get("code") in codes and words in found[path]["message"], (path, found[path])
    assert grown < MOST_GROWTH_MB
