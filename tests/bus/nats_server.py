"""NATS for tests: the shared one, or one of a test's own with any configuration."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import missing, needs_service

SHARED = "nats://127.0.0.1:4222"


def needs_nats(url: str = SHARED) -> str:
    """`url`, or a skip that says that nobody answers there (a failure where it is required)."""
    assert url == SHARED
    needs_service("nats")
    return url


@dataclass
class PrivateNats:
    """A server of one test's own, which it may kill, freeze and start again."""

    command: list[str]
    folder: Path
    port: int
    jetstream: bool = True
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def configure(self, configuration: str) -> None:
        """What the next start reads, beside port and store."""
        store = json.dumps(str(self.folder / "jetstream"))
        jetstream = f"jetstream {{ store_dir: {store} }}" if self.jetstream else ""
        (self.folder / "nats.conf").write_text(f"listen: 127.0.0.1:{self.port}\n{jetstream}\n{configuration}\n")

    def start(self) -> None:
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self.process.poll() is None, self.log[-2000:]
            time.sleep(0.01)
        raise AssertionError("nats-server did not start")

    @property
    def log(self) -> str:
        return (self.folder / "nats.log").read_text()

    def kill(self) -> None:
        """kill -9: every connection breaks."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def freeze(self, frozen: bool) -> None:
        """Stop answering without closing a connection, or go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)


@contextlib.contextmanager
def private_nats(folder: Path, configuration: str = "", *, jetstream: bool = True) -> Iterator[PrivateNats]:
    """A server on a free port with this configuration, which keeps its streams in `folder`."""
    program = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        missing("nats", "nats-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = PrivateNats([program, "-c", str(folder / "nats.conf")], folder, port, jetstream)
    server.configure(configuration)
    server.start()
    try:
        yield server
    finally:
        server.kill()
