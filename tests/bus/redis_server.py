"""Redis for tests: the shared one, or one of a test's own with any configuration."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import missing, needs_service

SHARED = "redis://127.0.0.1:6379/0"


def needs_redis(url: str = SHARED) -> str:
    """`url`, or a skip that says that nobody answers there (a failure where it is required)."""
    assert url == SHARED
    needs_service("redis")
    return url


@dataclass
class PrivateRedis:
    """A server of one test's own, which it may kill, stop and start again."""

    command: list[str]
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self.process.poll() is None, (self.folder / "redis.log").read_text()[-2000:]
            time.sleep(0.01)
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        """kill -9: every connection breaks, and what is not on disk is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def freeze(self, frozen: bool) -> None:
        """Stop answering without closing a connection, or go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)


@contextlib.contextmanager
def private_redis(folder: Path, *options: str) -> Iterator[PrivateRedis]:
    """A server on a free port with these command-line options; nothing is kept unless they say so."""
    program = shutil.which("redis-server")
    if program is None:
        missing("redis", "redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listen = [] if "--tls-port" in options else ["--port", str(port)]
    command = [program, "--bind", "127.0.0.1", *listen, "--dir", str(folder), "--save", ""]
    server = PrivateRedis([*command, *(one.replace("PORT", str(port)) for one in options)], folder, port)
    server.start()
    try:
        yield server
    finally:
        server.kill()
