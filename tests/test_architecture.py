"""The house rules that a program can check."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body:
                    yield file, node, (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_files_are_short_enough_to_have_one_reason_to_exist() -> None:
    """No source file has more than 400 lines."""
    long = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in SOURCES}
    assert {file: lines for file, lines in long.items() if lines > 400} == {}


def test_functions_fit_on_a_screen() -> None:
    """No function body has more than 60 lines, and half of them have at most 10."""
    lengths = [(f"{file.name}:{node.name}", lines) for file, node, lines in functions()]
    assert [one for one in lengths if one[1] > 60] == []
    assert statistics.median(lines for _, lines in lengths) <= 10


def test_files_are_named_after_what_they_hold() -> None:
    """No file or folder carries a name that says nothing."""
    empty_names = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [file for file in TRACKED if empty_names & set(re.split(r"[/._]", file.lower()))] == []


def test_every_module_says_what_it_is_for() -> None:
    """Every source module has a docstring."""
    missing = [
        str(file.relative_to(ROOT)) for file in SOURCES if ast.get_docstring(ast.parse(file.read_text())) is None
    ]
    assert missing == []


def test_time_comes_from_the_clock_and_ids_from_the_kernel() -> None:
    """Nothing outside the kernel's clock and ids, and the commands, asks the machine for wall time or a UUID."""
    asks = re.compile(r"\btime\.time(_ns)?\(|\bdatetime\.now\(|\buuid\.uuid|\butcnow\(")
    allowed = {"clock.py", "ids.py"}
    found = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if file.name not in allowed and "/cli/" not in str(file) and asks.search(file.read_text())
    ]
    assert found == []


def test_nothing_of_a_machine_or_a_registry_is_in_the_tree() -> None:
    """No tracked text names a package registry's host or an absolute path of somebody's machine."""
    hosts = re.compile(r"py" r"pi\.(org|io)|python" r"hosted\.|registry\." r"npm|deb\." r"debian|/ro" r"ot/|/wo" r"rk/")
    found = []
    for name in TRACKED:
        file = ROOT / name
        if file.is_file() and file.suffix not in {".png", ".pdf"} and hosts.search(file.read_text(errors="replace")):
            found.append(name)
    assert found == []


WAYS_OUT = {
    "protection/egress.py": "the one guarded client",
    "protection/egress_answer.py": "a part of it",
    "protection/egress_policy.py": "a part of it: URLs are parsed by the library that sends them",
    "protection/dialling.py": "a part of it: what opens its connections",
    "models/client.py": "names an error of the guarded client's library, to tell what was never sent",
    "bus/": "the broker that the settings name",
    "store/postgres_connection.py": "the database that the settings name",
    "telemetry/otlp.py": "the collector that the settings name, from a thread of its own, without a proxy",
    "app/systemd.py": "a datagram to the service manager of this machine",
    "sandbox/process.py": "a socket pair to a cell",
    "cli/colony_client.py": "a command speaks to its own colony",
    "cli/doctor.py": "a command looks whether a port is free",
    "gateway/stdio_bridge.py": "a command speaks to its own colony",
}
"""Who may open connections, and why it is no hole: egress is guarded, or its place stands in the settings or here."""
_CLIENTS = {
    "aiohttp", "asyncpg", "ftplib", "httpcore", "httpcore2", "httpx", "httpx2", "imaplib", "nats", "poplib", "redis",
    "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib3", "websockets", "xmlrpc",
}  # fmt: skip
_CLIENT_MODULES = {"http.client", "urllib.request", "asyncio.streams"}
_OPENERS = {"open_connection", "create_connection", "create_datagram_endpoint", "sock_connect"}


def _opens_connections(file: Path) -> bool:
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        if any(name.partition(".")[0] in _CLIENTS or name in _CLIENT_MODULES for name in names):
            return True
        if isinstance(node, ast.Attribute) and node.attr in _OPENERS:
            return True
    return False


def test_everything_that_leaves_goes_through_the_guarded_client() -> None:
    """No module opens connections by any library but those that are listed with their reason; none is listed idly.

    `git` (evidence) is a command: `protection/evidence/git_remote.py` says how it is kept to its remote.
    """
    root = ROOT / "src" / "cenoby"
    files = [str(file.relative_to(root)) for file in SOURCES if _opens_connections(file)]
    found = {"bus/" if name.startswith("bus/") else name for name in files}
    assert found == WAYS_OUT.keys()


def test_every_request_says_on_whose_behalf_it_leaves() -> None:
    """Each use of the guarded client passes `by`, so that rules about agents find them."""
    silent = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("fetch", "stream")
        and "egress" in ast.unparse(node.func.value)
        and "by" not in [keyword.arg for keyword in node.keywords]
    ]
    assert silent == []
